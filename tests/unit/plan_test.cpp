// tests/unit/plan_test.cpp -- plans, sources and keys: pure functions of spec and target.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "cache/code_store.hpp"
#include "codegen/compile_options.hpp"
#include "codegen/key.hpp"
#include "codegen/plan_kernels.hpp"
#include "codegen/render.hpp"
#include "runtime/object_source.hpp"

using namespace mhc;
using namespace mhc::codegen;
using jit::operation;

namespace {

jit::layer_spec spec_of(std::int32_t n, std::int64_t C)
{
    jit::layer_spec s;
    s.n_streams = n;
    s.hidden_dim = C;
    s.wanted = jit::operations::all();
    return s;
}

operator_plan plan_of(const jit::layer_spec& s, const char* target, operation op)
{
    return plan(s, parse_target(target).value(), op).value();
}

std::string key_text_of(const kernel_plan& k, const char* target)
{
    return codegen::key_of(k, parse_target(target).value(), runtime::source_digest(k)).canonical();
}

}  // namespace

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

TEST_CASE("plan: matrix units make projections of bf16, in NVIDIA's with the mix in one kernel")
{
    using names = std::vector<std::string>;
    const auto families = [](const jit::layer_spec& s, const char* target, operation op) {
        names all;
        for (const kernel_plan& k : plan_of(s, target, op).kernels) all.push_back(k.family);
        return all;
    };
    const names tiles{"project_tiles", "pre_mix"}, portable{"project", "coefficients", "apply_mix"};
    const jit::layer_spec s = spec_of(4, 4096);
    for (const char* target : {"sm_90", "sm_100"}) CHECK(families(s, target, operation::pre_fwd) == tiles);
    CHECK(families(s, "sm_90a", operation::pre_fwd) == names{"project_tiles", "pre_mix", "pre_one_pass"});
    for (const char* target : {"sm_80", "sm_89", "sm_120", "gfx1030", "gfx1250", "host:x86-64-v3"})
        CHECK(families(s, target, operation::pre_fwd) == portable);
    for (const char* target : {"gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1101", "gfx1200", "gfx1201"}) {
        CHECK(families(s, target, operation::pre_fwd) == names{"project_tiles", "coefficients", "apply_mix"});
        CHECK(families(s, target, operation::dynamic_layer_fwd).front() == "project_three_tiles");
    }
    CHECK(families(s, "sm_90", operation::post_pre_fwd) == names{"post", "project_tiles", "pre_mix"});
    CHECK(families(s, "sm_90", operation::pre_big_fuse) == names{"pre_mix"});
    CHECK(families(s, "sm_90", operation::dynamic_layer_fwd).front() == "project_three_tiles");

    jit::layer_spec other = s;
    for (const jit::dtype type : {jit::dtype::fp16, jit::dtype::fp32}) {
        other.dtype = type;
        CHECK(families(other, "sm_90", operation::pre_fwd) == tiles);
        CHECK(families(other, "sm_90a", operation::pre_fwd) ==
              (type == jit::dtype::fp16 ? names{"project_tiles", "pre_mix", "pre_one_pass"} : tiles));
        CHECK(families(other, "gfx942", operation::pre_fwd).front() == "project_tiles");
        CHECK(families(other, "gfx1200", operation::pre_fwd).front() ==
              (type == jit::dtype::fp16 ? "project_tiles" : "project"));
    }
    other.hidden_dim = 504;  // few terms: what is left out of them would count
    CHECK(families(other, "sm_90", operation::pre_fwd) == portable);
    other = s;
    other.options.arithmetic = jit::projection::strict;
    CHECK(families(other, "sm_90", operation::pre_fwd) == portable);
    other = s;
    other.norm_weight = true;
    CHECK(families(other, "sm_90", operation::pre_fwd) == names{"project_tiles", "coefficients", "apply_mix_norm"});
    for (const std::int32_t n : {1, 2, 4}) CHECK(families(spec_of(n, 1288), "sm_90", operation::pre_fwd) == tiles);
    const names wide{"project_wide", "coefficients", "apply_mix"};
    for (const std::int32_t n : {3, 8, 32})
        for (const char* target : {"gfx90a", "gfx942", "gfx950"})
            CHECK(families(spec_of(n, 1288), target, operation::pre_fwd) == wide);
    CHECK(families(spec_of(3, 1288), "sm_90", operation::pre_fwd) == wide);
    for (const char* target : {"sm_80", "gfx1100", "gfx1200"})
        CHECK(families(spec_of(8, 1288), target, operation::pre_fwd) == portable);
    CHECK(families(spec_of(8, 1288), "sm_90", operation::dynamic_layer_fwd).front() == "project_three_wide");
    // A head's kernel has a block of its own rows, not of all.
    CHECK(plan_of(spec_of(8, 1280), "sm_90", operation::head_fwd).kernels.front().bindings.at("row_tiles") == "1");
    // Few tokens are one work-group a slice, or one for each tile of rows.
    const operator_plan by_tokens = plan_of(spec_of(8, 1280), "sm_90", operation::pre_fwd);
    REQUIRE(by_tokens.kernels.size() == 4);
    const kernel_plan &few = by_tokens.kernels[0], &many = by_tokens.kernels[1];
    CHECK(few.bindings.at("row_tiles") == "1");
    CHECK(many.bindings.at("row_tiles") == "5");
    CHECK(few.bindings.at("slice") == many.bindings.at("slice"));
    for (const std::int64_t tokens : {1, 512, 513, 8192})
        CHECK(by_tokens.launches(few, tokens) != by_tokens.launches(many, tokens));
    CHECK(by_tokens.launches(few, 512));
    CHECK(families(spec_of(4, 1284), "sm_90", operation::pre_fwd) == portable);

    const std::map<std::int64_t, std::int64_t> slices{{8, 1},     {1280, 4},  {1920, 8},  {4096, 16}, {7168, 16},
                                                      {7176, 15}, {8192, 16}, {8200, 19}, {16384, 37}};
    for (const auto& [C, count] : slices) {
        const operator_plan planned = plan_of(spec_of(4, C), "sm_90", operation::pre_fwd);
        const kernel_plan& project = planned.kernels.front();
        CHECK(planned.slices == count);
        CHECK(planned.slices * channels_of_ranks(4, C) >= C);
        CHECK((planned.slices - 1) * channels_of_ranks(4, C) < C);
        for (const std::int64_t tokens : {1, 16, 17, 320, 8192})  // every group has one slice
            CHECK(project.grid.groups(tokens) % planned.slices == 0);
        for (const kernel_plan& k : planned.kernels) CHECK(k.lds_bytes + 8192 <= 227 * 1024);
        for (const char* target : {"gfx90a", "gfx942", "gfx1100", "gfx1200"}) {
            const operator_plan on_amd = plan_of(spec_of(4, C), target, operation::pre_fwd);
            CHECK(on_amd.slices == (C + 255) / 256);
            for (const std::int64_t tokens : {1, 16, 17, 320, 8192})
                CHECK(on_amd.kernels.front().grid.groups(tokens) % on_amd.slices == 0);
            CHECK(on_amd.kernels.front().lds_bytes == 0);  // what it takes it declares
        }
    }
}

