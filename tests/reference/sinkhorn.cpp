// tests/reference/sinkhorn.cpp -- Sinkhorn-Knopp: an n x n matrix whose rows and columns are divided by their sums in turn.
//
// A row step divides each row (the last axis) by its sum, a column step each column. Iteration k is steps 2k and 2k+1.
// A step can be done on numbers, x / s, or on their logarithms, z - log s, which is the same function without overflow:
// with logits of standard deviation 100, exp(z) does not fit float32, and a column may vanish beside its matrix's maximum.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/parallel.hpp"
#include "tests/reference/reference.hpp"
#include "tests/reference/sinkhorn_steps.hpp"

namespace mhc::reference {
namespace {

using jit::sinkhorn_eps_mode;
using jit::sinkhorn_start;

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

template <class Work>
void for_each_line(bool rows, std::int64_t n, double* matrix, const Work& work)
{
    for (std::int64_t i = 0; i < n; ++i) work(line_of(rows, i, n, matrix));
}

/// x / s; by eps_mode x / (s + eps), or unchanged where s is not above eps.
void divide_by_sum(const jit::layer_options& options, const line& x)
{
    const double eps = static_cast<double>(options.sinkhorn_eps);
    double sum = 0;
    for (std::int64_t i = 0; i < x.size; ++i) sum += x[i];
    double divisor = sum;
    switch (options.eps_mode) {
        case sinkhorn_eps_mode::none:
            break;
        case sinkhorn_eps_mode::add:
        case sinkhorn_eps_mode::add_both:
            divisor = sum + eps;
            break;
        case sinkhorn_eps_mode::thresh:
            divisor = sum > eps ? sum : 1;
            break;
    }
    for (std::int64_t i = 0; i < x.size; ++i) x[i] /= divisor;
}

}  // namespace

double logsumexp(const line& z)
{
    double largest = minus_infinity;
    for (std::int64_t i = 0; i < z.size; ++i) largest = std::max(largest, z[i]);
    if (largest == minus_infinity) return minus_infinity;
    double sum = 0;
    for (std::int64_t i = 0; i < z.size; ++i) sum += std::exp(z[i] - largest);
    return largest + std::log(sum);
}

double logaddexp(double a, double b)
{
    const double larger = std::max(a, b);
    if (larger == minus_infinity) return minus_infinity;
    return larger + std::log1p(std::exp(std::min(a, b) - larger));
}

bool subtract_log_of_sum(const jit::layer_options& options, const line& z)
{
    const double log_eps = std::log(static_cast<double>(options.sinkhorn_eps));
    const double log_sum = logsumexp(z);
    double log_divisor = log_sum;
    switch (options.eps_mode) {
        case sinkhorn_eps_mode::none:
            break;
        case sinkhorn_eps_mode::add:
        case sinkhorn_eps_mode::add_both:
            log_divisor = logaddexp(log_sum, log_eps);
            break;
        case sinkhorn_eps_mode::thresh:
            if (!(log_sum > log_eps)) return false;
            break;
    }
    for (std::int64_t i = 0; i < z.size; ++i) z[i] -= log_divisor;
    return true;
}

void sinkhorn(const jit::layer_options& options, std::int64_t n, double* matrix)
{
    const std::int64_t steps = 2 * static_cast<std::int64_t>(options.sinkhorn_iters);

    // How many steps are done on logits before the exponential.
    std::int64_t log_steps = 0;
    std::int64_t done = 0;
    switch (options.start) {
        case sinkhorn_start::identity:
            break;
        case sinkhorn_start::exp:
            log_steps = std::min<std::int64_t>(2, steps);
            break;
        case sinkhorn_start::log:
            log_steps = steps;
            break;
        case sinkhorn_start::softmax:
            // The softmax over b is the row step of the first iteration; without iterations it is the result.
            for_each_line(true, n, matrix, [&](const line& z) {
                const double log_sum = logsumexp(z);
                const double eps =
                    options.eps_mode == sinkhorn_eps_mode::add_both ? static_cast<double>(options.sinkhorn_eps) : 0.0;
                for (std::int64_t i = 0; i < z.size; ++i) z[i] = std::exp(z[i] - log_sum) + eps;
            });
            done = 1;
            break;
    }
    if (options.start == sinkhorn_start::exp || options.start == sinkhorn_start::log) {
        for (; done < log_steps; ++done) {
            for_each_line(is_row_step(options, done), n, matrix, [&](const line& z) { subtract_log_of_sum(options, z); });
        }
        for (std::int64_t i = 0; i < n * n; ++i) matrix[i] = std::exp(matrix[i]);
    }
    for (; done < steps; ++done) {
        for_each_line(is_row_step(options, done), n, matrix, [&](const line& x) { divide_by_sum(options, x); });
    }
}

tensor sinkhorn_fwd(const jit::layer_options& options, const shape& of, const float* logits)
{
    const std::int64_t n = of.n_streams;
    tensor mix(of.tokens * n * n);
    std::copy(logits, logits + of.tokens * n * n, mix.value.begin());
    parallel_for(of.tokens, n * n * (40 + 2 * options.sinkhorn_iters), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) sinkhorn(options, n, mix.value.data() + t * n * n);
    });
    // Every term is positive (logits under `identity` are taken to be), so the absolute terms add up to the value.
    std::transform(mix.value.begin(), mix.value.end(), mix.terms.begin(), [](double m) { return std::abs(m); });
    return mix;
}

}  // namespace mhc::reference
