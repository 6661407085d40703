// tests/host/gradients_test.cpp -- what gradients promise besides their numbers: what is added to what is there, what is not
// asked for, sums over the tokens in their order, and sums over none.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/host/driver.hpp"
#include "tests/host/launch.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/numeric.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

test_case gradient_case(operation op, std::int64_t tokens, jit::dtype type)
{
    test_case made;
    made.op = op;
    made.name = "gradient " + std::string(name_of(op));
    made.seed = seed_of(made.name);
    made.tokens = tokens;
    made.spec.n_streams = 3;
    made.spec.hidden_dim = 70;
    made.spec.dtype = made.spec.weight_dtype = type;
    made.spec.options = reference::options_of(jit::preset::mhc_cu);
    made.spec.norm_weight = jit::operations_with_norm_weight.contains(op);
    made.has_bias = op == operation::post_bwd || op == operation::post_pre_bwd || op == operation::post_head_bwd;
    made.spec.wanted = jit::operations{op};
    return made;
}

template <class Check>
void for_each_gradient(const Check& check)
{
    for (int op = 0; op < jit::operation_count; ++op) {
        if (!is_gradient(static_cast<operation>(op))) continue;
        CAPTURE(std::string(name_of(static_cast<operation>(op))));
        check(static_cast<operation>(op));
    }
}

outcome run_without_problems(const jit::layer_spec& spec, const operands& of)
{
    outcome got = run(session::instance(), spec, of);
    for (const std::string& problem : got.problems) FAIL_CHECK(problem);
    return got;
}

/// What an output that a launch adds to holds before it.
bool is_added_to(const operand& of, const jit::accumulation& accumulate)
{
    return of.name == "d_x" ? accumulate.d_x : !of.is_per_token && accumulate.parameters;
}

/// The launch again, with numbers in the outputs that it adds to.
operands with_earlier_values(const operands& of, const jit::accumulation& accumulate)
{
    operands made = of;
    made.accumulate = accumulate;
    for (operand& each : made.list) {
        if (!each.is_output || !is_added_to(each, accumulate)) continue;
        std::vector<float> dense = normals(seed_of(each.name), each.place.size(), 0, 3);
        for (float& v : dense) v = reference::rounded(each.type, v);
        each.values = placed(dense, each.place);
    }
    return made;
}

bool takes_accumulation(operation op) { return op != operation::sinkhorn_bwd && op != operation::expand_bwd; }

/// The outputs of a launch with one tensor left out; its own entry is gone.
outcome run_without(const jit::layer_spec& spec, const operands& of, const std::string& name)
{
    session& on = session::instance();
    const jit::compiled_layer layer = on.layer(spec);
    const launch_memory memory(on, layer, of);
    outcome got;
    const jit::result<void> launched = memory.launch_with(of, name, nullptr);
    REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
    for (const operand& each : of.list) {
        if (!each.is_output) continue;
        std::vector<float> found = memory.output(each, got.problems);
        if (each.name != name)
            got.outputs[each.name] = std::move(found);
        else
            CHECK(std::all_of(found.begin(), found.end(), [](float v) { return std::isnan(v); }));
    }
    memory.check_inputs(got.problems);
    for (const std::string& problem : got.problems) FAIL_CHECK(problem);
    return got;
}

void check_equal_but(const outcome& got, const outcome& expected)
{
    for (const auto& [name, values] : got.outputs) CHECK_MESSAGE(values == expected.outputs.at(name), name << " differs");
}

}  // namespace

TEST_CASE("gradients: what is added to what is there is the same gradient, added in float and rounded once")
{
    for_each_gradient([](operation op) {
        if (!takes_accumulation(op)) return;
        const test_case of = gradient_case(op, 11, jit::dtype::fp32);
        operands plain = make_operands(of);
        const outcome alone = run_without_problems(of.spec, plain);
        for (const jit::accumulation& to : {jit::accumulation{true, true}, {true, false}, {false, true}}) {
            CAPTURE(to.d_x);
            CAPTURE(to.parameters);
            const operands earlier = with_earlier_values(plain, to);
            const outcome got = run_without_problems(of.spec, earlier);
            for (const auto& [name, values] : got.outputs) {
                std::vector<float> expected = alone.outputs.at(name);
                const operand& out = earlier.at(name);
                if (is_added_to(out, to))
                    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += out.values[i];
                CHECK_MESSAGE(values == expected, name << " differs");
            }
        }
    });
}

