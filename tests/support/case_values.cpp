// tests/support/case_values.cpp -- which operators have a factor, its values by name, and which of them are within a limit.
#include "tests/support/case_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace mhc::testing {

using namespace case_values;

namespace {

using jit::operation;
using jit::operations;

constexpr const char* const dtype_names[] = {"fp32", "fp16", "bf16"};
constexpr const char* const layout_names[] = {"out_in", "src_dst"};
constexpr const char* const preset_names[] = {"paper", "mhc_cu", "deepseek", "liger", "aiter_triton"};
constexpr const char* const coefficient_names[] = {"per_token", "static", "post_static", "mix_static"};
constexpr const char* const projection_names[] = {"split", "strict", "tf32"};
constexpr const char* const weight_names[] = {"weight", "no_weight", "both_weights", "fn_weight phi", "phi"};
constexpr const char* const row_names[] = {"all_rows", "head_rows", "one_row"};
constexpr const char* const quant_names[] = {"unquantised", "fp8_row", "fp8_block128"};  // as the enum has them
constexpr const char* const start_names[] = {"exp", "log", "softmax", "identity"};
constexpr const char* const order_names[] = {"row_col", "col_row"};
constexpr const char* const eps_mode_names[] = {"none", "add", "add_both", "thresh"};

template <class Enum, std::size_t Size>
const char* named(const char* const (&names)[Size], Enum value)
{
    return names[static_cast<std::size_t>(value)];
}

constexpr operations layers = {operation::static_layer_fwd, operation::dynamic_layer_fwd};
constexpr operations with_projection = {
    operation::pre_fwd,         operation::dynamic_layer_fwd, operation::post_pre_fwd,    operation::head_fwd,
    operation::pre_project_fwd, operation::broadcast_pre_fwd, operation::delayed_pre_fwd, operation::post_head_fwd};
constexpr operations with_splits = {operation::pre_project_fwd, operation::split_mixes_fwd, operation::coeffs_fwd,
                                    operation::pre_big_fuse};
constexpr operations with_post = {operation::post_fwd, operation::post_pre_fwd, operation::post_head_fwd,
                                  operation::multilayer_recompute};
constexpr operations row_norms = {operation::rmsnorm_fwd, operation::rmsnorm_matmul_fwd};
constexpr operations heads = {operation::head_fwd, operation::post_head_fwd};
constexpr operations with_sinkhorn =
    layers | operations{operation::sinkhorn_fwd,   operation::pre_fwd,      operation::post_pre_fwd,
                        operation::coeffs_fwd,     operation::pre_big_fuse, operation::broadcast_pre_fwd,
                        operation::delayed_pre_fwd};
constexpr operations with_options = with_sinkhorn | heads | row_norms | operations{operation::split_mixes_fwd};
constexpr operations without_data = {operation::sinkhorn_fwd, operation::split_mixes_fwd, operation::coeffs_fwd};

bool is_layer(operation op) { return layers.contains(op); }
bool projects(operation op) { return with_projection.contains(op); }
bool reads_streams(operation op)
{
    if (op == operation::broadcast_pre_fwd) return false;
    return op == operation::apply_mix_fwd || op == operation::pre_big_fuse || with_post.contains(op) || projects(op) ||
           is_layer(op);
}
bool writes_streams(operation op)
{
    if (op == operation::post_head_fwd) return false;
    return op == operation::expand_fwd || with_post.contains(op) || is_layer(op);
}
bool takes_norm_weight(operation op) { return jit::operations_with_norm_weight.contains(op); }

}  // namespace

std::string_view name_of(operation op)
{
    static constexpr std::string_view names[] = {"sinkhorn_fwd",
                                                 "rmsnorm_fwd",
                                                 "apply_mix_fwd",
                                                 "expand_fwd",
                                                 "post_fwd",
                                                 "pre_fwd",
                                                 "static_layer_fwd",
                                                 "dynamic_layer_fwd",
                                                 "post_pre_fwd",
                                                 "head_fwd",
                                                 "pre_project_fwd",
                                                 "split_mixes_fwd",
                                                 "coeffs_fwd",
                                                 "pre_big_fuse",
                                                 "sinkhorn_bwd",
                                                 "rmsnorm_bwd",
                                                 "apply_mix_bwd",
                                                 "expand_bwd",
                                                 "post_bwd",
                                                 "pre_bwd",
                                                 "static_layer_bwd",
                                                 "dynamic_layer_bwd",
                                                 "post_pre_bwd",
                                                 "head_bwd",
                                                 "pre_project_bwd",
                                                 "split_mixes_bwd",
                                                 "coeffs_bwd",
                                                 "broadcast_pre_fwd",
                                                 "delayed_pre_fwd",
                                                 "post_head_fwd",
                                                 "multilayer_recompute",
                                                 "rmsnorm_matmul_fwd",
                                                 "rmsnorm_matmul_bwd",
                                                 "post_head_bwd"};
    return names[static_cast<std::size_t>(op)];
}

