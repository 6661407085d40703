// tests/reference/reference.hpp -- the operators in float64, written from their formulas. Start here to learn what one
// computes.
//
// T tokens, n streams, C channels, K = n*C, x_i the row of stream i of one token. Every function takes values that already
// have their dtype's precision (as float32), works in float64 and rounds nothing unless `reference_rounding` asks for it.
// Beside each value stands the sum of the absolute values of its terms (`tensor::terms`), which the error bounds need.
// Options are those of MATH.md 6.1a, documented at jit::layer_options. The gradients of all this are in gradients.hpp.
#pragma once

#include "tests/reference/options.hpp"
#include "tests/reference/tensors.hpp"

namespace mhc::reference {

/// Sinkhorn-Knopp of one n x n matrix: logits in, mix out, in place, row-major.
void sinkhorn(const jit::layer_options& options, std::int64_t n, double* matrix);

/// mix[t] = Sinkhorn(logits[t]); both [T, n, n].
tensor sinkhorn_fwd(const jit::layer_options& options, const shape& of, const float* logits);

struct rmsnorm_result {
    tensor y;    ///< [T, C]
    tensor rms;  ///< [T]
};
/// rms = sqrt(mean_c(x^2) + norm_eps); y = x / rms * weight, or x / rms where weight is null. n of the shape is not read.
rmsnorm_result rmsnorm_fwd(const jit::layer_options& options, const shape& of, const float* x, const float* weight);

/// layer_input = sum_i pre_i x_i; [T, C].
tensor apply_mix_fwd(const shape& of, const strided_rows& x, const token_rows& pre);

/// x_i = h for every stream i; [T, n, C].
tensor expand_fwd(const shape& of, const float* h);

/// out_i = post_i (y + bias) + sum_j M_ij x_j; [T, n, C]. M is the stored matrix (out_in) or its transpose (src_dst).
/// bias [C] may be null: it is that of the block's last projection, left for this addition.
tensor post_fwd(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x, const token_rows& post,
                const token_rows& mix, const float* bias = nullptr);

struct pre_result {
    tensor layer_input;  ///< [T, C]
    tensor pre;          ///< [T, n]
    tensor post;         ///< [T, n]
    tensor mix;          ///< [T, n, n]
};
/// z = (fn . x) * r * scale + base with r = 1 / sqrt(mean_K(x^2) + rms_eps), where scale has one number each for rows
/// [0,n), [n,2n) and the rest of fn; pre = sigmoid(z_pre) + pre_eps, post = post_mult * sigmoid(z_post),
/// mix = Sinkhorn(z_res), layer_input = sum_i pre_i x_i. With norm_weight (not null) layer_input is then
/// divided by sqrt(mean_C(layer_input^2) + norm_eps) and multiplied by norm_weight. fn_norm_weight [K], where not null,
/// multiplies every row of fn, and r does not see it.
pre_result pre_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                   const float* scale, const float* base, const float* norm_weight, const float* fn_norm_weight = nullptr);

// post_pre_fwd is post_fwd, then pre_fwd of its result rounded to the data's type: it has no function of its own.

/// pre_fwd's layer_input with fn [n, K], scale [1] and base [n]: the coefficients are pre alone; [T, C].
tensor head_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                const float* scale, const float* base, const float* norm_weight, const float* fn_norm_weight = nullptr);

struct projection_result {
    tensor proj;   ///< [T, rows]
    tensor sqsum;  ///< [T]
};
/// proj = fn . x, sqsum = sum_K(x^2). What a split holds of them is the target's choice: these are the sums over all.
/// fn_norm_weight as in pre_fwd.
projection_result pre_project_fwd(const shape& of, const strided_rows& x, const float* fn, std::int64_t rows,
                                  const float* fn_norm_weight = nullptr);

/// A projection in S splits: `proj` row (t, s) has n*n + 2n numbers, `sqsum` row (t, s) one.
struct split_projection {
    strided_rows proj, sqsum;
    std::int64_t splits = 1;
};

struct mixes_result {
    tensor pre;     ///< [T, n]
    tensor post;    ///< [T, n]
    tensor logits;  ///< [T, n, n]
};
/// z, pre and post as in pre_fwd, from the sums over the splits; logits = z_res.
mixes_result split_mixes_fwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                             const float* scale, const float* base);

struct coefficients_result {
    tensor pre;   ///< [T, n]
    tensor post;  ///< [T, n]
    tensor mix;   ///< [T, n, n]
};
/// The same with mix = Sinkhorn(logits).
coefficients_result coeffs_fwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                               const float* scale, const float* base);

/// The same, and layer_input as in pre_fwd.
pre_result pre_big_fuse(const jit::layer_options& options, const shape& of, const split_projection& from,
                        const strided_rows& x, const float* scale, const float* base, const float* norm_weight);

