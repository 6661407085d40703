// tests/host/wide_logits_test.cpp -- Sinkhorn of logits that overflow, underflow or are minus infinity, against the
// reference.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;
using jit::sinkhorn_eps_mode;
using jit::sinkhorn_order;
using jit::sinkhorn_start;

namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

struct named_preset {
    jit::preset preset;
    const char* name;
};
constexpr named_preset wide_presets[] = {{jit::preset::paper, "paper"},
                                         {jit::preset::mhc_cu, "mhc_cu"},
                                         {jit::preset::deepseek, "deepseek"},
                                         {jit::preset::liger, "liger"},
                                         {jit::preset::aiter_triton, "aiter_triton"}};

test_case logits_case(const std::string& name, int n, const jit::layer_options& options, float spread)
{
    test_case made;
    made.op = operation::sinkhorn_fwd;
    made.name = name + " n=" + std::to_string(n);
    made.seed = seed_of(made.name);
    made.tokens = 320;
    made.logit_spread = spread;
    made.spec.n_streams = n;
    made.spec.hidden_dim = 64;
    made.spec.options = options;
    made.spec.wanted = jit::operations{operation::sinkhorn_fwd};
    return made;
}

void check(const std::string& group, const test_case& of, const operands& made)
{
    if (of.name.find(case_filter()) == std::string::npos) return;
    const agreement found = compare_with_reference(of.spec, made, run(session::instance(), of.spec, made));
    for (const std::string& problem : found.problems) FAIL_CHECK("MHC_TEST_CASE='" << of.name << "': " << problem);
    CHECK(found.problems.empty());
    add_to_summary(group, of, found, 0);
}

/// What is put into random logits in place of some of them.
enum class pattern { scattered, scattered_off_diagonal, a_row, a_column, everything };

void put_minus_infinity(operands& made, int n, pattern which)
{
    std::vector<float>& logits = made.at("logits").values;
    const auto size = static_cast<std::uint64_t>(n);
    for (std::uint64_t i = 0; i < logits.size(); ++i) {
        const std::uint64_t matrix = i / (size * size), row = i / size % size, column = i % size;
        const bool by_chance = random_bits(77, i) % 3 == 0;
        const bool chosen = which == pattern::scattered                ? by_chance
                            : which == pattern::scattered_off_diagonal ? by_chance && row != column
                            : which == pattern::a_row                  ? row == matrix % size
                            : which == pattern::a_column               ? column == matrix % size
                                                                       : true;
        if (chosen) logits[i] = minus_infinity;
    }
}

}  // namespace

TEST_CASE("wide logits: sinkhorn_fwd agrees at standard deviations 6, 40 and 100, with every preset")
{
    for (const auto& [preset, name] : wide_presets) {
        for (const float spread : {6.0F, 40.0F, 100.0F}) {
            for (const int n : {2, 3, 4, 5, 8, 16, 32}) {
                const test_case of =
                    logits_case("wide " + std::string(name) + " spread=" + std::to_string(static_cast<int>(spread)), n,
                                reference::options_of(preset), spread);
                check("wide logits", of, make_operands(of));
            }
        }
    }
}

TEST_CASE("wide logits: sinkhorn_fwd agrees in the log domain with every eps mode, and from exp with a threshold")
{
    // Not exp with an added eps: by the page its steps from the third on are float32 numbers, and an entry that vanished
    // there (e^-104 and less) stays 0, where exact steps would divide it by eps until it counts. No preset does that.
    for (const sinkhorn_start start : {sinkhorn_start::log, sinkhorn_start::exp}) {
        for (const sinkhorn_eps_mode mode :
             {sinkhorn_eps_mode::add, sinkhorn_eps_mode::add_both, sinkhorn_eps_mode::thresh}) {
            if (start == sinkhorn_start::exp && mode != sinkhorn_eps_mode::thresh) continue;
            for (const float eps : {1e-6F, 0.02F}) {
                for (const float spread : {6.0F, 40.0F}) {
                    for (const int n : {2, 4, 5, 32}) {
                        const jit::layer_options options = reference::sinkhorn_options(
                            start, n == 5 ? sinkhorn_order::col_row : sinkhorn_order::row_col, mode, eps, 20);
                        const test_case of = logits_case("wide start=" + std::to_string(static_cast<int>(start)) +
                                                             " mode=" + std::to_string(static_cast<int>(mode)) +
                                                             " eps=" + std::to_string(eps) +
                                                             " spread=" + std::to_string(static_cast<int>(spread)),
                                                         n, options, spread);
                        check("wide logits", of, make_operands(of));
                    }
                }
            }
        }
    }
}

