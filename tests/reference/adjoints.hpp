// tests/reference/adjoints.hpp -- the steps that gradients are made of, for one token: MATH.md 2.1 line by line.
//
// d_v is the gradient of the loss with respect to v. Everything carries its absolute terms (number.hpp, channels).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/reference/gradients.hpp"
#include "tests/reference/number.hpp"
#include "tests/reference/streams.hpp"

namespace mhc::reference {

/// The n rows of one token.
using streams = std::vector<channels>;

channels exact_channels(const float* row, std::int64_t hidden_dim);
streams streams_of(const shape& of, const strided_rows& x, std::int64_t token);
streams zero_streams(const shape& of);

/// Row `row` of a dense tensor whose rows have C numbers.
void store(const channels& from, std::int64_t row, tensor& to);
/// The n rows of a token of a dense [T, n, C] tensor.
void store(const streams& from, std::int64_t token, tensor& to);
void add_rows(const tensor& from, std::int64_t token, streams& to);

/// `count` gradients, or as many zeros where there are none.
numbers numbers_of(const float* gradients, std::int64_t count);

/// sum_c a_c b_c.
number dot(const channels& a, const channels& b);

/// into += coefficient * row.
void add_scaled(const number& coefficient, const channels& row, channels& into);

/// sum over the first axis of [count, rest].
tensor sum_of_first_axis(const tensor& from, std::int64_t rest);

/// Gradient of mix in, gradient of logits out (of the first matrix, with start identity), n x n in place. doubt [n, n],
/// where not null, receives what float32 exponentials of wide logits add to an element's error: tensor::rounding_doubt.
void sinkhorn_adjoint(const jit::layer_options& options, std::int64_t n, const double* logits, number* gradient,
                      double* doubt = nullptr);

/// y = a / rms * weight with rms = sqrt(mean(a^2) + eps):
/// d_a = weight * d_y / rms - a * sum(weight * d_y * a) / (C rms^3). weight null: 1. d_weight, where not null, receives
/// d_y * a / rms.
channels rms_norm_adjoint(const channels& a, double eps, const float* weight, const channels& d_y, channels* d_weight);

/// rms = sqrt(mean(a^2) + eps) has d_a = a * this: d_rms / (C rms).
number rms_adjoint(const channels& a, double eps, float d_rms);

/// a = sum_i p_i x_i: d_p_i += sum(d_a x_i), d_x_i += p_i d_a.
void weighted_streams_adjoint(const streams& x, const double* p, const channels& d_a, number* d_p, streams& d_x);

struct mixing_gradients {
    channels y;
    numbers post;  ///< [n]
    numbers mix;   ///< [n, n], as stored
};
/// out_i = post_i y + sum_j M_ij x_j, with g = d_out: d_y = sum_i post_i g_i, d_post_i = <g_i, y>, dM_ij = <g_i, x_j>,
/// d_x_j += sum_i M_ij g_i.
mixing_gradients mixing_adjoint(jit::mix_layout layout, const channels& y, const streams& x, const double* post,
                                const double* stored_mix, const streams& g, streams& d_x);

/// post_bwd from the gradient of each token's rows.
post_gradients post_adjoint(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x,
                            const token_rows& post, const token_rows& mix, const float* bias,
                            const std::function<streams(std::int64_t token)>& d_out);

/// The gradient of coefficients, which are one set for all tokens where their stride is 0.
tensor of_coefficients(tensor per_token, const token_rows& rows, std::int64_t width);

/// The rows of d_out of a token, or zeros where there are none.
streams gradient_streams(const shape& of, const strided_rows& d_out, std::int64_t token);

/// From d_p of p = multiplier * sigmoid(z) + constant to d_z = d_p * multiplier * sigmoid(z) * sigmoid(-z).
number sigmoid_adjoint(double z, double multiplier, const number& d_p);

}  // namespace mhc::reference
