// tests/unit/plan_test.cpp -- plans: pure functions of spec and target.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "tests/unit/plan_test_support.hpp"

using namespace mhc;
using namespace mhc::codegen;
using namespace mhc::testing;
using jit::operation;

TEST_CASE("plan: every operator has kernels on every kind of target, and its arguments fit the launch block")
{
    for (const char* target : {"gfx90a", "gfx942", "gfx1100", "host:x86-64-v3"})
        for (int i = 0; i < jit::operation_count; ++i)
            for (const std::int32_t n : {1, 4, 32}) {
                const operator_plan p = plan_of(spec_of(n, 1280), target, static_cast<operation>(i));
                REQUIRE_FALSE(p.kernels.empty());
                for (const kernel_plan& k : p.kernels) {
                    CHECK(k.argument_bytes <= 256);
                    CHECK(k.block % p.on.wave_size == 0);
                    CHECK(k.block <= (k.family.ends_with("_tiles") || k.family.ends_with("_wide") ? 512 : 256));
                    std::uint32_t end = 0;
                    for (const argument& arg : k.args) {
                        CHECK(arg.offset >= end);
                        CHECK((arg.size == 4 || arg.size == 8));  // a launch copies no other
                        CHECK(arg.offset % arg.size == 0);
                        end = arg.offset + arg.size;
                    }
                }
            }
}

TEST_CASE("plan: grids cover the tokens and stay under 2^31 work-items")
{
    const operator_plan p = plan_of(spec_of(4, 4096), "gfx942", operation::post_fwd);
    const kernel_plan& post = p.kernels.front();
    CHECK(post.grid.groups(1) == 2);  // 4096 channels are two chunks of 256 lanes x 8
    CHECK(post.grid.groups(320) == 640);
    for (const std::int64_t tokens : {std::int64_t{1}, std::int64_t{1} << 20, std::int64_t{1} << 40})
        CHECK(post.grid.groups(tokens) * post.block < (std::int64_t{1} << 31));
    const operator_plan layer = plan_of(spec_of(4, 4096), "gfx942", operation::static_layer_fwd);
    CHECK(layer.kernels.front().grid.groups(1000) == 1);
}

TEST_CASE("plan: kernels that read a tensor again take chunks of tokens that the last-level cache holds")
{
    constexpr std::int64_t C = 4096, n = 4, row = C * 2, many = 8192;
    const operator_plan pre = plan_of(spec_of(n, C), "gfx942", operation::pre_fwd);
    const std::int64_t token = (n + 1) * row + pre.workspace_bytes_per_token;
    CHECK(pre.chunk_tokens_max % 64 == 0);
    CHECK(pre.chunk_tokens_max * token <= std::int64_t{192} << 20);
    CHECK((pre.chunk_tokens_max + 64) * token > std::int64_t{192} << 20);
    CHECK(pre.chunk_tokens(pre.chunk_tokens_max) == pre.chunk_tokens_max);
    CHECK(pre.chunk_tokens(pre.chunk_tokens_max + 1) == (pre.chunk_tokens_max + 1 + 127) / 128 * 64);  // two equal ones
    CHECK(pre.chunk_tokens(0) == 0);
    CHECK(plan_of(spec_of(n, C), "gfx942", operation::post_pre_fwd).chunk_tokens(many) < pre.chunk_tokens(many));
    CHECK(plan_of(spec_of(n, C), "gfx942", operation::dynamic_layer_fwd).chunk_tokens(many) < many);
    CHECK(plan_of(spec_of(n, C), "gfx1200", operation::pre_fwd).chunk_tokens(many) < pre.chunk_tokens(many) / 4);
    // One kernel, sums over all tokens, tensors between the caller's calls, a target without such a cache.
    for (const operation op : {operation::post_fwd, operation::static_layer_fwd, operation::pre_bwd,
                               operation::pre_project_fwd, operation::pre_big_fuse})
        CHECK(plan_of(spec_of(n, C), "gfx942", op).chunk_tokens(many) == many);
    for (const char* target : {"gfx90a", "sm_90", "host:x86-64-v3"})
        CHECK(plan_of(spec_of(n, C), target, operation::pre_fwd).chunk_tokens(many) == many);
    // Too few tokens would fit.
    CHECK(plan_of(spec_of(32, 7168), "gfx1200", operation::pre_fwd).chunk_tokens(many) == many);
}