operation forward_of(operation op)
{
    const std::string_view name = name_of(op);
    if (!name.ends_with("_bwd")) return op;
    const std::string forward = std::string(name.substr(0, name.size() - 4)) + "_fwd";
    int found = 0;
    while (name_of(static_cast<operation>(found)) != forward) ++found;
    return static_cast<operation>(found);
}

bool is_gradient(operation op) { return forward_of(op) != op; }

std::string_view name_of(stride_kind kind)
{
    static constexpr std::string_view names[] = {"dense",       "padded_token",   "padded_stream",
                                                 "interleaved", "repeated_token", "repeated_stream"};
    return names[static_cast<std::size_t>(kind)];
}

std::string case_group::name() const { return std::string(name_of(op)) + (sweeps_sinkhorn ? " options" : ""); }

std::vector<case_group> case_groups()
{
    std::vector<case_group> groups;
    for (int op = 0; op < jit::operation_count; ++op) groups.push_back({.op = static_cast<operation>(op)});
    groups.push_back({.op = operation::sinkhorn_fwd, .sweeps_sinkhorn = true});
    groups.push_back({.op = operation::sinkhorn_bwd, .sweeps_sinkhorn = true});
    return groups;
}

int value_count(const case_group& group, factor of)
{
    const operation op = forward_of(group.op);
    const auto all_if = [](bool meaningful, const auto& values) {
        return meaningful ? static_cast<int>(std::size(values)) : 1;
    };
    const bool takes_bias = with_post.contains(op);
    const bool has_weights = takes_bias || row_norms.contains(op) || takes_norm_weight(op) || projects(op) || is_layer(op);
    const bool sweeps = group.sweeps_sinkhorn;
    switch (of) {
        case factor::n_streams:
            return all_if(true, n_streams_values);
        case factor::hidden_dim:
            return all_if(!sweeps, hidden_dim_values);
        case factor::tokens:
            return all_if(true, tokens_values);
        case factor::dtype:
            return all_if(!sweeps, dtype_values);
        case factor::layout:
            return all_if(!sweeps, layout_values);
        case factor::preset:
            return all_if(!sweeps, preset_values);
        case factor::options:
            return !sweeps && with_options.contains(op) ? 2 : 1;
        case factor::x_strides:
            return all_if(reads_streams(op), stride_values);
        case factor::out_strides:
            return writes_streams(op) ? 4 : 1;  // an output's rows may not repeat
        case factor::coefficients:
            return with_post.contains(op) ? 4 : op == operation::apply_mix_fwd || op == operation::delayed_pre_fwd ? 2 : 1;
        case factor::weight_dtype:
            return all_if(has_weights, weight_dtype_values);
        case factor::weight:
            return jit::operations_with_fn.contains(op) ? 5 : row_norms.contains(op) || takes_norm_weight(op) ? 2 : 1;
        case factor::alignment:
            return all_if(!without_data.contains(op), alignment_values);
        case factor::rounding:
            return is_layer(op) && !is_gradient(group.op) ? 2 : 1;
        case factor::projection:
            return all_if(projects(op), projection_values);
        case factor::splits:
            return all_if(with_splits.contains(op), splits_values);
        case factor::rows:
            return op == operation::pre_project_fwd || op == operation::rmsnorm_matmul_fwd ? 3 : 1;
        case factor::spread:
            return all_if(op == operation::sinkhorn_fwd, spread_values);
        case factor::sinkhorn:
            return sweeps ? sinkhorn_kind_count : 1;
        case factor::eps:
            return all_if(sweeps, eps_values);
        case factor::iters:
            return all_if(sweeps, iters_values);
        case factor::bias:
            return takes_bias ? 2 : 1;
        case factor::padding:
            return sweeps ? 1 : 2;
        case factor::gradient:
            return group.op == operation::sinkhorn_bwd && !sweeps ? 2 : 1;
        case factor::layers:
            return all_if(op == operation::multilayer_recompute, layers_values);
        case factor::quant:
            return all_if(jit::operations_with_layer_input_quant.contains(group.op) && !is_gradient(group.op), quant_names);
    }
    return 1;
}

