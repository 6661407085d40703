// tests/host/tuning_test.cpp -- tuned choices change no bit of a result.
#include <doctest/doctest.h>

#include <cstring>

#include <mhc/jit/tuning.hpp>

#include "tests/host/driver.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;

namespace {

struct tuned_case {
    jit::operation op;
    bool norm_weight = false;
    jit::layer_input_quant quant = jit::layer_input_quant::none;
};

test_case case_of(const tuned_case& what)
{
    test_case made;
    made.op = what.op;
    made.tokens = 33;
    made.spec.hidden_dim = 1288;  // whole vectors, but of no block of them
    made.spec.wanted = jit::operations{what.op};
    made.spec.norm_weight = what.norm_weight;
    made.spec.layer_input_quant = what.quant;
    made.name = "tuned " + std::string(name_of(what.op)) + (what.norm_weight ? " norm" : "") +
                (what.quant == jit::layer_input_quant::none ? "" : " fp8");
    made.seed = seed_of(made.name);
    return made;
}

}  // namespace

TEST_CASE("tuned: every candidate of every operator gives the bits of the plan's own choices")
{
    using enum jit::operation;
    session& on = session::instance();
    for (const tuned_case& what : {tuned_case{post_fwd},
                                   {apply_mix_fwd},
                                   {expand_fwd},
                                   {rmsnorm_fwd},
                                   {pre_fwd},
                                   {pre_fwd, true},
                                   {pre_fwd, true, jit::layer_input_quant::fp8_row},
                                   {post_pre_fwd},
                                   {head_fwd},
                                   {static_layer_fwd},
                                   {post_head_fwd, true},
                                   {multilayer_recompute}}) {
        const test_case base = case_of(what);
        if (base.name.find(case_filter()) == std::string::npos) continue;
        const operands given = make_operands(base);
        const auto list = jit::tuning_candidates(what.op, base.spec, on.target).value();
        REQUIRE(list.size() > 1);
        const outcome expected = run(on, on.engine->layer_tuned(base.spec, {}).value(), given);
        CHECK(expected.problems.empty());
        for (const jit::tuning& choices : list) {
            CAPTURE(base.name);
            CAPTURE(jit::to_text(choices));
            const outcome got = run(on, on.engine->layer_tuned(base.spec, choices).value(), given);
            CHECK(got.problems.empty());
            REQUIRE(got.outputs.size() == expected.outputs.size());
            for (const auto& [name, values] : got.outputs) {
                const std::vector<float>& before = expected.outputs.at(name);
                REQUIRE(values.size() == before.size());
                CHECK(std::memcmp(values.data(), before.data(), values.size() * sizeof(float)) == 0);
            }
        }
    }
}
