// tests/unit/plan_layers_test.cpp -- plans of mHC.cu's layer with one set of coefficients, where work-groups have its rows
// in LDS.
#include <doctest/doctest.h>

#include <string>
#include <utility>

#include <mhc/jit/tuning.hpp>

#include "tests/unit/plan_test_support.hpp"

using namespace mhc;
using namespace mhc::codegen;
using namespace mhc::testing;
using jit::operation;

TEST_CASE("plan: a layer's streams are on their way to LDS before their use, where a kernel is given LDS for two tokens")
{
    const auto layer_of = [](const jit::layer_spec& s, const char* target) {
        return plan_of(s, target, operation::static_layer_fwd).kernels.back();
    };
    for (const std::int64_t C : {8, 1920, 4096, 7168, 8192}) {
        const kernel_plan k = layer_of(spec_of(4, C), "sm_90a");
        CAPTURE(C);
        const int resident = std::stoi(k.bindings.at("resident")), stages = std::stoi(k.bindings.at("stages"));
        REQUIRE(k.family == (C <= 4096 ? "static_layer_ahead" : "layer_ahead"));
        CHECK(k.may_overlap == (C <= 4096 ? overlap::with_any : overlap::with_own));
        CHECK(k.block == (C <= 2048 ? (C + 255) / 256 : (C + 511) / 512) * 32);  // a wave for each slice
        CHECK(stages >= 2);
        CHECK(resident * k.lds_bytes <= 200 * 1024);
    }
    CHECK(layer_of(spec_of(4, 8200), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(4, 1281), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(8, 1280), "sm_90a").family == "layer");
    CHECK(layer_of(spec_of(4, 1280), "sm_80").family == "layer");
    CHECK(layer_of(spec_of(4, 1280), "gfx942").family == "layer");
}

TEST_CASE("plan: a wave has a token to itself where as many as hide a wait fill LDS")
{
    const auto body_of = [](jit::layer_spec s, jit::dtype type) {
        s.dtype = type;
        const kernel_plan k = plan_of(s, "sm_90", operation::static_layer_fwd).kernels.back();
        CHECK(k.lds_bytes <= 200 * 1024);
        return std::pair(k.bindings.at("body"), k.block / 32);
    };
    CHECK(body_of(spec_of(4, 1280), jit::dtype::bf16) == std::pair(std::string("static_layer_by_waves"), 20));
    CHECK(body_of(spec_of(4, 1536), jit::dtype::fp16) == std::pair(std::string("static_layer_by_waves"), 16));
    CHECK(body_of(spec_of(4, 1280), jit::dtype::fp32) == std::pair(std::string("static_layer_ahead"), 5));
    CHECK(body_of(spec_of(4, 1024), jit::dtype::bf16) == std::pair(std::string("static_layer_ahead"), 4));
    CHECK(body_of(spec_of(4, 1544), jit::dtype::bf16) == std::pair(std::string("static_layer_ahead"), 7));
    // Tuning has the others to choose from.
    const auto choices = jit::tuning_candidates(operation::static_layer_fwd, spec_of(4, 1280), "sm_90").value();
    CHECK(choices.size() > 4);
    for (const jit::tuning& of : choices) {
        const operator_plan made =
            codegen::plan(spec_of(4, 1280), parse_target("sm_90").value(), operation::static_layer_fwd, of).value();
        CHECK(made.kernels.back().bindings.at("body") ==
              (of.resident == 0 ? "static_layer_by_waves" : "static_layer_ahead"));
    }
}

TEST_CASE("plan: the gradient of a layer with one set of coefficients is two kernels where its rows fit LDS twice")
{
    for (const std::int64_t C : {256, 1280, 4096, 5120}) {
        const operator_plan made = plan_of(spec_of(4, C), "sm_90a", operation::static_layer_bwd);
        CAPTURE(C);
        REQUIRE(made.kernels.size() == 2);
        const kernel_plan &rows = made.kernels.front(), &sums = made.kernels.back();
        CHECK(rows.family == "static_ahead_bwd");
        CHECK(sums.family == "finish_static");
        CHECK(sums.runs_without_tokens);
        CHECK(sums.may_overlap == overlap::with_own);
        // One group has the Jacobian, the others 8 tokens at a time, as many as a power of two on each multiprocessor.
        CHECK(rows.grid.groups(1) == 2);
        CHECK(rows.grid.groups(64) == 9);
        const int resident = std::stoi(rows.bindings.at("resident"));
        CHECK(rows.grid.groups(1 << 20) == 132 * resident);
        CHECK((resident & (resident - 1)) == 0);
        CHECK(resident * rows.lds_bytes <= 200 * 1024);
        CHECK(rows.bindings.at("history_in_lds") == "true");
    }
    jit::layer_spec many = spec_of(4, 256);
    many.options.sinkhorn_iters = 1000;
    CHECK(plan_of(many, "sm_90a", operation::static_layer_bwd).kernels.front().bindings.at("history_in_lds") == "false");
    CHECK(plan_of(spec_of(4, 7168), "sm_90a", operation::static_layer_bwd).kernels.size() > 2);
    CHECK(plan_of(spec_of(8, 1280), "sm_90a", operation::static_layer_bwd).kernels.size() > 2);
    CHECK(plan_of(spec_of(4, 4096), "gfx942", operation::static_layer_bwd).kernels.size() > 2);
}
