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

/// Gradients of pre_fwd's outputs; any may be null.
struct pre_outputs {
    const float* layer_input = nullptr;                           ///< [T, C]
    const float *pre = nullptr, *post = nullptr, *mix = nullptr;  ///< [T, n], [T, n], [T, n, n]
};
struct pre_gradients {
    tensor x;               ///< [T, n, C]
    tensor fn;              ///< [n*n+2n, K]; of a head [n, K]
    tensor scale;           ///< [3]; of a head [1]
    tensor base;            ///< [n*n+2n]; of a head [n]
    tensor norm_weight;     ///< [C]; empty without
    tensor fn_norm_weight;  ///< [K]; empty without
};
pre_gradients pre_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                      const float* scale, const float* base, const float* norm_weight, const pre_outputs& d,
                      const float* fn_norm_weight = nullptr);
pre_gradients head_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                       const float* scale, const float* base, const float* norm_weight, const float* d_layer_input,
                       const float* fn_norm_weight = nullptr);

/// d_proj [T, rows] and d_sqsum [T] are of the sums over the splits: the gradient of every split is that of the sum.
struct pre_project_gradients {
    tensor x;               ///< [T, n, C]
    tensor fn;              ///< [rows, K]
    tensor fn_norm_weight;  ///< [K]; empty without
};
pre_project_gradients pre_project_bwd(const shape& of, const strided_rows& x, const float* fn, std::int64_t rows,
                                      const float* d_proj, const float* d_sqsum, const float* fn_norm_weight = nullptr);

/// proj and sqsum: of every split, as above.
struct coefficients_gradients {
    tensor proj;   ///< [T, n*n+2n]
    tensor sqsum;  ///< [T]
    tensor scale;  ///< [3]
    tensor base;   ///< [n*n+2n]
};
coefficients_gradients split_mixes_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                       const float* scale, const float* base, const float* d_pre, const float* d_post,
                                       const float* d_logits);
coefficients_gradients coeffs_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                  const float* scale, const float* base, const float* d_pre, const float* d_post,
                                  const float* d_mix);

struct big_fuse_gradients {
    coefficients_gradients coefficients;
    tensor x;            ///< [T, n, C], of layer_input alone: that of proj and sqsum is pre_project_bwd's
    tensor norm_weight;  ///< [C]; empty without
};
big_fuse_gradients pre_big_fuse_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                    const strided_rows& x, const float* scale, const float* base, const float* norm_weight,
                                    const pre_outputs& d);

struct post_pre_gradients {
    post_gradients post;  ///< of post_fwd's operands
    pre_gradients next;   ///< of the next layer's; next.x is the whole gradient of `out`
};
/// `out` is post_fwd's result as it was stored, in the data's type: what pre_fwd of the next layer read. d_out is the
/// gradient that reaches it from elsewhere, d_next those of next_pre, next_post, next_mix and layer_input.
post_pre_gradients post_pre_bwd(const jit::layer_options& options, const shape& of, const float* y, const strided_rows& x,
                                const token_rows& post, const token_rows& mix, const strided_rows& out, const float* fn,
                                const float* scale, const float* base, const float* norm_weight, const strided_rows& d_out,
                                const pre_outputs& d_next, const float* bias = nullptr,
                                const float* fn_norm_weight = nullptr);

/// The same with head_fwd second, of which layer_input is the only output.
post_pre_gradients post_head_bwd(const jit::layer_options& options, const shape& of, const float* y, const strided_rows& x,
                                 const token_rows& post, const token_rows& mix, const strided_rows& out, const float* fn,
                                 const float* scale, const float* base, const float* norm_weight, const float* d_layer_input,
                                 const float* bias = nullptr, const float* fn_norm_weight = nullptr);

/// As pre_bwd, with x [T, C].
pre_gradients broadcast_pre_bwd(const jit::layer_options& options, const shape& of, const float* x, const float* fn,
                                const float* scale, const float* base, const float* norm_weight, const pre_outputs& d,
                                const float* fn_norm_weight = nullptr);

struct delayed_pre_gradients {
    pre_gradients pre;
    tensor previous_pre;  ///< [T, n], or [n] where its token_stride is 0
};
delayed_pre_gradients delayed_pre_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                      const token_rows& previous_pre, const float* fn, const float* scale, const float* base,
                                      const float* norm_weight, const pre_outputs& d, const float* fn_norm_weight = nullptr);

struct rmsnorm_matmul_gradients {
    tensor x;            ///< [T, C]
    tensor norm_weight;  ///< [C]; empty without
    tensor weight;       ///< [columns, C]
};
rmsnorm_matmul_gradients rmsnorm_matmul_bwd(const jit::layer_options& options, const shape& of, const float* x,
                                            const float* norm_weight, const float* weight, std::int64_t columns,
                                            const float* d_y, const float* d_rms);

struct static_layer_gradients {
    tensor x;                     ///< [T, n, C]
    tensor h_pre, h_post, h_res;  ///< [n], [n], [n, n]
    tensor weight;                ///< [C]
};
static_layer_gradients static_layer_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                        const float* h_pre, const float* h_post, const float* h_res, const float* weight,
                                        const strided_rows& d_out);

struct dynamic_layer_gradients {
    tensor x;                                 ///< [T, n, C]
    tensor phi_pre, phi_post, phi_res;        ///< [n, K], [n, K], [n*n, K]
    tensor alpha_pre, alpha_post, alpha_res;  ///< [1] each
    tensor b_pre, b_post, b_res;              ///< [n], [n], [n, n]
    tensor weight;                            ///< [C]
};
dynamic_layer_gradients dynamic_layer_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                          const dynamic_weights& weights, const strided_rows& d_out);

}  // namespace mhc::reference
