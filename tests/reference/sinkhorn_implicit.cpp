// tests/reference/sinkhorn_implicit.cpp -- the gradient of what Sinkhorn-Knopp converges to.
#include <cmath>

#include "tests/reference/gradients.hpp"
#include "tests/reference/number.hpp"

namespace mhc::reference {
namespace {

constexpr double vanishing_pivot = 1e-13;  // of a matrix of numbers up to 1, with float64's errors

/// A solution of a x = b of size n in place of b, with a symmetric and positive semidefinite and b in its range (Cholesky;
/// where a pivot vanishes the unknown is free, and 0).
void solve(std::int64_t n, std::vector<double> a, std::vector<double>& b)
{
    const auto at = [&](std::int64_t i, std::int64_t j) -> double& { return a[static_cast<std::size_t>(i * n + j)]; };
    const auto rhs = [&](std::int64_t i) -> double& { return b[static_cast<std::size_t>(i)]; };
    const auto divided = [&](double by_pivot, std::int64_t i) { return at(i, i) == 0 ? 0.0 : by_pivot / at(i, i); };
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j <= i; ++j) {
            double sum = at(i, j);
            for (std::int64_t k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
            if (i == j)
                at(i, i) = sum > vanishing_pivot ? std::sqrt(sum) : 0.0;
            else
                at(i, j) = divided(sum, j);
        }
    }
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t k = 0; k < i; ++k) rhs(i) -= at(i, k) * rhs(k);
        rhs(i) = divided(rhs(i), i);
    }
    for (std::int64_t i = n - 1; i >= 0; --i) {
        for (std::int64_t k = i + 1; k < n; ++k) rhs(i) -= at(k, i) * rhs(k);
        rhs(i) = divided(rhs(i), i);
    }
}

/// The gradient of the limit M with respect to log X0: G = M * (dM - alpha 1' - 1 beta'), where alpha and beta make the
/// sums of G's rows and columns vanish: alpha + M beta = rowsum(M * dM), M' alpha + beta = colsum(M * dM). With alpha
/// eliminated, (I - M'M) beta = colsum - M' rowsum. (alpha, beta) is unique but for a constant, one for each block where M
/// has zeros, which G does not see.
numbers limit_adjoint(std::int64_t n, const std::vector<double>& m, const float* d_mix)
{
    const auto index = [n](std::int64_t i, std::int64_t j) { return static_cast<std::size_t>(i * n + j); };
    const auto size = static_cast<std::size_t>(n);
    std::vector<double> row(size), column(size), system(size * size);
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
            if (options.start == jit::sinkhorn_start::identity) element = element * number(1 / static_cast<double>(z[k]));
            put(d_logits, t * n * n + k, element);
        }
    }
    return d_logits;
}

}  // namespace mhc::reference
