// codegen/catalogue.cpp -- the specs that ship: what prebuild, the compile tier and the budgets walk.
#include <fmt/format.h>

#include <mhc/jit/prebuild.hpp>

namespace mhc::jit {
namespace {

constexpr operations own_layer = {operation::pre_fwd, operation::post_fwd, operation::post_pre_fwd};
constexpr operations standalone =
    own_layer | operations{operation::sinkhorn_fwd,         operation::rmsnorm_fwd,       operation::apply_mix_fwd,
                           operation::expand_fwd,           operation::head_fwd,          operation::pre_project_fwd,
                           operation::split_mixes_fwd,      operation::coeffs_fwd,        operation::pre_big_fuse,
                           operation::broadcast_pre_fwd,    operation::delayed_pre_fwd,   operation::post_head_fwd,
                           operation::multilayer_recompute, operation::rmsnorm_matmul_fwd};
constexpr operations layers = {operation::static_layer_fwd, operation::dynamic_layer_fwd};
constexpr operations gradients = {operation::pre_bwd,           operation::post_bwd,   operation::post_pre_bwd,
                                  operation::sinkhorn_bwd,      operation::head_bwd,   operation::rmsnorm_bwd,
                                  operation::apply_mix_bwd,     operation::expand_bwd, operation::pre_project_bwd,
                                  operation::split_mixes_bwd,   operation::coeffs_bwd, operation::post_head_bwd,
                                  operation::rmsnorm_matmul_bwd};
constexpr operations layer_gradients = {operation::static_layer_bwd, operation::dynamic_layer_bwd};

layer_spec row(std::int32_t n, std::int64_t C, dtype type, preset options, operations wanted)
{
    layer_spec spec;
    spec.n_streams = n;
    spec.hidden_dim = C;
    spec.dtype = type;
    spec.options = options_of(options);
    spec.wanted = wanted;
    return spec;
}

}  // namespace

result<std::vector<prebuild_item>> catalogue(int level)
{
    std::vector<prebuild_item> items;
    const auto add = [&](std::int32_t n, std::int64_t C, dtype type) {
        const bool has_gradients = level == 1;
        items.push_back({row(n, C, type, preset::deepseek, has_gradients ? standalone | gradients : standalone)});
        items.push_back({row(n, C, type, preset::mhc_cu, has_gradients ? layers | layer_gradients : layers)});
    };
    constexpr std::int64_t main_dims[] = {1280, 1920, 2560, 4096, 5120, 7168};
    switch (level) {
        case 0:
            return items;
        case 3:
            for (const std::int64_t C : main_dims) items.push_back({row(4, C, dtype::bf16, preset::deepseek, own_layer)});
            return items;
        case 1:
        case 2:
            for (const std::int64_t C : main_dims) add(4, C, dtype::bf16);
            for (const std::int32_t n : {1, 2, 8, 16, 32})
                for (const std::int64_t C : {1280, 4096}) add(n, C, dtype::bf16);
            for (const dtype type : {dtype::fp16, dtype::fp32})
                for (const std::int64_t C : {1280, 4096}) add(4, C, type);
            return items;
        default:
            return failure{errc::bad_spec, fmt::format("prebuild level = {}: allowed is 0, 1, 2 or 3", level)};
    }
}

}  // namespace mhc::jit
