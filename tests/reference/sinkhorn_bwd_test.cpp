// tests/reference/sinkhorn_bwd_test.cpp -- the gradient of every Sinkhorn variant against finite differences of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/finite_differences.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::reference;
using jit::sinkhorn_eps_mode;
using jit::sinkhorn_order;
using jit::sinkhorn_start;
using testing::gradient_error;
using testing::operand;
using testing::weighted_sum;

namespace {

constexpr sinkhorn_start starts[] = {sinkhorn_start::exp, sinkhorn_start::log, sinkhorn_start::softmax,
                                     sinkhorn_start::identity};
constexpr sinkhorn_eps_mode eps_modes[] = {sinkhorn_eps_mode::none, sinkhorn_eps_mode::add, sinkhorn_eps_mode::add_both,
                                           sinkhorn_eps_mode::thresh};

/// The orders that a start can have.
std::vector<sinkhorn_order> orders_of(sinkhorn_start start)
{
    if (start == sinkhorn_start::softmax) return {sinkhorn_order::row_col};
    return {sinkhorn_order::row_col, sinkhorn_order::col_row};
}

std::string described(const jit::layer_options& options, std::int64_t n)
{
    return "start " + std::to_string(static_cast<int>(options.start)) + " order " +
           std::to_string(static_cast<int>(options.order)) + " eps mode " +
           std::to_string(static_cast<int>(options.eps_mode)) + " eps " + std::to_string(options.sinkhorn_eps) +
           " iterations " + std::to_string(options.sinkhorn_iters) + " n " + std::to_string(n);
}

/// Logits, or under identity positive numbers.
operand matrices(const jit::layer_options& options, const shape& of, float deviation)
{
    const std::int64_t count = of.tokens * of.n_streams * of.n_streams;
    if (options.start != sinkhorn_start::identity)
        return {"logits", testing::normals(7, count, 0, deviation), 4 * deviation, 0x1p-9};
    std::vector<float> positive = testing::normals(7, count, 0, 0.4F);
    for (float& v : positive) v = std::exp(v);
    return {"logits", std::move(positive), 4, 0x1p-8};
}

double error_of(const jit::layer_options& options, const shape& of, operand& logits, const tensor& gradient,
                const std::vector<float>& d_mix)
{
    return gradient_error(logits, gradient, [&] { return weighted_sum(sinkhorn_fwd(options, of, logits.data()), d_mix); });
}

/// The error of sinkhorn_bwd for logits of a standard deviation.
double error_of(const jit::layer_options& options, const shape& of, float deviation)
{
    operand logits = matrices(options, of, deviation);
    const auto d_mix = testing::normals(8, of.tokens * of.n_streams * of.n_streams, 0, 1);
    return error_of(options, of, logits, sinkhorn_bwd(options, of, logits.data(), d_mix.data()), d_mix);
}

}  // namespace

TEST_CASE("sinkhorn_bwd reference: every start, order, eps mode and count agrees with finite differences")
{
    for (const sinkhorn_start start : starts) {
        for (const sinkhorn_order order : orders_of(start)) {
            for (const sinkhorn_eps_mode mode : eps_modes) {
                for (const float eps : {1e-6F, 0.3F}) {
                    for (const int iters : {0, 1, 2, 3, 20}) {
                        for (const std::int64_t n : {1, 2, 3, 4, 7}) {
                            const auto options = sinkhorn_options(start, order, mode, eps, iters);
                            CAPTURE(described(options, n));
                            CHECK(error_of(options, {.tokens = 2, .n_streams = n}, 1) <= 1e-6);
                        }
                    }
                }
            }
        }
    }
}

TEST_CASE("sinkhorn_bwd reference: one step by hand")
{
    // Rows of [[1, 3], [2, 2]] over their sums, eps 1: Y = [[.2, .6], [.4, .4]], d_mix = [[1, 0], [0, 0]]: the sum of
    // dY * Y in row 0 is .2, so dX = ([1, 0] - .2) / 5. The column step of the same iteration divides by 1.6 and 2 before.
    auto options = sinkhorn_options(sinkhorn_start::identity, sinkhorn_order::row_col, sinkhorn_eps_mode::add, 1, 1);
    const std::vector<float> matrix = {1, 3, 2, 2}, d_mix = {1, 0, 0, 0};
    // Column 0 is .2, .4: mix_00 = .2 / 1.6 = .125; its gradient there is ([1, 0] - .125) / 1.6 = [.546875, -.078125].
    const tensor found = sinkhorn_bwd(options, {.tokens = 1, .n_streams = 2}, matrix.data(), d_mix.data());
    const double row0 = 0.546875 * 0.2, row1 = -0.078125 * 0.4;
    const double expected[] = {(0.546875 - row0) / 5, -row0 / 5, (-0.078125 - row1) / 5, -row1 / 5};
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(found.value[i] == doctest::Approx(expected[i]).epsilon(1e-12));
        CHECK(found.terms[i] >= std::abs(found.value[i]));
    }
}

