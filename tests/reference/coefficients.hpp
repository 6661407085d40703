// tests/reference/coefficients.hpp -- from x to pre, post and mix: projection, RMS norm over K, sigmoids, Sinkhorn.
#pragma once

#include <vector>

#include "tests/reference/reference.hpp"

namespace mhc::reference {

/// The three groups of projection rows.
struct projection_weights {
    const float *pre = nullptr, *post = nullptr, *res = nullptr;  ///< [n, K], [n, K], [n*n, K]
    double scale_pre = 1, scale_post = 1, scale_res = 1;
    const float *base_pre = nullptr, *base_post = nullptr, *base_res = nullptr;  ///< [n], [n], [n, n]
    const float* fn_norm_weight = nullptr;                                       ///< [K], or null
};

/// Of all tokens, in float64.
struct coefficients {
    std::vector<double> pre;   ///< [T, n]
    std::vector<double> post;  ///< [T, n]
    std::vector<double> mix;   ///< [T, n, n], as stored
};

/// pre = sigmoid(z_pre) + pre_eps, post = post_mult * sigmoid(z_post), mix = Sinkhorn(z_res) of one token, from its logits.
void activate(const jit::layer_options& options, std::int64_t n, const double* z_pre, const double* z_post,
              const double* z_res, double* pre, double* post, double* mix);

/// Of all tokens, in float64: products [T, rows] with the rows of a projection, and sum_K(x^2) [T].
struct projection_sums {
    std::int64_t rows = 0;
    std::vector<double> products, squares;
};

/// `count` rows of K weights.
struct weight_rows {
    const float* data = nullptr;
    std::int64_t count = 0;
};
/// rounded_to_bf16: x and the weights are rounded to bf16 first; of_magnitudes: their absolute values are taken.
enum class projected_values : std::uint8_t { as_they_are, rounded_to_bf16, of_magnitudes };
/// fn_norm_weight [K], where not null, multiplies every row of the weights, and not the x of the squares.
projection_sums project_rows(const shape& of, const strided_rows& x, const std::vector<weight_rows>& weights,
                             projected_values values, const float* fn_norm_weight = nullptr);

/// The sums over the splits.
projection_sums added_splits(const shape& of, const split_projection& from);

/// r = 1 / sqrt(square_sum / K + rms_eps).
double inverse_rms(const jit::layer_options& options, const shape& of, double square_sum);

/// The rows of fn, scale and base as pre_fwd takes them.
projection_weights weights_of(const shape& of, const float* fn, const float* scale, const float* base,
                              const float* fn_norm_weight = nullptr);

/// The same of the dynamic layer's.
projection_weights weights_of(const dynamic_weights& weights);

/// The rows of pre, post and mix.
std::vector<weight_rows> rows_of(const shape& of, const projection_weights& weights);

/// z_k = scale_k * product_k * r + base_k, in the place of the products.
void make_logits(const jit::layer_options& options, const shape& of, const projection_weights& weights,
                 projection_sums& sums);

/// `make_logits`, then `activate`.
coefficients coefficients_of(const jit::layer_options& options, const shape& of, const projection_weights& weights,
                             projection_sums sums);

/// z_k = scale_k * (w_k . x) * r + base_k with r = 1 / sqrt(mean_K(x^2) + rms_eps), then `activate`.
/// rounds_to_bf16: x and the weights are rounded to bf16 first, for the norm too.
coefficients projected_coefficients(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                    const projection_weights& weights, bool rounds_to_bf16);

}  // namespace mhc::reference