std::string value_name(factor of, int value)
{
    const auto i = static_cast<std::size_t>(value);
    switch (of) {
        case factor::n_streams:
            return fmt::format("n={}", n_streams_values[i]);
        case factor::hidden_dim:
            return fmt::format("C={}", hidden_dim_values[i]);
        case factor::tokens:
            return fmt::format("T={}", tokens_values[i]);
        case factor::dtype:
            return named(dtype_names, dtype_values[i]);
        case factor::layout:
            return named(layout_names, layout_values[i]);
        case factor::preset:
            return named(preset_names, preset_values[i]);
        case factor::options:
            return value == 0 ? "preset_options" : "changed_options";
        case factor::x_strides:
            return fmt::format("x={}", name_of(stride_values[i]));
        case factor::out_strides:
            return fmt::format("out={}", name_of(stride_values[i]));
        case factor::coefficients:
            return fmt::format("coef={}", named(coefficient_names, coefficient_values[i]));
        case factor::weight_dtype:
            return fmt::format("w={}", named(dtype_names, weight_dtype_values[i]));
        case factor::weight:
            return named(weight_names, static_cast<weight_kind>(value));
        case factor::alignment:
            return fmt::format("align={}", alignment_values[i]);
        case factor::rounding:
            return value == 0 ? "exact" : "reference_rounding";
        case factor::projection:
            return named(projection_names, projection_values[i]);
        case factor::splits:
            return fmt::format("S={}", splits_values[i]);
        case factor::rows:
            return named(row_names, static_cast<row_kind>(value));
        case factor::spread:
            return fmt::format("spread={}", spread_values[i]);
        case factor::sinkhorn: {
            const sinkhorn_kind kind = sinkhorn_kind_at(value);
            return fmt::format("{} {} {}", named(start_names, kind.start), named(order_names, kind.order),
                               named(eps_mode_names, kind.eps_mode));
        }
        case factor::eps:
            return fmt::format("eps={}", eps_values[i]);
        case factor::iters:
            return fmt::format("iters={}", iters_values[i]);
        case factor::bias:
            return value == 0 ? "no_bias" : "bias";
        case factor::padding:
            return value == 0 ? "all_tokens" : "padded";
        case factor::gradient:
            return value == 0 ? "of_steps" : "of_limit";
        case factor::layers:
            return fmt::format("L={}", layers_values[i]);
        case factor::quant:
            return quant_names[i];
    }
    return "?";
}

bool is_within(const choice& of, const case_limits& limits)
{
    const int hidden_dim = of[static_cast<std::size_t>(factor::hidden_dim)];
    const int tokens = of[static_cast<std::size_t>(factor::tokens)];
    const int n_streams = of[static_cast<std::size_t>(factor::n_streams)];
    const auto is_one_of = [](int value, std::initializer_list<int> values) {
        return std::find(values.begin(), values.end(), value) != values.end();
    };
    if (hidden_dim >= 0 && limits.sizes != size_set::every && hidden_dim_values[hidden_dim] == 1920) return false;
    if (tokens == 0 && limits.sizes == size_set::listed) return false;
    if (limits.sizes == size_set::few) {
        if (n_streams >= 0 && !is_one_of(n_streams_values[n_streams], {1, 3, 4, 8, 32})) return false;
        if (hidden_dim >= 0 && is_one_of(hidden_dim_values[hidden_dim], {64, 7168})) return false;
    }
    return (hidden_dim < 0 || hidden_dim_values[hidden_dim] <= limits.hidden_dim_max) &&
           (tokens < 0 || tokens_values[tokens] <= limits.tokens_max);
}

std::int64_t work_of(const case_group& group, const choice& of)
{
    const auto index = [&](factor f) { return static_cast<std::size_t>(of[static_cast<std::size_t>(f)]); };
    const std::int64_t n = n_streams_values[index(factor::n_streams)];
    const operation op = forward_of(group.op);
    const bool mixes =
        op == operation::post_fwd || op == operation::static_layer_fwd || op == operation::multilayer_recompute;
    const bool copies = op == operation::expand_fwd || op == operation::apply_mix_fwd;
    std::int64_t m = mixes || copies || op == operation::pre_big_fuse || heads.contains(op) ? n : 1;
    if (projects(op) && !heads.contains(op)) m = n * n + 2 * n;
    if (op == operation::post_pre_fwd || op == operation::post_head_fwd) m += n;
    if (op == operation::rmsnorm_matmul_fwd) m = matmul_rows(static_cast<row_kind>(index(factor::rows)));
    const int layers = of[static_cast<std::size_t>(factor::layers)];
    if (layers >= 0) m *= layers_values[layers];
    return m * n * hidden_dim_values[index(factor::hidden_dim)] * tokens_values[index(factor::tokens)];
}

}  // namespace mhc::testing
