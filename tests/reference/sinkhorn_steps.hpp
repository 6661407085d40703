// tests/reference/sinkhorn_steps.hpp -- a Sinkhorn step on logarithms, which the iteration and its gradient share.
#pragma once

#include <cstdint>

#include <mhc/jit/spec.hpp>

namespace mhc::reference {

/// One row or column of a matrix.
struct line {
    double* first;
    std::int64_t size, step;

    double& operator[](std::int64_t i) const { return first[i * step]; }
};

/// Row or column i of an n x n matrix.
inline line line_of(bool row, std::int64_t i, std::int64_t n, double* matrix)
{
    return row ? line{matrix + i * n, n, 1} : line{matrix + i, n, n};
}

/// Whether a step, counted from 0, divides rows.
inline bool is_row_step(const jit::layer_options& options, std::int64_t step)
{
    return (step % 2 == 0) == (options.order == jit::sinkhorn_order::row_col);
}

/// log(sum exp z); minus infinity for a line of zeros.
double logsumexp(const line& z);

/// log(exp(a) + exp(b)).
double logaddexp(double a, double b);

/// One step of a line z = log x. Returns whether it divided: thresh leaves a line whose sum is not above eps.
bool subtract_log_of_sum(const jit::layer_options& options, const line& z);

}  // namespace mhc::reference
