// tests/reference/sinkhorn_bwd.cpp -- the gradient of Sinkhorn-Knopp: exact through every step, or of the limit.
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
    /// inner: X0, or empty for 1.
    steps_back(std::int64_t n, std::vector<double> inner, numbers gradient)
        : n_(n), inner_(std::move(inner)), gradient_(std::move(gradient)), spread_(gradient_)
    {
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
            each(step.rows, i, [&](std::size_t k) {
                const number inner = inner_.empty() ? number(1) : number(inner_[k]);
                sum += number(gradient_[k].value) * inner;
                spread_sum += spread_[k] * inner;
            });
            each(step.rows, i, [&](std::size_t k) {
                const number factor = step.factor[k];
                const number next = number(gradient_[k].value) - factor * sum;
                const number next_spread = spread_[k] - factor * spread_sum;
                if (follows) spread_[k] = next_spread;
                gradient_[k] = {next.value, std::max({gradient_[k].terms, next.terms, spread_[k].terms})};
            });
        }
    }

    /// Each element times a positive number.
    template <class Factor>
    void scale(const Factor& factor)
    {
        for (std::size_t k = 0; k < gradient_.size(); ++k) {
            gradient_[k] = gradient_[k] * number(factor(k));
            spread_[k] = spread_[k] * number(factor(k));
        }
    }

    const numbers& gradient() const { return gradient_; }

private:
    template <class Visit>
    void each(bool row, std::int64_t i, const Visit& visit) const
    {
        for (std::int64_t j = 0; j < n_; ++j) visit(static_cast<std::size_t>(row ? i * n_ + j : j * n_ + i));
    }

    std::int64_t n_;
    std::vector<double> inner_;
    numbers gradient_, spread_;
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
void matrix_adjoint(const jit::layer_options& options, std::int64_t n, const double* matrix, number* gradient)
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
    steps_back back(n, first, times(gradient, factor));
    std::for_each(steps.rbegin(), steps.rend(), [&](const step_record& step) { back.take(step); });
    std::copy(back.gradient().begin(), back.gradient().end(), gradient);
}

/// exp of every element.
std::vector<double> exponentials(const std::vector<double>& z)
{
    std::vector<double> x(z.size());
    std::transform(z.begin(), z.end(), x.begin(), [](double v) { return std::exp(v); });
    return x;
}

/// Starts exp, log and softmax, with every step on logarithms: the same function.
void logits_adjoint(const jit::layer_options& options, std::int64_t n, const double* logits, number* gradient)
{
    std::vector<double> z(logits, logits + n * n);
    std::vector<step_record> steps;
    const std::vector<char> all(static_cast<std::size_t>(n), 1);
    const bool softmax = options.start == sinkhorn_start::softmax;
    const double eps = softmax && options.eps_mode == sinkhorn_eps_mode::add_both ? options.sinkhorn_eps : 0.0F;
    std::vector<double> first;  // the softmax itself
    if (softmax) {
        for (std::int64_t i = 0; i < n; ++i) {
            const line row = line_of(true, i, n, z.data());
            const double log_sum = logsumexp(row);
            for (std::int64_t j = 0; j < n; ++j) row[j] -= log_sum;
        }
        first = exponentials(z);
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
        step.factor = exponentials(z);
        steps.push_back(std::move(step));
    }
    steps_back back(n, {}, times(gradient, exponentials(z)));
    std::for_each(steps.rbegin(), steps.rend(), [&](const step_record& step) { back.take(step); });
    if (softmax) {
        // X0 = P + eps: from the logarithm of X0 to that of P.
        if (eps > 0) back.scale([&](std::size_t k) { return first[k] / (first[k] + eps); });
        back.take({true, first, all});
    }
    std::copy(back.gradient().begin(), back.gradient().end(), gradient);
}

}  // namespace

void sinkhorn_adjoint(const jit::layer_options& options, std::int64_t n, const double* logits, number* gradient)
{
    if (options.start == sinkhorn_start::identity) return matrix_adjoint(options, n, logits, gradient);
    logits_adjoint(options, n, logits, gradient);
}