TEST_CASE("plan: four waves together make gradients' products, and the streams' with them, where a target has those")
{
    const auto family = [](const jit::layer_spec& s, const char* target, operation op, std::size_t kernel) {
        return plan_of(s, target, op).kernels.at(kernel).family;
    };
    const auto tiles_of = [](const jit::layer_spec& s, const char* target, operation op) {
        for (const kernel_plan& k : plan_of(s, target, op).kernels)
            if (k.family.ends_with("tiles_bwd")) return k.bindings.at("gradient");
        return std::string("none");
    };
    const jit::layer_spec s = spec_of(4, 4096);
    jit::layer_spec with_norm = s;
    with_norm.norm_weight = true;
    for (const operation op : {operation::pre_bwd, operation::head_bwd}) {
        CHECK(family(s, "sm_90a", op, 0) == "fn_factors");
        CHECK(family(s, "sm_90a", op, 1) == "project_products");
        CHECK(family(s, "sm_90", op, 0) == "project_tiles");
        CHECK(family(with_norm, "sm_90a", op, 0) == "project_tiles");  // whose products depend on pre
        CHECK(family(spec_of(1, 4096), "sm_90a", op, 0) == "project_tiles");
    }
    for (const operation op : {operation::pre_bwd, operation::post_pre_bwd, operation::dynamic_layer_bwd}) {
        CHECK(tiles_of(s, "sm_90a", op) == "gradient_groups");
        CHECK(tiles_of(with_norm, "sm_90a", op) == "gradient_groups");
        CHECK(tiles_of(spec_of(1, 4096), "sm_90a", op) == "gradient_tiles");
        for (const char* target : {"sm_90", "sm_100", "gfx942"}) CHECK(tiles_of(s, target, op) == "gradient_tiles");
    }
    CHECK(tiles_of(s, "sm_90a", operation::pre_project_bwd) == "gradient_tiles");  // whose splits a launch knows
    for (const std::int32_t n : {2, 4})
        for (const std::int64_t C : {64, 136, 1280, 4096, 7168})
            for (const operation op : {operation::pre_bwd, operation::head_bwd, operation::post_pre_bwd,
                                       operation::post_head_bwd, operation::dynamic_layer_bwd})
                for (const kernel_plan& k : plan_of(spec_of(n, C), "sm_90a", op).kernels) {
                    CHECK(k.lds_bytes <= 227 * 1024);
                    if (k.family != "project_products") continue;
                    for (const std::int64_t tokens : {1, 129, 8192}) CHECK(k.grid.groups(tokens) % ((C + 255) / 256) == 0);
                }
}

