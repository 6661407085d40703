// tests/reference/sinkhorn_bwd.cpp -- the gradient of Sinkhorn-Knopp, exact through every step.
//
// A step Y = X / (s + eps), s the sum of a line, has dX = (dY - sum_line(dY * Y)) / (s + eps) (MATH.md 2.1). Every step
// multiplies by a diagonal, so after k steps Y = X0 * F_k with F_k the product of all reciprocals of divisors. In units of
// the first matrix, E = F_k * dY, the step is
//   E <- E - F_k * sum_line(E * X0)
// without a division. From logits, X0 = exp(z) and the gradient wanted is G = E * X0:
//   G <- G - Y_k * sum_line(G)
// whose factors are in [0, 1] however wide the logits are. Both are one rule with (factor, inner) = (F_k, X0) or (Y_k, 1).
#include <algorithm>
#include <cmath>

#include "tests/reference/adjoints.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/reference/parallel.hpp"
#include "tests/reference/sinkhorn_steps.hpp"

namespace mhc::reference {
namespace {

using jit::sinkhorn_eps_mode;
using jit::sinkhorn_start;

/// What the gradient of a step needs of the forward.
struct step_record {
    bool rows = false;
    std::vector<double> factor;  ///< F_k or Y_k, n x n
    std::vector<char> divided;   ///< [n]; 0: thresh left the line as it was
};

/// The steps back, from the last to the first, over one gradient.
class steps_back {
public:
    /// inner: X0, or empty for 1. sensitivity: to how many units in the last place an element of the matrix is known.
    steps_back(std::int64_t n, std::vector<double> inner, std::vector<double> sensitivity, numbers gradient)
        : n_(n),
          inner_(std::move(inner)),
          sensitivity_(std::move(sensitivity)),
          gradient_(std::move(gradient)),
          spread_(gradient_)
    {
        for (std::size_t k = 0; k < gradient_.size(); ++k) doubt_.push_back(gradient_[k].terms * (sensitivity_[k] - 1));
    }

    void take(const step_record& step)
    {
        // Absolute terms double with every step, which errors do not: any number of steps maps a matrix to one of its
        // size. So the absolute formula is followed for two steps, which reach every element from every other, and
        // beyond them an element's terms are the largest of any single step.
        const bool follows = taken_++ < 2;
        for (std::int64_t i = 0; i < n_; ++i) {
            if (step.divided[static_cast<std::size_t>(i)] == 0) continue;
            number sum, spread_sum;
            double doubt_sum = 0;
            each(step.rows, i, [&](std::size_t k) {
                const number inner = inner_.empty() ? 1 : inner_[k];
                const number product = number(gradient_[k].value) * inner;
                sum += product;
                doubt_sum += product.terms * (sensitivity_[k] - 1);
                spread_sum += spread_[k] * inner;
            });
            each(step.rows, i, [&](std::size_t k) {
                const number factor = step.factor[k], before = gradient_[k].value;
                const number next = before - factor * sum;
                const double doubt =
                    (before.terms + factor.terms * sum.terms) * (sensitivity_[k] - 1) + factor.terms * doubt_sum;
                if (follows) spread_[k] = spread_[k] - factor * spread_sum;
                gradient_[k] = {next.value, std::max({gradient_[k].terms, next.terms, spread_[k].terms})};
                doubt_[k] = std::max(doubt_[k], doubt);
            });
        }
    }

    /// Each element times a positive number that is made of the matrix, and as sensitive.
    template <class Factor>
    void scale(const Factor& factor)
    {
        for (std::size_t k = 0; k < gradient_.size(); ++k) {
            gradient_[k] = gradient_[k] * number(factor(k));
            spread_[k] = spread_[k] * number(factor(k));
            doubt_[k] = doubt_[k] * factor(k) + std::abs(gradient_[k].value) * (sensitivity_[k] - 1);
        }
    }

    /// doubt may be null.
    void store(number* gradient, double* doubt) const
    {
        std::copy(gradient_.begin(), gradient_.end(), gradient);
        for (std::size_t k = 0; doubt != nullptr && k < doubt_.size(); ++k) doubt[k] = 4 * 0x1p-24 * doubt_[k];
    }

private:
    template <class Visit>
    void each(bool row, std::int64_t i, const Visit& visit) const
    {
        for (std::int64_t j = 0; j < n_; ++j) visit(static_cast<std::size_t>(row ? i * n_ + j : j * n_ + i));
    }

