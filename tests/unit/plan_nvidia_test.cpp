// tests/unit/plan_nvidia_test.cpp -- plans of what NVIDIA GPUs alone have, and of what other targets have instead.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "tests/unit/plan_test_support.hpp"

using namespace mhc;
using namespace mhc::codegen;
using namespace mhc::testing;
using jit::operation;

TEST_CASE("plan: matrix units make projections of bf16, in NVIDIA's with the mix in one kernel")
{
    using names = std::vector<std::string>;
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
        CHECK(families(other, "sm_90a", operation::pre_fwd) == names{"project_tiles", "pre_mix", "pre_one_pass"});
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
    const names wide{"project_wide", "coefficients", "apply_mix"}, portable_mix{"coefficients", "apply_mix"};
    for (const std::int32_t n : {3, 8, 32})
        for (const char* target : {"gfx90a", "gfx942", "gfx950"})
            CHECK(families(spec_of(n, 1288), target, operation::pre_fwd) == wide);
    CHECK(families(spec_of(3, 1288), "sm_90", operation::pre_fwd) == names{"project_wide", "pre_mix"});
    for (const std::int32_t n : {16, 32})
        CHECK(families(spec_of(n, 1288), "sm_90", operation::pre_big_fuse) == portable_mix);
    CHECK(families(spec_of(8, 7168), "sm_90", operation::pre_big_fuse) == portable_mix);  // no room for two tokens
    for (const char* target : {"sm_80", "gfx1100", "gfx1200"})
        CHECK(families(spec_of(8, 1288), target, operation::pre_fwd) == portable);
    CHECK(families(spec_of(8, 1288), "sm_90", operation::dynamic_layer_fwd).front() == "project_three_wide");
    // A head's kernel has a block of its own rows, not of all.
    CHECK(plan_of(spec_of(8, 1280), "sm_90", operation::head_fwd).kernels.front().bindings.at("row_tiles") == "1");
    // Few tokens are one work-group a slice, or one for each tile of rows.
    const operator_plan by_tokens = plan_of(spec_of(8, 1280), "sm_90", operation::pre_fwd);
    REQUIRE(by_tokens.kernels.size() == 3);
    const kernel_plan &few = by_tokens.kernels[0], &many = by_tokens.kernels[1];
    CHECK(few.bindings.at("row_tiles") == "1");
    CHECK(many.bindings.at("row_tiles") == "5");
    CHECK(few.bindings.at("slice") == many.bindings.at("slice"));
    for (const std::int64_t tokens : {1, 512, 513, 8192})
        CHECK(by_tokens.launches(few, tokens) != by_tokens.launches(many, tokens));
    CHECK(by_tokens.launches(few, 512));
    CHECK(families(spec_of(4, 1284), "sm_90", operation::pre_fwd) == portable);
    // By four waves together: fn is arranged first, whatever its order, and one of five kernels has the tokens; of many rows
    // two work-groups have them together, and their waves share slices where tokens are few.
    for (const std::int32_t n : {3, 8, 32}) {
        for (const jit::fn_order order : {jit::fn_order::fn, jit::fn_order::phi}) {
            jit::layer_spec group = spec_of(n, 1288);
            group.fn_order = order;
            const operator_plan planned = plan_of(group, "sm_90a", operation::pre_fwd);
            names first = families(group, "sm_90a", operation::pre_fwd);
            REQUIRE(first.size() >= 2);
            if (order == jit::fn_order::phi) {
                CHECK(first.front() == "arrange_fn");
                first.erase(first.begin());
            }
            CHECK(first[0] == "wide_factors");
            CHECK(first[1] == "project_groups");
            for (const std::int64_t tokens : {1, 128, 129, 256, 257, 512, 513, 1024, 1025, 8192}) {
                int launched = 0;
                for (const kernel_plan& k : planned.kernels) {
                    if (k.family != "project_groups" || !planned.launches(k, tokens)) continue;
                    ++launched;
                    const bool is_few = tokens <= 512, has_four_parts = n == 3 || (n == 8 && tokens <= 128);
                    CHECK(k.lds_bytes <= 227 * 1024);
                    CHECK(k.cluster == (has_four_parts || n == 3 ? 1 : 2));
                    CHECK(k.grid.tokens_per_unit == k.cluster * (is_few ? 64 : tokens <= 1024 ? 128 : 256));
                    CHECK(k.grid.groups(tokens) % k.cluster == 0);
                    CHECK(k.block == (is_few ? (has_four_parts ? 640 : 320) : tokens <= 1024 ? 288 : 640));
                }
                CHECK(launched == 1);
            }
            // A caller's splits are made of the slices, whatever their number.
            const operator_plan stage = plan_of(group, "sm_90a", operation::pre_project_fwd);
            CHECK(stage.kernels.back().family == "sum_slices");
            CHECK(stage.workspace_bytes_per_token == planned.slices * (n * n + 2 * n + 1) * 4);
            CHECK(stage.workspace_bytes_fixed == planned.workspace_bytes_fixed);
        }
    }

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
        const bool has = family.ends_with("_one_pass");
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
        const bool has_own_sum =
            op == operation::head_fwd || op == operation::post_head_fwd || op == operation::delayed_pre_fwd;
        const bool is_after_post = op == operation::post_pre_fwd || op == operation::post_head_fwd;
        CHECK(often == 2 + (has_own_sum ? 1 : 0) + (is_after_post ? 1 : 0));
        return true;
    };
    const jit::layer_spec s = spec_of(4, 4096);
    CHECK(is_one_pass(s, "sm_90a", operation::pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::post_pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::broadcast_pre_fwd));
    CHECK(plan_of(s, "sm_90a", operation::pre_fwd).kernels.back().map.rows == 4);
    CHECK(plan_of(s, "sm_90a", operation::broadcast_pre_fwd).kernels.back().map.rows == 1);
    CHECK_FALSE(is_one_pass(s, "sm_90", operation::pre_fwd));
    CHECK(is_one_pass(s, "sm_90a", operation::delayed_pre_fwd));
    for (const operation op : {operation::head_fwd, operation::post_head_fwd}) {
        CHECK(is_one_pass(s, "sm_90a", op));
        CHECK_FALSE(is_one_pass(s, "sm_90", op));
        CHECK_FALSE(is_one_pass(spec_of(2, 4096), "sm_90a", op));
    }
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
    for (const operation op : {operation::pre_fwd, operation::post_pre_fwd, operation::head_fwd, operation::post_head_fwd,
                               operation::delayed_pre_fwd, operation::dynamic_layer_fwd}) {
        CHECK(is_one_pass(other, "sm_90a", op));
        CHECK_FALSE(is_one_pass(other, "sm_90", op));
    }
    other.hidden_dim = 7176;
    CHECK_FALSE(is_one_pass(other, "sm_90a", operation::pre_fwd));
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
    const auto check_geometry = [](std::int64_t C, operation op, const char* family, jit::dtype type) {
        jit::layer_spec of = spec_of(4, C);
        of.dtype = type;
        const operator_plan planned = plan_of(of, "sm_90a", op);
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
    const auto check_geometries = [&](std::int64_t C, jit::dtype type) {
        check_geometry(C, operation::pre_fwd, "pre_one_pass", type);
        check_geometry(C, operation::broadcast_pre_fwd, "pre_one_pass", type);
        check_geometry(C, operation::post_pre_fwd, "post_pre_one_pass", type);
        check_geometry(C, operation::head_fwd, "head_one_pass", type);
        check_geometry(C, operation::delayed_pre_fwd, "delayed_one_pass", type);
        check_geometry(C, operation::post_head_fwd, "post_head_one_pass", type);
        if (C <= 7168) check_geometry(C, operation::dynamic_layer_fwd, "layer_one_pass", type);
    };
    for (const std::int64_t C : {392, 1280, 1920, 2560, 2880, 3584, 4096, 5120, 7168, 7680, 8192})
        check_geometries(C, jit::dtype::bf16);
    for (const std::int64_t C : {520, 768, 1280, 1920, 2560, 4096, 4104, 5120, 6144, 7168})
        check_geometries(C, jit::dtype::fp32);
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
    CHECK(slice_of(s, "sm_90a", operation::static_layer_fwd, "static_layer_ahead") == "512");
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
        CHECK(starts_early(operation::static_layer_fwd, target, "static_layer_ahead"));
    }
    CHECK(starts_early(operation::pre_fwd, "sm_90a", "pre_one_pass"));
    CHECK(starts_early(operation::post_pre_fwd, "sm_90a", "post_pre_one_pass"));
    CHECK(starts_early(operation::dynamic_layer_fwd, "sm_90a", "layer_one_pass"));
    for (const char* target : {"sm_80", "gfx942", "gfx1100"})
        for (int op = 0; op < jit::operation_count; ++op)
            for (const kernel_plan& k : plan_of(spec_of(4, 4096), target, static_cast<operation>(op)).kernels)
                CHECK(k.may_overlap == overlap::none);
}