TEST_CASE("plan: the arguments of every operator fit the launch block where the copy engine is told of streams")
{
    for (int i = 0; i < jit::operation_count; ++i)
        for (const std::int32_t n : {1, 4}) {
            const operator_plan p = plan_of(spec_of(n, 1280), "sm_90a", static_cast<operation>(i));
            REQUIRE_FALSE(p.kernels.empty());
            for (const kernel_plan& k : p.kernels) {
                CAPTURE(k.family);
                CHECK(k.argument_bytes <= argument_bytes_max);
                CHECK(k.args.size() <= arguments_max);
            }
        }
}

TEST_CASE("plan: a cluster of work-groups reads the streams once, where there are clusters and a slice fits registers")
{
    const auto is_one_pass = [](const jit::layer_spec& s, const char* target, operation op) {
        const operator_plan planned = plan_of(s, target, op);
        const std::string& family = planned.kernels.back().family;
        const bool has = family == "pre_one_pass" || family == "post_pre_one_pass" || family == "layer_one_pass";
        CHECK(has == (planned.one_pass_tokens != 0));
        if (!has) return false;
        // A launch has either this kernel or those that read the streams several times.
        const std::int64_t tokens = planned.one_pass_tokens;
        int once = 0, often = 0;
        for (const kernel_plan& k : planned.kernels) {
            once += planned.launches(k, tokens) ? 1 : 0;
            often += planned.launches(k, tokens - 1) ? 1 : 0;
        }
        CHECK(once == 1);
        CHECK(often == (op == operation::post_pre_fwd ? 3 : 2));
        return true;
    };
    const jit::layer_spec s = spec_of(4, 4096);
    CHECK(is_one_pass(s, "sm_90a", operation::pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::post_pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::broadcast_pre_fwd));
    CHECK_FALSE(is_one_pass(s, "sm_90", operation::pre_fwd));
    CHECK_FALSE(is_one_pass(s, "sm_90a", operation::delayed_pre_fwd));  // whose pre is another's
    CHECK_FALSE(is_one_pass(s, "sm_90a", operation::head_fwd));
    CHECK_FALSE(is_one_pass(spec_of(2, 4096), "sm_90a", operation::pre_fwd));
    CHECK(is_one_pass(spec_of(4, 8192), "sm_90a", operation::pre_fwd));
    CHECK_FALSE(is_one_pass(spec_of(4, 8200), "sm_90a", operation::pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::dynamic_layer_fwd));
    CHECK_FALSE(is_one_pass(s, "sm_90", operation::dynamic_layer_fwd));
    CHECK_FALSE(is_one_pass(s, "sm_90a", operation::static_layer_fwd));
    CHECK_FALSE(is_one_pass(spec_of(2, 4096), "sm_90a", operation::dynamic_layer_fwd));
    CHECK_FALSE(is_one_pass(spec_of(4, 7176), "sm_90a", operation::dynamic_layer_fwd));
    jit::layer_spec other = s;
    other.dtype = jit::dtype::fp32;
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::dynamic_layer_fwd));
    other = s;
    other.norm_weight = true;
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::pre_fwd));
    other = s;
    other.alignment_bytes = 4;
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::pre_fwd));
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::dynamic_layer_fwd));
    other = s;
    other.fn_order = jit::fn_order::phi;
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::pre_fwd));

    for (const operation op : {operation::pre_fwd, operation::dynamic_layer_fwd})
        for (const std::int64_t C : {8, 64, 72, 384}) CHECK_FALSE(is_one_pass(spec_of(4, C), "sm_90a", op));
    const auto check_geometry = [](std::int64_t C, operation op, const char* family) {
        const operator_plan planned = plan_of(spec_of(4, C), "sm_90a", op);
        const kernel_plan& k = planned.kernels.back();
        REQUIRE(k.family == family);
        CHECK(k.cluster == planned.slices);
        CHECK(k.cluster >= 2);  // one group may not send to itself
        CHECK(k.cluster <= 16);
        for (const std::int64_t tokens : {1, 8, 9, 320, 8192}) CHECK(k.grid.groups(tokens) % k.cluster == 0);
        CHECK(k.lds_bytes <= 227 * 1024);
        CHECK(std::stoi(k.bindings.at("more_registers")) + std::stoi(k.bindings.at("fewer_registers")) <= 256);
    };
    // More clusters than run at once would take twice as long.
    for (const auto& [C, groups] : std::map<std::int64_t, std::int64_t>{{1280, 30 * 4}, {1672, 15 * 7}, {3584, 7 * 14}})
        CHECK(plan_of(spec_of(4, C), "sm_90a", operation::pre_fwd).kernels.back().grid.groups(8192) == groups);
    for (const std::int64_t C : {392, 1280, 1920, 2560, 2880, 3584, 4096, 5120, 7168, 7680, 8192}) {
        check_geometry(C, operation::pre_fwd, "pre_one_pass");
        check_geometry(C, operation::post_pre_fwd, "post_pre_one_pass");
        if (C <= 7168) check_geometry(C, operation::dynamic_layer_fwd, "layer_one_pass");
    }
}

