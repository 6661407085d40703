// tests/host/properties_test.cpp -- what must hold whatever the numbers: identities, sums of one, nothing for no tokens.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/host/driver.hpp"
#include "tests/host/launch.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

constexpr jit::preset presets[] = {jit::preset::paper, jit::preset::mhc_cu, jit::preset::deepseek, jit::preset::liger,
                                   jit::preset::aiter_triton};
constexpr jit::dtype dtypes[] = {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32};

test_case simple_case(operation op, int n, std::int64_t hidden_dim, std::int64_t tokens, jit::dtype type)
{
    test_case made;
    made.op = op;
    made.name = std::string(name_of(op)) + std::to_string(n);
    made.seed = seed_of(made.name);
    made.tokens = tokens;
    made.spec.n_streams = n;
    made.spec.hidden_dim = hidden_dim;
    made.spec.dtype = type;
    made.spec.options = reference::options_of(jit::preset::mhc_cu);
    made.spec.wanted = jit::operations{op};
    return made;
}

outcome run_without_problems(const jit::layer_spec& spec, const operands& of)
{
    outcome got = run(session::instance(), spec, of);
    for (const std::string& problem : got.problems) FAIL_CHECK(problem);
    return got;
}

}  // namespace

TEST_CASE("properties: post_fwd with an identity mix and post = 0 returns x exactly")
{
    for (const jit::dtype type : dtypes) {
        for (const int n : {1, 3, 4, 8, 32}) {
            const test_case of = simple_case(operation::post_fwd, n, 129, 5, type);
            operands made = make_operands(of);
            for (float& post : made.at("post").values) post = 0;
            std::vector<float>& mix = made.at("mix").values;
            for (std::size_t i = 0; i < mix.size(); ++i) {
                const std::size_t in_matrix = i % static_cast<std::size_t>(n * n);
                mix[i] = in_matrix / static_cast<std::size_t>(n) == in_matrix % static_cast<std::size_t>(n) ? 1.0F : 0.0F;
            }
            CHECK(run_without_problems(of.spec, made).outputs.at("out") == made.at("x").dense());
        }
    }
}

TEST_CASE("properties: expand_fwd copies exactly")
{
    for (const jit::dtype type : dtypes) {
        for (const int n : {1, 4, 5}) {
            const operands made = make_operands(simple_case(operation::expand_fwd, n, 129, 3, type));
            const outcome got = run_without_problems(simple_case(operation::expand_fwd, n, 129, 3, type).spec, made);
            const std::vector<float>& h = made.at("h").values;
            std::vector<float> expected;
            for (std::ptrdiff_t t = 0; t < 3; ++t) {
                for (int i = 0; i < n; ++i) expected.insert(expected.end(), h.begin() + t * 129, h.begin() + (t + 1) * 129);
            }
            CHECK(got.outputs.at("x") == expected);
        }
    }
}

TEST_CASE("properties: the rows or columns that Sinkhorn divides last sum to 1, and after 20 iterations the others nearly")
{
    for (const jit::preset preset : presets) {
        for (const int n : {1, 2, 4, 7, 32}) {
            test_case of = simple_case(operation::sinkhorn_fwd, n, 64, 33, jit::dtype::bf16);
            of.spec.options = reference::options_of(preset);
            const outcome got = run_without_problems(of.spec, make_operands(of));
            const std::vector<float>& mix = got.outputs.at("mix");
            const bool rows_last = of.spec.options.order == jit::sinkhorn_order::col_row;
            // Each of n quotients has an error of a few units; an added eps takes itself off.
            const double last_bound = (n + 8) * 0x1p-24 + static_cast<double>(of.spec.options.sinkhorn_eps);
            double rows = 0, columns = 0;
            for (std::int64_t matrix = 0; matrix < 33; ++matrix) {
                for (std::int64_t a = 0; a < n; ++a) {
                    double row = 0, column = 0;
                    for (std::int64_t b = 0; b < n; ++b) {
                        row += static_cast<double>(mix[static_cast<std::size_t>((matrix * n + a) * n + b)]);
                        column += static_cast<double>(mix[static_cast<std::size_t>((matrix * n + b) * n + a)]);
                    }
                    rows = std::max(rows, std::abs(row - 1));
                    columns = std::max(columns, std::abs(column - 1));
                }
            }
            CAPTURE(n);
            CAPTURE(static_cast<int>(preset));
            CHECK((rows_last ? rows : columns) <= last_bound);
            CHECK((rows_last ? columns : rows) <= 1e-3);  // convergence, at logits of standard deviation 1
        }
    }
}