TEST_CASE("sinkhorn_bwd reference: logits of standard deviation 6 and 100, constant and zero")
{
    for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log, sinkhorn_start::softmax}) {
        for (const sinkhorn_order order : orders_of(start)) {
            for (const sinkhorn_eps_mode mode : eps_modes) {
                for (const std::int64_t n : {2, 4, 8}) {
                    const auto options = sinkhorn_options(start, order, mode, 1e-5F, 20);
                    CAPTURE(described(options, n));
                    const shape of{.tokens = 3, .n_streams = n};
                    for (const float deviation : {6.0F, 100.0F}) {
                        CAPTURE(deviation);
                        CHECK(error_of(options, of, deviation) <= 1e-6);
                    }
                    for (const float constant : {0.0F, 50.0F, -50.0F}) {
                        CAPTURE(constant);
                        const std::vector<float> values(static_cast<std::size_t>(3 * n * n), constant);
                        operand logits("logits", values, 64, 0x1p-8);
                        const auto d_mix = testing::normals(8, 3 * n * n, 0, 1);
                        const tensor found = sinkhorn_bwd(options, of, logits.data(), d_mix.data());
                        CHECK(error_of(options, of, logits, found, d_mix) <= 1e-6);
                    }
                }
            }
        }
    }
}

TEST_CASE("sinkhorn_bwd reference: what overflows or vanishes in the matrix leaves a finite gradient")
{
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const shape one{.tokens = 1, .n_streams = 2};
    const std::vector<float> d_mix = {1, -2, 3, 0.5F};
    const auto gradient = [&](sinkhorn_start start, sinkhorn_eps_mode mode, std::vector<float> logits) {
        const auto options = sinkhorn_options(start, sinkhorn_order::row_col, mode, 1e-6F, 20);
        return sinkhorn_bwd(options, one, logits.data(), d_mix.data()).value;
    };
    for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log, sinkhorn_start::softmax}) {
        // exp of these is beyond float64 on either side.
        for (const double v : gradient(start, sinkhorn_eps_mode::none, {2000, 1990, -3000, -3001})) CHECK(std::isfinite(v));
        // A logit of minus infinity is an element that stays 0, whatever its gradient.
        const auto masked = gradient(start, sinkhorn_eps_mode::none, {0, 1, 2, -infinity});
        CHECK(masked[3] == 0);
        for (const double v : masked) CHECK(std::isfinite(v));
        // NaN reaches every element of its matrix, as it does in the forward.
        for (const double v : gradient(start, sinkhorn_eps_mode::add, {0, NAN, 2, 1})) CHECK(std::isnan(v));
    }
    // A row that vanishes: 0/0 without eps; with eps or a threshold zeros stay zeros.
    for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log}) {
        const std::vector<float> empty_row = {0, 1, -infinity, -infinity};
        CHECK(std::isnan(gradient(start, sinkhorn_eps_mode::none, empty_row)[2]));
        for (const sinkhorn_eps_mode mode : {sinkhorn_eps_mode::add, sinkhorn_eps_mode::thresh}) {
            const auto found = gradient(start, mode, empty_row);
            CHECK(found[2] == 0);
            CHECK(found[3] == 0);
            CHECK(std::isfinite(found[0]));
        }
    }
    // Under identity a zero has a gradient of its own; with thresh a matrix of zeros passes through.
    CHECK(gradient(sinkhorn_start::identity, sinkhorn_eps_mode::thresh, {0, 0, 0, 0}) == std::vector<double>{1, -2, 3, 0.5});
    CHECK(gradient(sinkhorn_start::identity, sinkhorn_eps_mode::none, {1, 0, 1, 1})[1] != 0);
}