TEST_CASE("gradients: in bf16 what is there is read as bf16, added in float and rounded once")
{
    for_each_gradient([](operation op) {
        if (!takes_accumulation(op)) return;
        const test_case of = gradient_case(op, 11, jit::dtype::bf16);
        const operands plain = make_operands(of), earlier = with_earlier_values(plain, {true, true});
        outcome alone = run_without_problems(of.spec, plain);
        const outcome got = run_without_problems(of.spec, earlier);
        for (const auto& [name, values] : got.outputs) {
            const operand& out = earlier.at(name);
            if (!is_added_to(out, earlier.accumulate) || out.type != jit::dtype::bf16) continue;
            // The gradient alone was rounded too: it is known to half a unit of its last place, 2^-8 of it.
            for (std::size_t i = 0; i < values.size(); ++i) {
                const double gradient = static_cast<double>(alone.outputs.at(name)[i]),
                             before = static_cast<double>(out.values[i]);
                const double sum = gradient + before, doubt = std::abs(gradient) * 0x1p-8 + 0x1p-130;
                const double error = std::abs(static_cast<double>(values[i]) - sum);
                REQUIRE_MESSAGE(error <= doubt + (std::abs(sum) + doubt) * 0x1p-8, name << " differs at " << i);
            }
        }
    });
}

TEST_CASE("gradients: one that is not asked for is not written, and changes no other")
{
    for_each_gradient([](operation op) {
        const test_case of = gradient_case(op, 11, jit::dtype::bf16);
        const operands made = make_operands(of);
        const outcome all = run_without_problems(of.spec, made);
        for (const operand& each : made.list) {
            static constexpr std::string_view optional[] = {"d_fn",     "d_scale",       "d_base",
                                                            "d_weight", "d_norm_weight", "d_bias"};
            if (std::find(std::begin(optional), std::end(optional), each.name) == std::end(optional)) continue;
            CAPTURE(each.name);
            check_equal_but(run_without(of.spec, made, each.name), all);
        }
    });
}

TEST_CASE("gradients: one of an output that is missing counts as zeros")
{
    struct optional_input {
        operation op;
        const char* name;
    };
    for (const auto& [op, name] : {optional_input{operation::rmsnorm_bwd, "d_rms"},
                                   {operation::rmsnorm_matmul_bwd, "d_rms"},
                                   {operation::pre_bwd, "d_pre"},
                                   {operation::pre_bwd, "d_post"},
                                   {operation::pre_bwd, "d_mix"},
                                   {operation::post_pre_bwd, "d_out"},
                                   {operation::post_pre_bwd, "d_next_pre"},
                                   {operation::post_pre_bwd, "d_next_post"},
                                   {operation::post_pre_bwd, "d_next_mix"},
                                   {operation::split_mixes_bwd, "d_pre"},
                                   {operation::split_mixes_bwd, "d_post"},
                                   {operation::split_mixes_bwd, "d_logits"},
                                   {operation::coeffs_bwd, "d_pre"},
                                   {operation::coeffs_bwd, "d_post"},
                                   {operation::coeffs_bwd, "d_mix"}}) {
        CAPTURE(std::string(name_of(op)));
        CAPTURE(std::string(name));
        const test_case of = gradient_case(op, 11, jit::dtype::fp32);
        const operands made = make_operands(of);
        operands zeros = made;
        for (float& v : zeros.at(name).values) v = 0;
        const outcome expected = run_without_problems(of.spec, zeros);
        CHECK(expected.outputs != run_without_problems(of.spec, made).outputs);
        check_equal_but(run_without(of.spec, made, name), expected);
    }
}