/// mHC.cu's layer, with one set of coefficients: p = sigmoid(h_pre) + pre_eps, q = post_mult * sigmoid(h_post),
/// M = Sinkhorn(h_res); a = sum_i p_i x_i, y = a / sqrt(mean_C(a^2) + norm_eps) * weight, out_i = q_i y + sum_j M_ij x_j.
/// With reference_rounding a and y are rounded to bf16.
tensor static_layer_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* h_pre,
                        const float* h_post, const float* h_res, const float* weight);

struct dynamic_weights {
    const float *phi_pre = nullptr, *phi_post = nullptr, *phi_res = nullptr;        ///< [n, K], [n, K], [n*n, K]
    const float *alpha_pre = nullptr, *alpha_post = nullptr, *alpha_res = nullptr;  ///< [1] each
    const float *b_pre = nullptr, *b_post = nullptr, *b_res = nullptr;              ///< [n], [n], [n, n]
    const float* weight = nullptr;                                                  ///< [C]
};
/// The same layer with coefficients of each token: h_k = alpha_k * (phi_k . x) * r + b_k.
/// With reference_rounding the projection and its rms read x and phi rounded to bf16; the data path reads x as it is.
tensor dynamic_layer_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                         const dynamic_weights& weights);

/// pre_fwd where all n streams of a token are x [T, C]: the first layer's, before the streams exist. No operand is of n*C
/// but fn, whose sum over the streams is all that matters.
pre_result broadcast_pre_fwd(const jit::layer_options& options, const shape& of, const float* x, const float* fn,
                             const float* scale, const float* base, const float* norm_weight,
                             const float* fn_norm_weight = nullptr);

/// pre_fwd whose layer_input is made with the previous sublayer's pre, sum_i previous_pre_i x_i (then the norm): `pre`,
/// `post` and `mix` are of x as ever, and `pre` is for the sublayer that follows.
pre_result delayed_pre_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                           const token_rows& previous_pre, const float* fn, const float* scale, const float* base,
                           const float* norm_weight, const float* fn_norm_weight = nullptr);

/// head_fwd of post_fwd's result, which is not stored itself. out_type: what that result is rounded to on its way; fp32 for
/// an implementation that goes on with its sums.
tensor post_head_fwd(const jit::layer_options& options, const shape& of, jit::dtype out_type, const float* y,
                     const strided_rows& x, const token_rows& post, const token_rows& mix, const float* fn,
                     const float* scale, const float* base, const float* norm_weight, const float* bias = nullptr,
                     const float* fn_norm_weight = nullptr);

/// A layer_input stored as fp8 e4m3 with the scale of each block of channels.
struct quantised {
    tensor layer_input;  ///< [T, C]: q * scale, what the stored numbers stand for; rounding_doubt where q may go either way
    tensor scale;        ///< [T, ceil(C / block)]
};
/// scale = max(largest |layer_input| of the block, quantised_floor) / 448; q = layer_input / scale rounded to e4m3, nearest
/// even, never beyond 448. The last block of a row may be short; block 0 is the whole row, else 128. What is quantised is
/// the sum itself, not its bf16 or fp16. `relative` is the error allowed to float32 sums (fp32_bound, projected_bound).
inline constexpr float quantised_floor = 1e-10F;  // a block of zeros has a scale too
quantised quantised_e4m3(const shape& of, const tensor& layer_input, std::int64_t block, double relative);

/// One layer of multilayer_recompute: coefficients that were kept, and the output y of its block.
struct recompute_layer {
    token_rows pre;            ///< [T, n]
    const float* y = nullptr;  ///< [T, C]; null for a last layer whose streams are not wanted
    token_rows post, mix;      ///< [T, n], [T, n, n]
    const float* bias = nullptr;
};
struct recomputed {
    tensor layer_input;  ///< [T, C]: apply_mix_fwd of the layer's streams
    tensor out;          ///< [T, n, C]: post_fwd, the next layer's streams before they are rounded to `type`
};
/// The streams and layer inputs of every layer, from the first layer's streams x: apply_mix_fwd and post_fwd in turn, each
/// layer reading the last one's streams rounded to `type`.
std::vector<recomputed> multilayer_recompute(jit::mix_layout layout, const shape& of, jit::dtype type, const strided_rows& x,
                                             const std::vector<recompute_layer>& layers);

/// y = v weight^T with v = x / rms * norm_weight as in rmsnorm_fwd, not rounded; weight [columns, C], norm_weight [C] or
/// null. `y` is [T, columns].
rmsnorm_result rmsnorm_matmul_fwd(const jit::layer_options& options, const shape& of, const float* x,
                                  const float* norm_weight, const float* weight, std::int64_t columns);

}  // namespace mhc::reference