TEST_CASE("plan: rows of a dynamic layer that a cluster may have are summed in its order, whichever kernel has them")
{
    const auto slice_of = [](const jit::layer_spec& s, const char* target, operation op, const char* family) {
        for (const kernel_plan& k : plan_of(s, target, op).kernels)
            if (k.family == family) return k.bindings.at("slice");
        return std::string("no such kernel");
    };
    const jit::layer_spec s = spec_of(4, 4096);
    jit::layer_spec unaligned = s;
    unaligned.alignment_bytes = 2;
    CHECK(slice_of(s, "sm_90a", operation::dynamic_layer_fwd, "dynamic_layer_ahead") == "512, 256");
    CHECK(slice_of(unaligned, "sm_90a", operation::dynamic_layer_fwd, "layer") == "512, 256");
    CHECK(slice_of(s, "sm_90a", operation::static_layer_fwd, "layer_ahead") == "512");
    CHECK(slice_of(unaligned, "sm_90a", operation::static_layer_fwd, "layer") == "512");
    CHECK(slice_of(s, "sm_90", operation::dynamic_layer_fwd, "dynamic_layer_ahead") == "512");
    CHECK(slice_of(spec_of(2, 4096), "sm_90a", operation::dynamic_layer_fwd, "dynamic_layer_ahead") == "512");
}

TEST_CASE("plan: NVIDIA's short work-groups have few lanes past a row's end, and registers for all that they ask for")
{
    struct block_of {
        std::int64_t hidden_dim;
        int block;
    };
    for (const auto& [C, block] :
         {block_of{64, 32}, {1000, 128}, {1280, 160}, {1536, 96}, {2560, 160}, {4096, 128}, {7168, 128}}) {
        const kernel_plan k = plan_of(spec_of(4, C), "sm_90", operation::post_fwd).kernels.front();
        CAPTURE(C);
        CHECK(k.block == block);
        const int resident = std::stoi(k.bindings.at("resident"));
        CHECK(resident >= 1);
        CHECK(65536 / (resident * block) >= 96);  // of a multiprocessor's registers, a lane's
    }
    const kernel_plan of_eight = plan_of(spec_of(8, 4096), "sm_90", operation::post_fwd).kernels.front();
    CHECK(65536 / (std::stoi(of_eight.bindings.at("resident")) * of_eight.block) >= 255);
}