TEST_CASE("plan: a device's compute units decide grids and chunks of tokens, and no kernel")
{
    const auto plan_with = [](std::int32_t compute_units) {
        target on = parse_target("gfx942").value();
        on.compute_units = compute_units;
        return plan(spec_of(4, 4096), on, operation::pre_fwd).value();
    };
    const operator_plan largest = plan_with(0), of_80 = plan_with(80), of_partition = plan_with(38);
    CHECK(largest.kernels.front().grid.groups(1 << 20) == 608);  // 16 slices of them
    CHECK(of_80.kernels.front().grid.groups(1 << 20) == 160);
    CHECK(of_partition.kernels.front().grid.groups(1 << 20) == 64);
    CHECK(of_80.chunk_tokens_max == largest.chunk_tokens_max);
    CHECK(of_partition.chunk_tokens_max > 0);
    CHECK(of_partition.chunk_tokens_max <= largest.chunk_tokens_max / 8);
    CHECK(plan_with(304).chunk_tokens_max == largest.chunk_tokens_max);
    for (const operator_plan* other : {&of_80, &of_partition})
        for (std::size_t i = 0; i < largest.kernels.size(); ++i)
            CHECK(key_text_of(other->kernels[i], "gfx942") == key_text_of(largest.kernels[i], "gfx942"));
}

TEST_CASE("plan: the slices of a sum are a function of the channels and the kind of target, not of the block")
{
    const auto slice_of = [](const jit::layer_spec& s, const char* target, operation op) {
        return plan_of(s, target, op).kernels.front().bindings.at("slice");
    };
    for (const std::int32_t n : {1, 4, 8})
        for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp32}) {
            jit::layer_spec s = spec_of(n, 7168);
            s.dtype = type;
            for (const char* target : {"gfx942", "gfx1100", "gfx1200"}) {
                const bool is_cdna = std::string_view(target) == "gfx942";
                const bool has_tiles = n <= 4 && (is_cdna || type == jit::dtype::bf16);  // 1024 channels of all streams
                CHECK(slice_of(s, target, operation::rmsnorm_fwd) == "1024");
                CHECK(slice_of(s, target, operation::pre_fwd) == (has_tiles ? std::to_string(1024 / n)
                                                                  : is_cdna && n == 8
                                                                      ? "448"  // sixteen slices of whole steps
                                                                      : "1024"));
            }
        }
}

TEST_CASE("plan: streams that nobody keeps are stored only where they are many or matrix units read them")
{
    using names = std::vector<std::string>;
    for (const char* target : {"gfx1100", "sm_80", "host:x86-64-v3"}) {
        CHECK(families(spec_of(8, 4096), target, operation::post_head_fwd) ==
              names{"project_post", "head_coefficients", "apply_post"});
        CHECK(families(spec_of(9, 4096), target, operation::post_head_fwd) ==
              names{"post", "project", "head_coefficients", "apply_mix"});
    }
    for (const char* target : {"sm_90", "gfx942"}) {
        CHECK(families(spec_of(4, 4096), target, operation::post_head_fwd) ==
              names{"post", "project_tiles", "head_coefficients", "apply_mix"});
        CHECK(families(spec_of(8, 4096), target, operation::post_head_fwd) ==
              names{"post", "project_wide", "head_coefficients", "apply_mix"});
    }
    jit::layer_spec chosen = spec_of(4, 4096);
    chosen.norm_weight = true;
    CHECK(families(chosen, "sm_80", operation::post_head_fwd) ==
          names{"project_post", "head_coefficients", "apply_post_norm"});
    chosen.fn_order = jit::fn_order::phi;
    CHECK(families(chosen, "sm_80", operation::post_head_fwd) ==
          names{"post", "arrange_fn", "project", "head_coefficients", "apply_mix_norm"});
}

TEST_CASE("plan: an operator's stages and the whole have the same kernels, by key")
{
    const jit::layer_spec s = spec_of(4, 4096);
    const auto keys = [&](operation op, const char* target) {
        std::vector<std::string> all;
        for (const kernel_plan& k : plan_of(s, target, op).kernels) all.push_back(key_text_of(k, target));
        return all;
    };
    for (const char* target : {"gfx942", "gfx1100", "host:x86-64-v3"}) {
        const auto pre = keys(operation::pre_fwd, target), fused = keys(operation::post_pre_fwd, target);
        REQUIRE(pre.size() == 3);
        CHECK(keys(operation::pre_project_fwd, target) == std::vector{pre[0]});
        CHECK(keys(operation::coeffs_fwd, target) == std::vector{pre[1]});
        CHECK(keys(operation::pre_big_fuse, target) == std::vector{pre[1], pre[2]});
        CHECK(fused == std::vector{keys(operation::post_fwd, target)[0], pre[0], pre[1], pre[2]});
        CHECK(keys(operation::broadcast_pre_fwd, target) == pre);
        CHECK(keys(operation::delayed_pre_fwd, target) == pre);
        const auto head = keys(operation::head_fwd, target);
        CHECK(head[0] == pre[0]);
        CHECK(head[2] == pre[2]);
    }
}