TEST_CASE("properties: no tokens launch nothing, with null pointers and without, and ask for no workspace")
{
    for (int op = 0; op < jit::operation_count; ++op) {
        const test_case of = simple_case(static_cast<operation>(op), 4, 64, 0, jit::dtype::bf16);
        CAPTURE(of.name);
        const operands none = make_operands(of);
        const jit::compiled_layer layer = session::instance().layer(of.spec);
        CHECK(layer.workspace_bytes(of.op, 0) == 0);
        CHECK(layer.workspace_bytes(of.op, -1) == 0);
        if (is_gradient(of.op)) continue;  // a sum over no tokens is still stored: gradients_test.cpp
        const auto null = [](std::string_view) -> void* { return nullptr; };
        CHECK(launch(layer, none, null, session::instance().device->stream()).has_value());

        // Tensors of three tokens, of which none is asked for.
        test_case three = of;
        three.tokens = 3;
        const operands some = make_operands(three);
        const launch_memory memory(session::instance(), layer, some);
        operands changed = some;
        changed.tokens = 0;
        CHECK(memory.launch_with(changed, "", nullptr).has_value());
        CHECK(memory.outputs_are_untouched());
    }
}

TEST_CASE("properties: a padded batch has the bits of its valid tokens alone, whatever the number says")
{
    for (int op = 0; op < jit::operation_count; ++op) {
        test_case of = simple_case(static_cast<operation>(op), 4, 127, 5, jit::dtype::bf16);
        of.has_bias = of.op == operation::post_bwd || of.op == operation::post_pre_bwd || of.op == operation::post_head_bwd;
        CAPTURE(of.name);
        const operands whole = make_operands(of);
        for (const std::int32_t said : {-3, 0, 3, 5, 9}) {
            CAPTURE(said);
            std::vector<std::int64_t> valid(static_cast<std::size_t>(std::clamp(said, 0, 5)));
            std::iota(valid.begin(), valid.end(), 0);
            const outcome expected =
                run_without_problems(of.spec, select_tokens(whole, of.spec, valid, stride_kind::dense, stride_kind::dense));
            operands padded = whole;
            padded.valid_tokens = std::max(said, 0);
            padded.list.push_back(
                {.name = "num_valid_tokens", .place = {1, 1, 1, 1, 1}, .values = {std::bit_cast<float>(said)}});
            for (const auto& [name, values] : run_without_problems(of.spec, padded).outputs)
                CHECK_MESSAGE(values == expected.outputs.at(name), name << " differs");
        }
    }
}

TEST_CASE("properties: rmsnorm_fwd of zeros is zero and its rms the root of norm_eps")
{
    test_case of = simple_case(operation::rmsnorm_fwd, 4, 127, 2, jit::dtype::fp32);
    of.spec.options.norm_eps = 0.25F;
    operands made = make_operands(of);
    for (float& x : made.at("x").values) x = 0;
    const outcome got = run_without_problems(of.spec, made);
    CHECK(got.outputs.at("rms") == std::vector<float>{0.5F, 0.5F});
    CHECK(got.outputs.at("y") == std::vector<float>(2 * 127, 0.0F));
}