TEST_CASE("gradients: of static coefficients they are the tokens' own, summed by 128 and then all, in order")
{
    struct coefficient {
        operation op;
        const char *name, *gradient;
    };
    for (const auto& [op, name, gradient] : {coefficient{operation::apply_mix_bwd, "pre", "d_pre"},
                                             {operation::post_bwd, "post", "d_post"},
                                             {operation::post_bwd, "mix", "d_mix"},
                                             {operation::post_pre_bwd, "mix", "d_mix"},
                                             {operation::post_head_bwd, "post", "d_post"}}) {
        test_case of = gradient_case(op, 320, jit::dtype::bf16);
        of.coefficients = coefficient_kind::all_static;
        const operands once = make_operands(of);
        operands each = once;
        each.pre_is_static = each.post_is_static = each.mix_is_static = false;
        for (operand& row : each.list) {
            const bool is_coefficient = row.name == "pre" || row.name == "post" || row.name == "mix";
            const bool is_gradient_of = row.name == "d_pre" || row.name == "d_post" || row.name == "d_mix";
            if (!is_coefficient && !is_gradient_of) continue;
            const std::vector<float> values = row.values;
            row.place.tokens = of.tokens;
            row.is_per_token = true;
            row.values.clear();
            if (!is_coefficient) continue;
            for (std::int64_t t = 0; t < of.tokens; ++t) row.values.insert(row.values.end(), values.begin(), values.end());
        }
        const std::vector<float> tokens = run_without_problems(of.spec, each).outputs.at(gradient);
        const std::vector<float> total = run_without_problems(of.spec, once).outputs.at(gradient);
        const std::size_t width = total.size();
        std::vector<float> expected(width);
        for (std::size_t k = 0; k < width; ++k) {
            std::vector<float> sums;
            for (std::size_t first = 0; first < 320; first += 128) {
                float sum = tokens[first * width + k];
                for (std::size_t t = first + 1; t < std::min<std::size_t>(first + 128, 320); ++t)
                    sum += tokens[t * width + k];
                sums.push_back(sum);
            }
            expected[k] = sums[0];
            for (std::size_t s = 1; s < sums.size(); ++s) expected[k] += sums[s];
        }
        CHECK_MESSAGE(total == expected, name_of(op) << ": " << gradient << " differs");
        CHECK(once.at(name).values.size() == width);
    }
}

TEST_CASE("gradients: without tokens those of parameters are zeros, or stay as they are, and no other is written")
{
    session& on = session::instance();
    for_each_gradient([&](operation op) {
        for (const bool is_static : {false, true}) {
            test_case of = gradient_case(op, 3, jit::dtype::fp32);
            of.coefficients = is_static ? coefficient_kind::all_static : coefficient_kind::per_token;
            if (is_static) of.out_strides = stride_kind::interleaved;
            const operands three = make_operands(of);
            const jit::compiled_layer layer = on.layer(of.spec);
            for (const bool adds : {false, true}) {
                operands of_three = adds ? with_earlier_values(three, {true, true}) : three;
                const launch_memory memory(on, layer, of_three);
                operands none = of_three;
                none.tokens = 0;
                const jit::result<void> launched = memory.launch_with(none, "", nullptr);
                REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
                std::vector<std::string> problems;
                for (const operand& each : of_three.list) {
                    if (!each.is_output) continue;
                    CAPTURE(each.name);
                    const std::vector<float> found = memory.output(each, problems);
                    if (adds && is_added_to(each, {true, true}))
                        CHECK(found == each.dense());
                    else if (each.is_per_token)
                        CHECK(std::all_of(found.begin(), found.end(), [](float v) { return std::isnan(v); }));
                    else
                        CHECK(found == std::vector<float>(found.size(), 0.0F));
                }
                memory.check_inputs(problems);
                for (const std::string& problem : problems) FAIL_CHECK(problem);
            }
        }
    });
}

TEST_CASE("gradients: without tokens only a parameter's gradient that has to be there may not be null")
{
    session& on = session::instance();
    const auto null = [](std::string_view) -> void* { return nullptr; };
    for_each_gradient([&](operation op) {
        for (const bool is_static : {false, true}) {
            test_case of = gradient_case(op, 0, jit::dtype::fp32);
            of.coefficients = is_static ? coefficient_kind::all_static : coefficient_kind::per_token;
            const operands none = make_operands(of);
            const jit::result<void> launched = launch(on.layer(of.spec), none, null, on.device->stream());
            const bool has_coefficients = none.pre_is_static || none.post_is_static || none.mix_is_static;
            const bool is_layer = op == operation::static_layer_bwd || op == operation::dynamic_layer_bwd;
            CHECK(launched.has_value() == !(has_coefficients || is_layer));
            if (!launched) CHECK(launched.error().message.find(": d_") != std::string::npos);
        }
    });
}