TEST_CASE("plan: a layer's streams are on their way to LDS before their use, where a kernel is given LDS for two tokens")
{
    const auto layer_of = [](const jit::layer_spec& s, const char* target) {
        return plan_of(s, target, operation::static_layer_fwd).kernels.back();
    };
    for (const std::int64_t C : {8, 1280, 4096, 7168, 8192}) {
        const kernel_plan k = layer_of(spec_of(4, C), "sm_90a");
        CAPTURE(C);
        REQUIRE(k.family == "layer_ahead");
        CHECK(k.may_overlap == overlap::with_own);
        CHECK(k.block == (C <= 2048 ? (C + 255) / 256 : (C + 511) / 512) * 32);  // a wave for each slice
        const int resident = std::stoi(k.bindings.at("resident")), stages = std::stoi(k.bindings.at("stages"));
        CHECK(stages >= 2);
        CHECK(resident * k.lds_bytes <= 200 * 1024);
    }
    CHECK(layer_of(spec_of(4, 8200), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(4, 1281), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(8, 1280), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(4, 1280), "sm_80").family == "layer");
    CHECK(layer_of(spec_of(4, 1280), "gfx942").family == "layer");
}

TEST_CASE("plan: an operator of decoding may start before the kernel ahead has ended, where kernels may overlap")
{
    const auto starts_early = [](operation op, const char* target, const std::string& family) {
        const operator_plan made = plan_of(spec_of(4, 4096), target, op);
        const auto is_it = [&](const kernel_plan& k) { return k.family == family; };
        const auto found = std::find_if(made.kernels.begin(), made.kernels.end(), is_it);
        REQUIRE(found != made.kernels.end());
        return found->may_overlap == overlap::with_any;
    };
    for (const char* target : {"sm_90", "sm_90a"}) {
        CHECK(starts_early(operation::post_fwd, target, "post"));
        CHECK(starts_early(operation::pre_fwd, target, "project_tiles"));
        CHECK(starts_early(operation::pre_big_fuse, target, "pre_mix"));
        CHECK_FALSE(starts_early(operation::pre_fwd, target, "pre_mix"));  // it reads streams before it waits for sums
        CHECK_FALSE(starts_early(operation::static_layer_fwd, target, "static_coefficients"));
    }
    CHECK(starts_early(operation::pre_fwd, "sm_90a", "pre_one_pass"));
    CHECK(starts_early(operation::post_pre_fwd, "sm_90a", "post_pre_one_pass"));
    CHECK(starts_early(operation::dynamic_layer_fwd, "sm_90a", "layer_one_pass"));
    for (const char* target : {"sm_80", "gfx942", "gfx1100"})
        for (int op = 0; op < jit::operation_count; ++op)
            for (const kernel_plan& k : plan_of(spec_of(4, 4096), target, static_cast<operation>(op)).kernels)
                CHECK(k.may_overlap == overlap::none);
}