TEST_CASE("sinkhorn_bwd reference: the check finds gradients that others have got wrong")
{
    const shape of{.tokens = 2, .n_streams = 4};
    const auto d_mix = testing::normals(8, 2 * 16, 0, 1);
    const auto error_with = [&](const jit::layer_options& forward, const jit::layer_options& backward) {
        operand logits = matrices(forward, of, 1);
        return error_of(forward, of, logits, sinkhorn_bwd(backward, of, logits.data(), d_mix.data()), d_mix);
    };
    using enum sinkhorn_eps_mode;
    const auto with = [](sinkhorn_start start, sinkhorn_eps_mode mode, float eps, int iters) {
        return sinkhorn_options(start, sinkhorn_order::row_col, mode, eps, iters);
    };
    const auto right = with(sinkhorn_start::exp, add, 1e-3F, 5);
    CHECK(error_with(right, right) <= 1e-6);
    CHECK(error_with(right, with(sinkhorn_start::exp, none, 0, 5)) > 1e-4);     // without eps in the divisor
    CHECK(error_with(right, with(sinkhorn_start::exp, add, 1e-3F, 4)) > 1e-4);  // one iteration fewer
    CHECK(error_with(right, with(sinkhorn_start::exp, add, 1e-3F, 6)) > 1e-5);  // and one more
    const auto softmax = with(sinkhorn_start::softmax, add_both, 1e-3F, 5);
    CHECK(error_with(softmax, with(sinkhorn_start::softmax, add, 1e-3F, 5)) > 1e-4);  // eps missing on the entries
    auto turned = right;
    turned.order = sinkhorn_order::col_row;
    CHECK(error_with(right, turned) > 1e-4);
    CHECK(error_with(with(sinkhorn_start::exp, thresh, 1.5F, 1), with(sinkhorn_start::exp, none, 0, 1)) > 1e-2);

    // One row step without its division by the sum (MATH.md 2.3, defect 1).
    const auto rows = with(sinkhorn_start::softmax, none, 0, 0);
    operand logits = matrices(rows, of, 1);
    tensor planted = sinkhorn_fwd(rows, of, logits.data());
    for (std::size_t i = 0; i < planted.value.size(); ++i) {
        double sum = 0;
        for (std::size_t j = i / 4 * 4; j < i / 4 * 4 + 4; ++j)
            sum += sinkhorn_fwd(rows, of, logits.data()).value[j] * static_cast<double>(d_mix[j]);
        planted.value[i] = static_cast<double>(d_mix[i]) - planted.value[i] * sum;
    }
    CHECK(error_of(rows, of, logits, planted, d_mix) > 0.1);
}

TEST_CASE("sinkhorn_bwd reference: the implicit mode is the gradient where the iteration has converged, and not elsewhere")
{
    for (const sinkhorn_start start : starts) {
        for (const sinkhorn_eps_mode mode : {sinkhorn_eps_mode::none, sinkhorn_eps_mode::thresh}) {
            for (const std::int64_t n : {1, 2, 3, 4, 8}) {
                const auto options = sinkhorn_options(start, sinkhorn_order::row_col, mode, 1e-5F, 300);
                CAPTURE(described(options, n));
                const shape of{.tokens = 2, .n_streams = n};
                operand logits = matrices(options, of, 1);
                const auto d_mix = testing::normals(8, 2 * n * n, 0, 1);
                const tensor found = sinkhorn_bwd_implicit(options, of, logits.data(), d_mix.data());
                CHECK(error_of(options, of, logits, found, d_mix) <= 1e-6);
                if (n < 3) continue;
                auto truncated = options;
                truncated.sinkhorn_iters = 1;
                CHECK(error_of(truncated, of, logits, sinkhorn_bwd_implicit(truncated, of, logits.data(), d_mix.data()),
                               d_mix) > 1e-3);
            }
        }
    }
}

TEST_CASE("sinkhorn_bwd reference: the implicit mode where zeros split the matrix in blocks")
{
    constexpr float none = -std::numeric_limits<float>::infinity();
    const auto options = sinkhorn_options(sinkhorn_start::exp, sinkhorn_order::col_row, sinkhorn_eps_mode::none, 0, 300);
    const shape of{.tokens = 1, .n_streams = 4};
    const auto d_mix = testing::normals(8, 16, 0, 1);
    operand logits("logits", {0.5F, -1, none, none, 1, 0.25F, none, none, none, none, 0, 2, none, none, -1, 0.5F}, 4,
                   0x1p-8);
    const tensor found = sinkhorn_bwd_implicit(options, of, logits.data(), d_mix.data());
    CHECK(error_of(options, of, logits, found, d_mix) <= 1e-6);
    operand permutation("logits", {none, 3, none, none, 1, none, none, none, none, none, none, 2, none, none, -1, none}, 4,
                        0x1p-8);
    for (const double v : sinkhorn_bwd_implicit(options, of, permutation.data(), d_mix.data()).value)
        CHECK(std::abs(v) < 1e-14);
}
