// tests/reference/coefficients_bwd.hpp -- the gradients between x and pre, post and mix, of all tokens; what the backward of
// pre, head, the stages and the dynamic layer share.
#pragma once

#include <vector>

#include "tests/reference/adjoints.hpp"
#include "tests/reference/coefficients.hpp"
#include "tests/reference/gradients.hpp"

namespace mhc::reference {

/// Consecutive rows of a projection that have one scale: z_o = scale * products_o * r + base_o.
struct logit_group {
    std::int64_t rows = 0;
    double scale = 1;
    const float* base = nullptr;
};

/// The groups pre, post and mix of the weights.
std::vector<logit_group> groups_of(const shape& of, const projection_weights& weights);

/// A projection and the logits made of it, of all tokens.
struct projected_logits {
    std::vector<logit_group> groups;
    projection_sums sums;
    std::vector<double> z;  ///< [T, rows]
};
projected_logits logits_of(const jit::layer_options& options, const shape& of, std::vector<logit_group> groups,
                           projection_sums sums);

/// pre of all tokens, from the first n logits of each.
std::vector<double> pre_of(const jit::layer_options& options, const shape& of, const projected_logits& from);

/// Gradients of the coefficients of all tokens; a head has pre alone.
struct coefficient_gradients {
    numbers pre, post, mix;  ///< [T, n], [T, n], [T, n, n]
};

/// Those of pre_fwd's outputs.
coefficient_gradients gradients_of(const shape& of, const pre_outputs& d);

/// From d_pre, d_post and d_mix (of T = 1 for a static layer) to d_z, [T, rows], whose rows are pre, post and mix as far as
/// there are any. doubt, as large as z or null: see sinkhorn_adjoint.
numbers activation_adjoint(const jit::layer_options& options, std::int64_t n, const std::vector<double>& z,
                           const coefficient_gradients& from, double* doubt = nullptr);

/// layer_input = sum_i pre_i x_i, normalised where norm_weight is not null. Adds to d_pre, writes d_x; returns d_norm_weight
/// (empty without).
tensor layer_input_adjoint(const jit::layer_options& options, const shape& of, const strided_rows& x,
                           const std::vector<double>& pre, const float* norm_weight, const float* d_layer_input,
                           numbers& d_pre, tensor& d_x);

struct logit_gradients {
    numbers products;  ///< [T, rows]
    numbers squares;   ///< [T]
    numbers scale;     ///< [groups]
    numbers base;      ///< [rows]
};
/// z_o = scale * P_o * r + base_o with r = (squares / K + rms_eps)^-1/2:
/// d_P = r scale d_z, d_squares = -r^3 / (2K) sum_o(scale d_z_o P_o), d_scale = sum(d_z P r), d_base = sum_t d_z.
logit_gradients logits_adjoint(const jit::layer_options& options, const shape& of, const projected_logits& from,
                               const numbers& d_z);

struct projection_gradients {
    std::vector<tensor> weights;  ///< one for each weight_rows
    tensor fn_norm_weight;        ///< [K]; empty without
};
/// P = (w * fn) x and squares = sum_K(x^2): d_x += w * sum_o(d_P_o fn_o) + 2 d_squares x, d_fn_o = w * sum_t(d_P_o x),
/// d_w = sum_t(x * sum_o(d_P_o fn_o)).
projection_gradients projection_adjoint(const shape& of, const strided_rows& x, const std::vector<weight_rows>& weights,
                                        const float* fn_norm_weight, const numbers& d_products, const numbers& d_squares,
                                        tensor& d_x);

}  // namespace mhc::reference