TEST_CASE("plan: streams that nobody keeps are stored only where they are many or matrix units read them")
{
    using names = std::vector<std::string>;
    const auto families = [](jit::layer_spec s, const char* target) {
        names all;
        for (const kernel_plan& k : plan_of(s, target, operation::post_head_fwd).kernels) all.push_back(k.family);
        return all;
    };
    for (const char* target : {"gfx1100", "sm_80", "host:x86-64-v3"}) {
        CHECK(families(spec_of(8, 4096), target) == names{"project_post", "head_coefficients", "apply_post"});
        CHECK(families(spec_of(9, 4096), target) == names{"post", "project", "head_coefficients", "apply_mix"});
    }
    for (const char* target : {"sm_90", "gfx942"}) {
        CHECK(families(spec_of(4, 4096), target) == names{"post", "project_tiles", "head_coefficients", "apply_mix"});
        CHECK(families(spec_of(8, 4096), target) == names{"post", "project_wide", "head_coefficients", "apply_mix"});
    }
    jit::layer_spec chosen = spec_of(4, 4096);
    chosen.norm_weight = true;
    CHECK(families(chosen, "sm_80") == names{"project_post", "head_coefficients", "apply_post_norm"});
    chosen.fn_order = jit::fn_order::phi;
    CHECK(families(chosen, "sm_80") == names{"post", "arrange_fn", "project", "head_coefficients", "apply_mix_norm"});
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

TEST_CASE("render: holes are named, and an unknown or an unused name is an error")
{
    CHECK(fill("a ${x} b ${y}${x}", {{"x", "1"}, {"y", "2"}}) == "a 1 b 21");
    CHECK_THROWS_AS((void)fill("${x} ${z}", {{"x", "1"}}), std::logic_error);
    CHECK_THROWS_AS((void)fill("${x}", {{"x", "1"}, {"y", "2"}}), std::logic_error);
}

TEST_CASE("render: a source is self-contained, begins with its plan, and has no hole left")
{
    for (const char* target : {"gfx942", "host:x86-64-v3"})
        for (int i = 0; i < jit::operation_count; ++i) {
            const operator_plan p = plan_of(spec_of(4, 1280), target, static_cast<operation>(i));
            for (const kernel_plan& k : p.kernels) {
                const std::string text = render(k, p.on, "mhc_test");
                CHECK(text.starts_with(std::string("// mhc_test for ") + target));
                CHECK(text.find("#include") == std::string::npos);
                CHECK(text.find("${") == std::string::npos);
                CHECK(text.find("#ifdef") == std::string::npos);
            }
        }
}

TEST_CASE("key: every choice of a spec that changes the code changes the key, and nothing else does")
{
    const jit::layer_spec base = spec_of(4, 4096);
    const auto pre_key = [](const jit::layer_spec& s, const char* target) {
        std::string all;
        for (const kernel_plan& k : plan_of(s, target, operation::pre_fwd).kernels) all += key_text_of(k, target);
        return all;
    };
    std::set<std::string> keys{pre_key(base, "gfx942")};
    const auto add = [&](auto change) {
        jit::layer_spec s = base;
        change(s);
        return keys.insert(pre_key(s, "gfx942")).second;
    };
    CHECK(add([](auto& s) { s.hidden_dim = 4104; }));
    CHECK(add([](auto& s) { s.n_streams = 5; }));
    CHECK(add([](auto& s) { s.dtype = jit::dtype::fp16; }));
    CHECK(add([](auto& s) { s.weight_dtype = jit::dtype::bf16; }));
    CHECK(add([](auto& s) { s.options.order = jit::sinkhorn_order::row_col; }));
    CHECK(add([](auto& s) { s.options.start = jit::sinkhorn_start::log; }));
    CHECK(add([](auto& s) { s.options.sinkhorn_iters = 19; }));
    CHECK(add([](auto& s) { s.options.eps_mode = jit::sinkhorn_eps_mode::thresh; }));
    CHECK(add([](auto& s) { s.options.rms_eps = 1e-5F; }));
    CHECK(add([](auto& s) { s.options.pre_eps = 1e-6F; }));
    CHECK(add([](auto& s) { s.options.post_mult = 1; }));
    CHECK(add([](auto& s) { s.norm_weight = true; }));
    CHECK(add([](auto& s) { s.fn_order = jit::fn_order::phi; }));
    CHECK(add([](auto& s) { s.fn_norm_weight = true; }));
    CHECK(add([](auto& s) { s.norm_weight = true, s.options.norm_eps = 1e-3F; }));
    CHECK(add([](auto& s) { s.layer_input_quant = jit::layer_input_quant::fp8_row; }));
    CHECK(add([](auto& s) { s.layer_input_quant = jit::layer_input_quant::fp8_block128; }));
    CHECK(add([](auto& s) { s.alignment_bytes = 4; }));
    CHECK(keys.insert(pre_key(base, "gfx90a")).second);
    CHECK(keys.insert(pre_key(base, "gfx90a:xnack-")).second);
    // An eps that no step reads, and the layout of a matrix that pre_fwd only returns, change nothing.
    CHECK_FALSE(add([](auto& s) { s.options.sinkhorn_eps = 0.5F; }));
    CHECK_FALSE(add([](auto& s) { s.options.layout = jit::mix_layout::src_dst; }));
    CHECK(add([](auto& s) { s.options.arithmetic = jit::projection::strict; }));  // without matrix units
    CHECK_FALSE(add([](auto& s) { s.wanted = {operation::pre_fwd}; }));
}

TEST_CASE("key: kernels of one key have one name, since a stored row has one")
{
    std::map<std::string, std::string> names;
    int kernels = 0;
    for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32})
        for (const jit::dtype weight : {jit::dtype::bf16, jit::dtype::fp32})
            for (const auto order : {jit::fn_order::fn, jit::fn_order::phi})
                for (int i = 0; i < jit::operation_count; ++i) {
                    jit::layer_spec s = spec_of(4, 1280);
                    s.dtype = type;
                    s.weight_dtype = weight;
                    s.fn_order = order;
                    for (const kernel_plan& k : plan_of(s, "gfx942", static_cast<operation>(i)).kernels) {
                        const std::string& name = names.emplace(key_text_of(k, "gfx942"), k.symbol_base).first->second;
                        CHECK(name == k.symbol_base);
                        ++kernels;
                    }
                }
    CHECK(kernels > static_cast<int>(names.size()));
}