TEST_CASE("plan: the gradient of a layer with reference_rounding is that of the layer without it")
{
    jit::layer_spec exact = spec_of(4, 1280), rounding = exact;
    rounding.options.reference_rounding = true;
    for (const operation op : {operation::static_layer_bwd, operation::dynamic_layer_bwd}) {
        const operator_plan a = plan_of(exact, "gfx942", op), b = plan_of(rounding, "gfx942", op);
        REQUIRE(a.kernels.size() == b.kernels.size());
        for (std::size_t i = 0; i < a.kernels.size(); ++i)
            CHECK(key_text_of(a.kernels[i], "gfx942") == key_text_of(b.kernels[i], "gfx942"));
    }
}

TEST_CASE("plan: gradients make again what forward operators make, with their kernels")
{
    const jit::layer_spec s = spec_of(4, 4096);
    const auto key = [&](operation op, std::size_t kernel) {
        return key_text_of(plan_of(s, "gfx942", op).kernels.at(kernel), "gfx942");
    };
    CHECK(key(operation::post_pre_bwd, 0) == key(operation::post_fwd, 0));
    CHECK(key(operation::post_pre_bwd, 1) == key(operation::pre_fwd, 0));
    CHECK(key(operation::post_head_bwd, 0) == key(operation::post_fwd, 0));
    CHECK(key(operation::post_head_bwd, 1) == key(operation::head_bwd, 0));
    CHECK(key(operation::pre_bwd, 0) == key(operation::pre_fwd, 0));
    CHECK(key(operation::dynamic_layer_bwd, 0) == key(operation::dynamic_layer_fwd, 0));
    CHECK(key(operation::static_layer_bwd, 0) == key(operation::static_layer_fwd, 0));
}

TEST_CASE("plan: a parameter is fed from another operand, or from its place in the workspace")
{
    const auto source_of = [](const kernel_plan& k, slot parameter) {
        for (const argument& arg : k.args)
            if (arg.parameter == parameter) return std::pair(std::string(name_of(arg.what)), arg.bytes_per_token);
        return std::pair(std::string("none"), std::int64_t{0});
    };
    using place = std::pair<std::string, std::int64_t>;
    const operator_plan fused = plan_of(spec_of(4, 4096), "gfx942", operation::post_pre_fwd);
    CHECK(source_of(fused.kernels[0], slot::x) == place("x", 0));
    CHECK(source_of(fused.kernels[1], slot::x) == place("out", 0));
    CHECK(source_of(fused.kernels[1], slot::x_stream_stride) == place("out_stream_stride", 0));
    CHECK(source_of(fused.kernels[1], slot::proj) == place("workspace", 0));
    CHECK(source_of(fused.kernels[1], slot::sqsum) == place("workspace", 16 * 24 * 4));  // behind [16, T, 24]
    CHECK(source_of(fused.kernels[2], slot::mix) == place("next_mix", 0));
    CHECK(source_of(fused.kernels[3], slot::pre) == place("next_pre", 0));
    const operator_plan delayed = plan_of(spec_of(4, 4096), "gfx942", operation::delayed_pre_fwd);
    CHECK(source_of(delayed.kernels[1], slot::pre) == place("pre", 0));
    CHECK(source_of(delayed.kernels[2], slot::pre) == place("previous_pre", 0));
    const operator_plan head = plan_of(spec_of(4, 4096), "gfx942", operation::head_fwd);
    CHECK(source_of(head.kernels[1], slot::sqsum) == place("workspace", 16 * 4 * 4));
    CHECK(source_of(head.kernels[2], slot::pre) == place("workspace", 16 * 5 * 4));
    CHECK(source_of(plan_of(spec_of(4, 4096), "gfx942", operation::coeffs_fwd).kernels[0], slot::proj) == place("proj", 0));
    CHECK(fused.slices == 16);
}

TEST_CASE("plan: workspace holds coefficients and the slices of a projection")
{
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::pre_fwd).workspace_bytes_per_token == 16 * 25 * 4);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::dynamic_layer_fwd).workspace_bytes_per_token == (24 + 16 * 25) * 4);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::static_layer_fwd).workspace_bytes_fixed == 24 * 4);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::post_pre_fwd).workspace_bytes_per_token == 16 * 25 * 4);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::head_fwd).workspace_bytes_per_token == (16 * 5 + 4) * 4);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::post_head_fwd).workspace_bytes_per_token ==
          4 * 4096 * 2 + (16 * 5 + 4) * 4);
    CHECK(plan_of(spec_of(9, 127), "gfx942", operation::post_head_fwd).workspace_bytes_per_token ==
          9 * 127 * 2 + 2 + (10 + 9) * 4);
    for (const operation op : {operation::post_fwd, operation::pre_project_fwd, operation::split_mixes_fwd,
                               operation::coeffs_fwd, operation::pre_big_fuse})
        CHECK(plan_of(spec_of(4, 4096), "gfx942", op).workspace_bytes_per_token == 0);
}