    std::int64_t n_;
    std::vector<double> inner_, sensitivity_;
    numbers gradient_, spread_;
    std::vector<double> doubt_;  ///< what the sensitivity adds to the terms
    int taken_ = 0;
};

/// Sum of a line over which identity divides, by the eps mode; 0 where thresh leaves the line.
double divisor_of(const jit::layer_options& options, double sum)
{
    const double eps = static_cast<double>(options.sinkhorn_eps);
    switch (options.eps_mode) {
        case sinkhorn_eps_mode::none:
            break;
        case sinkhorn_eps_mode::add:
        case sinkhorn_eps_mode::add_both:
            return sum + eps;
        case sinkhorn_eps_mode::thresh:
            if (!(sum > eps)) return 1;
            break;
    }
    return sum;
}

numbers times(const number* gradient, const std::vector<double>& factor)
{
    numbers product(factor.size());
    for (std::size_t k = 0; k < factor.size(); ++k) product[k] = gradient[k] * number(factor[k]);
    return product;
}

/// Start identity: the first matrix is the operand itself, and may have zeros.
void matrix_adjoint(const jit::layer_options& options, std::int64_t n, const double* matrix, number* gradient, double* doubt)
{
    const std::vector<double> first(matrix, matrix + n * n);
    std::vector<double> x = first, factor(first.size(), 1.0);
    std::vector<step_record> steps;
    for (std::int64_t k = 0; k < 2 * static_cast<std::int64_t>(options.sinkhorn_iters); ++k) {
        step_record step{is_row_step(options, k), {}, std::vector<char>(static_cast<std::size_t>(n), 1)};
        for (std::int64_t i = 0; i < n; ++i) {
            const line elements = line_of(step.rows, i, n, x.data()), factors = line_of(step.rows, i, n, factor.data());
            double sum = 0;
            for (std::int64_t j = 0; j < n; ++j) sum += elements[j];
            const bool leaves =
                options.eps_mode == sinkhorn_eps_mode::thresh && !(sum > static_cast<double>(options.sinkhorn_eps));
            step.divided[static_cast<std::size_t>(i)] = leaves ? 0 : 1;
            const double divisor = divisor_of(options, sum);
            for (std::int64_t j = 0; j < n; ++j) {
                elements[j] /= divisor;
                factors[j] /= divisor;
            }
        }
        step.factor = factor;
        steps.push_back(std::move(step));
    }
    steps_back back(n, first, std::vector<double>(first.size(), 1.0), times(gradient, factor));
    std::for_each(steps.rbegin(), steps.rend(), [&](const step_record& step) { back.take(step); });
    back.store(gradient, doubt);
}

/// exp of every element.
std::vector<double> exponentials(const std::vector<double>& z)
{
    std::vector<double> x(z.size());
    std::transform(z.begin(), z.end(), x.begin(), [](double v) { return std::exp(v); });
    return x;
}

/// An exponential of a float32 that is not small has as many units of error as its argument has in size: the largest
/// argument of each element so far.
void note_arguments(const std::vector<double>& z, std::vector<double>& sensitivity)
{
    for (std::size_t k = 0; k < z.size(); ++k) {
        if (std::isfinite(z[k])) sensitivity[k] = std::max(sensitivity[k], std::abs(z[k]));
    }
}

/// Starts exp, log and softmax, with every step on logarithms: the same function.
void logits_adjoint(const jit::layer_options& options, std::int64_t n, const double* logits, number* gradient, double* doubt)
{
    std::vector<double> z(logits, logits + n * n);
    std::vector<step_record> steps;
    const std::vector<char> all(static_cast<std::size_t>(n), 1);
    const bool softmax = options.start == sinkhorn_start::softmax;
    const double eps = softmax && options.eps_mode == sinkhorn_eps_mode::add_both ? options.sinkhorn_eps : 0.0F;
    std::vector<double> first, sensitivity(z.size(), 1.0);  // first: the softmax itself
    if (softmax) {
        for (std::int64_t i = 0; i < n; ++i) {
            const line row = line_of(true, i, n, z.data());
            const double log_sum = logsumexp(row);
            for (std::int64_t j = 0; j < n; ++j) row[j] -= log_sum;
        }
        first = exponentials(z);
        note_arguments(z, sensitivity);
        if (eps > 0) {
            for (double& v : z) v = logaddexp(v, std::log(eps));
        }
    }
    for (std::int64_t k = softmax ? 1 : 0; k < 2 * static_cast<std::int64_t>(options.sinkhorn_iters); ++k) {
        step_record step{is_row_step(options, k), {}, all};
        for (std::int64_t i = 0; i < n; ++i) {
            const bool divided = subtract_log_of_sum(options, line_of(step.rows, i, n, z.data()));
            step.divided[static_cast<std::size_t>(i)] = divided ? 1 : 0;
        }
        note_arguments(z, sensitivity);
        step.factor = exponentials(z);
        steps.push_back(std::move(step));
    }
    steps_back back(n, {}, sensitivity, times(gradient, exponentials(z)));
    std::for_each(steps.rbegin(), steps.rend(), [&](const step_record& step) { back.take(step); });
    if (softmax) {
        // X0 = P + eps: from the logarithm of X0 to that of P.
        if (eps > 0) back.scale([&](std::size_t k) { return first[k] / (first[k] + eps); });
        back.take({true, first, all});
    }
    back.store(gradient, doubt);
}

}  // namespace

void sinkhorn_adjoint(const jit::layer_options& options, std::int64_t n, const double* logits, number* gradient,
                      double* doubt)
{
    if (options.start == sinkhorn_start::identity) return matrix_adjoint(options, n, logits, gradient, doubt);
    logits_adjoint(options, n, logits, gradient, doubt);
}

tensor sinkhorn_bwd(const jit::layer_options& options, const shape& of, const float* logits, const float* d_mix)
{
    const std::int64_t size = of.n_streams * of.n_streams;
    tensor d_logits(of.tokens * size);
    d_logits.rounding_doubt.resize(d_logits.value.size());
    parallel_for(of.tokens, size * (80 + 8 * options.sinkhorn_iters), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::vector<double> z(logits + t * size, logits + (t + 1) * size);
            numbers gradient(d_mix + t * size, d_mix + (t + 1) * size);
            sinkhorn_adjoint(options, of.n_streams, z.data(), gradient.data(), d_logits.rounding_doubt.data() + t * size);
            for (std::int64_t k = 0; k < size; ++k) put(d_logits, t * size + k, gradient[static_cast<std::size_t>(k)]);
        }
    });
    return d_logits;
}

}  // namespace mhc::reference