TEST_CASE("key: lengths are part of the text, so fields cannot run into each other")
{
    key_text a, b;
    a.fields = {{"x", "1\n1:y1:2"}};
    b.fields = {{"x", "1"}, {"y", "2"}};
    CHECK(a.canonical() != b.canonical());
}

TEST_CASE("target: an NVIDIA device runs code of its major number, and of an exact architecture only its own")
{
    CHECK(cuda_architecture_for(9, 0) == "sm_90a");
    CHECK(cuda_architecture_for(8, 0) == "sm_80");
    CHECK(cuda_architecture_for(8, 7) == "sm_86");
    CHECK(cuda_architecture_for(12, 1) == "sm_120");
    CHECK(cuda_architecture_for(7, 5).empty());
    CHECK(cuda_runs_on("sm_80", 8, 9));
    CHECK_FALSE(cuda_runs_on("sm_89", 8, 6));
    CHECK_FALSE(cuda_runs_on("sm_80", 9, 0));
    CHECK(cuda_runs_on("sm_90a", 9, 0));
    CHECK_FALSE(cuda_runs_on("sm_90a", 10, 0));
    CHECK_FALSE(cuda_runs_on("gfx942", 9, 0));
}

TEST_CASE("target: names are parsed, features kept in one order, unknown ones refused with the list")
{
    CHECK(parse_target("gfx942").value().wave_size == 64);
    CHECK(parse_target("gfx1100").value().wave_size == 32);
    CHECK(parse_target("gfx90a:xnack-:sramecc+").value().name == "gfx90a:sramecc+:xnack-");
    CHECK(parse_target("gfx950").value().lds_bytes_max == 163840);
    CHECK(parse_target("sm_90").value().kind == target_kind::cuda);
    CHECK(parse_target("sm_90a").value().wave_size == 32);
    for (const char* bad : {"", "gfx", "gfx999", "gfx90a:", "gfx90a:xnack", "gfx90a:xnack+:xnack-", "gfx1100:xnack+", "sm_",
                            "sm_91", "sm_90b", "host:x86-64-v9"}) {
        CAPTURE(bad);
        const auto parsed = parse_target(bad);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == jit::errc::unsupported_target);
    }
    CHECK(parse_target("gfx999").error().message.find("gfx942") != std::string::npos);
}

TEST_CASE("target: a host's name depends on its features alone")
{
    const target a = host_target("x86_64", {"avx2", "fma"}), b = host_target("x86_64", {"fma", "avx2"}),
                 c = host_target("x86_64", {"avx2"});
    CHECK(a.name == b.name);
    CHECK(a.name != c.name);
    CHECK(a.name.starts_with("host:"));
}

TEST_CASE("options: no contraction, no reassociation, and each compiler gets the target")
{
    for (const char* name : {"gfx942", "host:x86-64-v3"}) {
        const auto options = compile_options("clang", parse_target(name).value());
        CHECK(std::count(options.begin(), options.end(), "-ffp-contract=off") == 1);
        for (const std::string& o : options) CHECK(o.find("fast") == std::string::npos);
    }
    const auto features = compile_options("clang", parse_target("gfx90a:sramecc+:xnack-").value());
    CHECK(std::count(features.begin(), features.end(), "+sramecc") == 1);
    CHECK(std::count(features.begin(), features.end(), "-xnack") == 1);
    CHECK(compile_options("hiprtc", parse_target("gfx90a").value()).front() == "--offload-arch=gfx90a");
}
