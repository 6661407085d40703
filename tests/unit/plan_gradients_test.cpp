// tests/unit/plan_gradients_test.cpp -- plans of gradients that four waves of an NVIDIA GPU together make products for.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/plan_test_support.hpp"

using namespace mhc;
using namespace mhc::codegen;
using namespace mhc::testing;
using jit::operation;

TEST_CASE("plan: four waves together make gradients' products, and the streams' with them, where a target has those")
{
    const auto family = [](const jit::layer_spec& s, const char* target, operation op, std::size_t kernel) {
        return plan_of(s, target, op).kernels.at(kernel).family;
    };
    const auto tiles_of = [](const jit::layer_spec& s, const char* target, operation op) {
        for (const kernel_plan& k : plan_of(s, target, op).kernels)
            if (k.family.ends_with("tiles_bwd"))
                return k.bindings.contains("gradient") ? k.bindings.at("gradient") : k.family;
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
        const bool is_layer = op == operation::dynamic_layer_bwd;  // whose norm is always there
        const char* const all_streams = is_layer ? "dynamic_row_tiles_bwd" : "transition_tiles_bwd";
        CHECK(tiles_of(s, "sm_90a", op) == (op == operation::pre_bwd ? "gradient_groups" : all_streams));
        CHECK(tiles_of(spec_of(2, 4096), "sm_90a", op) == "gradient_groups");
        CHECK(tiles_of(with_norm, "sm_90a", op) == (is_layer ? all_streams : "gradient_groups"));
        CHECK(tiles_of(spec_of(1, 4096), "sm_90a", op) == "gradient_tiles");
        for (const char* target : {"sm_90", "sm_100", "gfx942"}) CHECK(tiles_of(s, target, op) == "gradient_tiles");
    }
    for (const operation op :
         {operation::post_pre_bwd, operation::post_head_bwd}) {  // streams and their gradient stay inside
        CHECK(family(s, "sm_90a", op, 0) == "fn_factors");
        CHECK(family(s, "sm_90a", op, 1) == "transition_products");
        CHECK(plan_of(s, "sm_90a", op).workspace_bytes_per_token < 24 * 1024);
        for (const jit::layer_spec& of : {with_norm, spec_of(2, 4096)}) CHECK(family(of, "sm_90a", op, 0) == "post");
    }
    using names = std::vector<std::string>;
    CHECK(families(s, "sm_90a", operation::dynamic_layer_bwd) ==
          names{"dynamic_fn_factors", "dynamic_products", "dynamic_slices_bwd", "dynamic_row_tiles_bwd", "finish_layer"});
    CHECK(families(s, "sm_90a", operation::pre_bwd) ==
          names{"fn_factors", "project_products", "pre_slices_bwd", "pre_tiles_bwd", "finish_pre"});
    CHECK(families(s, "sm_90a", operation::head_bwd) ==
          names{"fn_factors", "project_products", "head_slices_bwd", "pre_tiles_bwd", "finish_pre"});
    CHECK(plan_of(s, "sm_90a", operation::dynamic_layer_bwd).workspace_bytes_per_token <
          12 * 1024);  // no gradient of the sum of streams, which has 16 KB of float
    CHECK(family(spec_of(2, 4096), "sm_90a", operation::dynamic_layer_bwd, 0) == "project_three_tiles");
    CHECK(tiles_of(s, "sm_90a", operation::pre_project_bwd) == "gradient_tiles");  // whose splits a launch knows
    for (const std::int32_t n : {2, 4})
        for (const std::int64_t C : {64, 136, 1280, 4096, 7168})
            for (const operation op : {operation::pre_bwd, operation::head_bwd, operation::post_pre_bwd,
                                       operation::post_head_bwd, operation::dynamic_layer_bwd})
                for (const kernel_plan& k : plan_of(spec_of(n, C), "sm_90a", op).kernels) {
                    CHECK(k.lds_bytes <= 227 * 1024);
                    if (!k.family.ends_with("_products") || k.family == "layer_products") continue;
                    for (const std::int64_t tokens : {1, 129, 8192}) CHECK(k.grid.groups(tokens) % ((C + 255) / 256) == 0);
                }
}