TEST_CASE("properties: a NaN or an infinity in one token stays in that token")
{
    for (const operation op : {operation::rmsnorm_fwd,
                               operation::apply_mix_fwd,
                               operation::post_fwd,
                               operation::pre_fwd,
                               operation::static_layer_fwd,
                               operation::dynamic_layer_fwd,
                               operation::post_pre_fwd,
                               operation::head_fwd,
                               operation::pre_project_fwd,
                               operation::split_mixes_fwd,
                               operation::coeffs_fwd,
                               operation::pre_big_fuse,
                               operation::broadcast_pre_fwd,
                               operation::delayed_pre_fwd,
                               operation::rmsnorm_bwd,
                               operation::apply_mix_bwd,
                               operation::post_bwd,
                               operation::pre_bwd,
                               operation::static_layer_bwd,
                               operation::dynamic_layer_bwd,
                               operation::post_pre_bwd,
                               operation::head_bwd,
                               operation::pre_project_bwd,
                               operation::split_mixes_bwd,
                               operation::coeffs_bwd,
                               operation::post_head_fwd,
                               operation::multilayer_recompute,
                               operation::rmsnorm_matmul_fwd,
                               operation::post_head_bwd,
                               operation::rmsnorm_matmul_bwd}) {
        for (const float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
            const test_case of = simple_case(op, 4, 127, 5, jit::dtype::fp32);
            CAPTURE(of.name);
            const operands clean = make_operands(of);
            operands dirty = clean;
            operand& input = dirty.at(clean.find("sqsum") != nullptr && !clean.at("sqsum").is_output ? "sqsum" : "x");
            const std::int64_t at = std::min<std::int64_t>(63, input.place.width - 1);
            input.values[static_cast<std::size_t>(input.place.row(2, 0) + at)] = poison;
            const outcome before = run_without_problems(of.spec, clean), after = run_without_problems(of.spec, dirty);
            bool is_any_marked = false;
            for (const auto& [name, values] : after.outputs) {
                const operand& out = clean.at(name);
                const auto width = static_cast<std::size_t>(out.place.streams * out.place.width);
                int different = 0;
                bool is_marked = false;
                for (std::size_t i = 0; i < values.size(); ++i) {
                    const bool differs = !std::isfinite(values[i]) || values[i] != before.outputs.at(name)[i];
                    if (i / width == 2 || !out.is_per_token)  // a parameter's gradient has every token in it
                        is_marked = is_marked || differs;
                    else
                        different += differs;
                }
                CHECK(different == 0);
                // A gradient of a product does not depend on every factor.
                if (!is_gradient(op)) CHECK(is_marked);
                is_any_marked = is_any_marked || is_marked;
            }
            CHECK(is_any_marked);
        }
    }
}

TEST_CASE("spec: a preset fills every option as the table of MATH.md 6.1a says")
{
    for (const jit::preset preset : presets) {
        CAPTURE(static_cast<int>(preset));
        const jit::layer_options given = jit::options_of(preset), table = reference::options_of(preset);
        CHECK(given.layout == table.layout);
        CHECK(given.start == table.start);
        CHECK(given.order == table.order);
        CHECK(given.eps_mode == table.eps_mode);
        CHECK(given.sinkhorn_eps == table.sinkhorn_eps);
        CHECK(given.sinkhorn_iters == table.sinkhorn_iters);
        CHECK(given.rms_eps == table.rms_eps);
        CHECK(given.norm_eps.has_value() == table.norm_eps.has_value());
        CHECK(given.pre_eps == table.pre_eps);
        CHECK(given.post_mult == table.post_mult);
        CHECK(given.arithmetic == table.arithmetic);
        CHECK(given.reference_rounding == table.reference_rounding);
    }
    const jit::layer_options by_default, paper = reference::options_of(jit::preset::paper);
    CHECK(by_default.layout == paper.layout);
    CHECK(by_default.start == paper.start);
    CHECK(by_default.order == paper.order);
    CHECK(by_default.eps_mode == paper.eps_mode);
    CHECK(by_default.sinkhorn_iters == paper.sinkhorn_iters);
    CHECK(by_default.rms_eps == paper.rms_eps);
    CHECK(by_default.post_mult == paper.post_mult);
}

TEST_CASE("spec: every generated case is valid, and its rows are aligned as the library counts")
{
    for (const case_group& group : case_groups()) {
        for (const test_case& of : all_cases(group, {}, false)) {
            CAPTURE(of.name);
            const jit::result<void> valid = jit::validate(of.spec);
            CHECK_MESSAGE(valid.has_value(), of.name << ": " << (valid ? "" : valid.error().message));
            CHECK(jit::row_alignment_bytes(of.spec) == row_alignment(of.spec));
        }
    }
}