tensor sinkhorn_bwd(const jit::layer_options& options, const shape& of, const float* logits, const float* d_mix)
{
    const std::int64_t size = of.n_streams * of.n_streams;
    tensor d_logits(of.tokens * size);
    parallel_for(of.tokens, size * (80 + 8 * options.sinkhorn_iters), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::vector<double> z(logits + t * size, logits + (t + 1) * size);
            numbers gradient(d_mix + t * size, d_mix + (t + 1) * size);
            sinkhorn_adjoint(options, of.n_streams, z.data(), gradient.data());
            for (std::int64_t k = 0; k < size; ++k) put(d_logits, t * size + k, gradient[static_cast<std::size_t>(k)]);
        }
    });
    return d_logits;
}

namespace {

/// Solves a x = b of size n, a symmetric and positive definite, in place of b (Cholesky).
void solve(std::int64_t n, std::vector<double> a, std::vector<double>& b)
{
    const auto at = [&](std::int64_t i, std::int64_t j) -> double& { return a[static_cast<std::size_t>(i * n + j)]; };
    const auto rhs = [&](std::int64_t i) -> double& { return b[static_cast<std::size_t>(i)]; };
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
            double sum = at(i, j);
            for (std::int64_t k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
            at(i, j) = i == j ? std::sqrt(sum) : sum / at(j, j);
        }
    }
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t k = 0; k < i; ++k) rhs(i) -= at(i, k) * rhs(k);
        rhs(i) /= at(i, i);
    }
    for (std::int64_t i = n - 1; i >= 0; --i) {
        for (std::int64_t k = i + 1; k < n; ++k) rhs(i) -= at(k, i) * rhs(k);
        rhs(i) /= at(i, i);
    }
}

/// The gradient of the limit M with respect to log X0: G = M * (dM - alpha 1' - 1 beta'), where alpha and beta make the
/// sums of G's rows and columns vanish: alpha + M beta = rowsum(M * dM), M' alpha + beta = colsum(M * dM). (alpha, beta) is
/// unique but for a constant that G does not see; 1 1'/n beside I - M'M picks one.
numbers limit_adjoint(std::int64_t n, const std::vector<double>& m, const float* d_mix)
{
    const auto index = [n](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * n + j); };
    const auto size = static_cast<std::size_t>(n);
    std::vector<double> row(size), column(size), system(size * size, 1 / static_cast<double>(n));
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            const double product = m[index(i, j)] * static_cast<double>(d_mix[index(i, j)]);
            row[static_cast<std::size_t>(i)] += product;
            column[static_cast<std::size_t>(j)] += product;
        }
    }
    std::vector<double> beta = column;
    for (std::int64_t j = 0; j < n; ++j) {
        system[index(j, j)] += 1;
        for (std::int64_t i = 0; i < n; ++i) {
            beta[static_cast<std::size_t>(j)] -= m[index(i, j)] * row[static_cast<std::size_t>(i)];
            for (std::int64_t k = 0; k < n; ++k) system[index(j, k)] -= m[index(i, j)] * m[index(i, k)];
        }
    }
    solve(n, system, beta);
    numbers gradient(size * size);
    for (std::int64_t i = 0; i < n; ++i) {
        number alpha = row[static_cast<std::size_t>(i)];
        for (std::int64_t j = 0; j < n; ++j)
            alpha = alpha - number(m[index(i, j)]) * number(beta[static_cast<std::size_t>(j)]);
        for (std::int64_t j = 0; j < n; ++j) {
            const number rest =
                number(static_cast<double>(d_mix[index(i, j)])) - alpha - number(beta[static_cast<std::size_t>(j)]);
            gradient[index(i, j)] = number(m[index(i, j)]) * rest;
        }
    }
    return gradient;
}

}  // namespace

tensor sinkhorn_bwd_implicit(const jit::layer_options& options, const shape& of, const float* logits, const float* d_mix)
{
    const std::int64_t n = of.n_streams;
    tensor d_logits(of.tokens * n * n);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const float* z = logits + t * n * n;
        std::vector<double> m(z, z + n * n);
        sinkhorn(options, n, m.data());
        numbers gradient = limit_adjoint(n, m, d_mix + t * n * n);
        for (std::int64_t k = 0; k < n * n; ++k) {
            number& element = gradient[static_cast<std::size_t>(k)];
            if (options.start == sinkhorn_start::identity) element = element * number(1 / static_cast<double>(z[k]));
            put(d_logits, t * n * n + k, element);
        }
    }
    return d_logits;
}

}  // namespace mhc::reference
