// tests/reference/streams.hpp -- one token's sums over streams and its RMS norm, with absolute terms; shared by the
// operators.
#pragma once

#include <cstdint>
#include <vector>

#include <mhc/jit/spec.hpp>

#include "tests/reference/options.hpp"
#include "tests/reference/tensors.hpp"

namespace mhc::reference {

/// C numbers and the absolute terms of each.
struct channels {
    std::vector<double> value, terms;

    explicit channels(std::int64_t hidden_dim)
        : value(static_cast<std::size_t>(hidden_dim)), terms(static_cast<std::size_t>(hidden_dim))
    {
    }
};

/// 1 / (1 + exp(-z)).
double sigmoid(double z);

/// sqrt(mean(v^2) + eps).
double root_mean_square(const std::vector<double>& v, double eps);

/// into += coefficient * row, channel by channel.
void add_scaled(double coefficient, const float* row, channels& into);

/// sum_i p[i] * x[token, i].
channels weighted_streams(const shape& of, const strided_rows& x, std::int64_t token, const double* p);

/// v / sqrt(mean(v^2) + eps) * weight; weight null: times 1. The divisor is a number without cancellation, so the absolute
/// terms are divided by it too. Returns the divisor.
double rms_normalise(channels& v, double eps, const float* weight);

/// sum_i pre[t,i] * x[t,i], normalised and times norm_weight where that is not null; [T, C].
tensor layer_input_of(const jit::layer_options& options, const shape& of, const strided_rows& x,
                      const std::vector<double>& pre, const float* norm_weight);

/// The coefficients of all tokens, [T, width].
std::vector<double> widened(const shape& of, const token_rows& rows, std::int64_t width);

/// A sigmoid and a Sinkhorn matrix are sums of terms of one sign: their absolute terms add up to their absolute value.
tensor of_one_sign(std::vector<double> value);

/// M of one token from the stored matrix: M[i][j] multiplies x_j in out_i, row-major.
std::vector<double> mixing_matrix(jit::mix_layout layout, std::int64_t n, const double* stored);

}  // namespace mhc::reference