TEST_CASE("wide logits: what becomes of a matrix does not depend on how wide those beside it are")
{
    // Moderate logits take other steps than wide ones; a wave has matrices of both.
    for (const auto& [preset, name] : wide_presets) {
        for (const int n : {1, 2, 3, 4, 8, 32}) {
            const test_case of = logits_case("wide neighbours " + std::string(name), n, reference::options_of(preset), 1);
            operands made = make_operands(of);
            const std::vector<float> alone = run(session::instance(), of.spec, made).outputs.at("mix");
            const auto size = static_cast<std::size_t>(n * n);
            std::vector<float>& logits = made.at("logits").values;
            const auto is_wide = [&](std::size_t i) { return random_bits(5, i / size) % 4 == 0; };
            for (std::size_t i = 0; i < logits.size(); ++i)
                if (is_wide(i)) logits[i] *= 30;
            check("wide neighbours", of, made);
            const std::vector<float> beside = run(session::instance(), of.spec, made).outputs.at("mix");
            std::size_t differ = 0, wide = 0;
            for (std::size_t i = 0; i < logits.size(); ++i) {
                wide += is_wide(i) ? 1 : 0;
                differ += !is_wide(i) && beside[i] != alone[i] ? 1 : 0;
            }
            CHECK_MESSAGE(differ == 0, of.name << ": " << differ << " entries");
            CHECK(wide > size * 40);
            CHECK(wide < size * 120);
        }
    }
}

TEST_CASE("wide logits: a layer with wide h_res agrees, with every preset")
{
    for (const auto& [preset, name] : wide_presets) {
        for (const int n : {2, 4, 8}) {
            test_case of = logits_case("wide layer " + std::string(name), n, reference::options_of(preset), 1);
            of.op = operation::static_layer_fwd;
            of.tokens = 3;
            of.spec.dtype = jit::dtype::fp32;
            of.spec.wanted = jit::operations{of.op};
            operands made = make_operands(of);
            for (float& h : made.at("h_res").values) h *= 60;
            for (float& h : made.at("h_pre").values) h *= 60;  // sigmoids of either end: no overflow in exp(-z)
            for (float& h : made.at("h_post").values) h *= 60;
            check("wide layer", of, made);
        }
    }
}

TEST_CASE("wide logits: minus infinity is an entry of zero wherever the formula is finite")
{
    for (const int n : {1, 5, 16}) {
        for (const sinkhorn_order order : {sinkhorn_order::row_col, sinkhorn_order::col_row}) {
            for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log, sinkhorn_start::softmax}) {
                const bool is_softmax = start == sinkhorn_start::softmax;
                if (is_softmax && order == sinkhorn_order::col_row) continue;
                for (const sinkhorn_eps_mode mode : {sinkhorn_eps_mode::none, sinkhorn_eps_mode::add,
                                                     sinkhorn_eps_mode::add_both, sinkhorn_eps_mode::thresh}) {
                    for (const pattern which : {pattern::scattered, pattern::scattered_off_diagonal, pattern::a_row,
                                                pattern::a_column, pattern::everything}) {
                        // A line of nothing divided by its sum is 0/0, and so is a softmax of one: not finite.
                        const bool keeps_diagonal = which == pattern::scattered_off_diagonal;
                        if (mode == sinkhorn_eps_mode::none && !keeps_diagonal) continue;
                        if (is_softmax && !keeps_diagonal && !(which == pattern::a_column && n > 1)) continue;
                        const test_case of = logits_case("minus infinity start=" + std::to_string(static_cast<int>(start)) +
                                                             " order=" + std::to_string(static_cast<int>(order)) +
                                                             " mode=" + std::to_string(static_cast<int>(mode)) +
                                                             " pattern=" + std::to_string(static_cast<int>(which)),
                                                         n, reference::sinkhorn_options(start, order, mode, 1e-5F, 20), 3);
                        operands made = make_operands(of);
                        put_minus_infinity(made, n, which);
                        const auto expected = expected_of(of.spec, made);
                        for (const double v : expected.at("mix").value) REQUIRE(std::isfinite(v));
                        check("minus infinity", of, made);
                    }
                }
            }
        }
    }
}
