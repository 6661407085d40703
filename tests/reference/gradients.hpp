// tests/reference/gradients.hpp -- the backward of every operator in float64: gradients of the functions in reference.hpp.
//
// A backward takes the operands of its forward as the forward does, then `d_NAME`, the gradient of a loss with respect to
// each output NAME, and returns the loss's gradient with respect to each input, under the input's name. Whatever it needs of
// the forward it computes again from the operands.
// * A null d_NAME (or `data`) is a gradient of zero: the output was not used. An input that is absent has an empty gradient.
// * Gradients of what every token shares (weights, scale, base, static coefficients) are sums over the tokens. Those of
//   [T, n, C] tensors are dense and of every row, whatever the strides: where rows of x are one row in memory, the caller
//   adds them.
// * Nothing is rounded, so reference_rounding is not read: these are gradients of the formula.
// * `terms` are as in reference.hpp, the formula with absolute terms; sinkhorn_bwd.cpp says what stands for them there.
// * The first num_valid_tokens of a padded batch are a batch: `tokens` is their number, nothing of the others is read.
// A gradient that is accumulated is `accumulated` of the result; one in the order phi [K, m] is `transposed` of it.
#pragma once

#include "tests/reference/reference.hpp"

namespace mhc::reference {

/// gradient + before, for outputs that are added to.
tensor accumulated(tensor gradient, const float* before);

/// [rows, columns] to [columns, rows]: fn [m, K] is phi [K, m] transposed, and so are their gradients.
std::vector<float> transposed(const float* from, std::int64_t rows, std::int64_t columns);
tensor transposed(const tensor& from, std::int64_t rows, std::int64_t columns);

/// Gradient of logits; exact through every step of the truncated iteration, for every start, order and eps mode.
/// [T, n, n] from [T, n, n].
tensor sinkhorn_bwd(const jit::layer_options& options, const shape& of, const float* logits, const float* d_mix);

/// The same of the limit of infinitely many iterations, by implicit differentiation at mix = sinkhorn_fwd(logits); it is the
/// gradient where mix has converged: its rows and columns sum to 1. For eps modes none and thresh, whose limit it is.
tensor sinkhorn_bwd_implicit(const jit::layer_options& options, const shape& of, const float* logits, const float* d_mix);

struct rmsnorm_gradients {
    tensor x;       ///< [T, C]
    tensor weight;  ///< [C]; empty without weight
};
rmsnorm_gradients rmsnorm_bwd(const jit::layer_options& options, const shape& of, const float* x, const float* weight,
                              const float* d_y, const float* d_rms);

struct apply_mix_gradients {
    tensor x;    ///< [T, n, C]
    tensor pre;  ///< [T, n], or [n] where pre.token_stride is 0
};
apply_mix_gradients apply_mix_bwd(const shape& of, const strided_rows& x, const token_rows& pre, const float* d_layer_input);

/// Gradient of h, [T, C]: the sum over the streams of d_x.
tensor expand_bwd(const shape& of, const strided_rows& d_x);

struct post_gradients {
    tensor y;     ///< [T, C]
    tensor x;     ///< [T, n, C]
    tensor post;  ///< [T, n], or [n] where post.token_stride is 0
    tensor mix;   ///< [T, n, n] as stored, or [n, n] where mix.token_stride is 0
    tensor bias;  ///< [C]; empty without bias
};
post_gradients post_bwd(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x,
                        const token_rows& post, const token_rows& mix, const strided_rows& d_out,
                        const float* bias = nullptr);

}  // namespace mhc::reference
