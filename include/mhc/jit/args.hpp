// mhc/jit/args.hpp -- the operands of every operator: formula, tensors, shapes, types.
//
// T tokens, n streams, C channels, S splits of a projection; all tensors are row-major, channels contiguous. `data` is the
// spec's dtype, `weight` its weight_dtype, f32 is float. Pointers are the target's (device pointers on a GPU). Inputs may
// overlap each other; an output overlaps nothing, but for `out` where it may be `x`. Every pointer but one marked optional
// must be non-null when tokens > 0. Sums are f32; only the final store rounds (to nearest even).
//
// fn of [m, n*C] has that shape with the spec's fn_order fn, and [n*C, m] with phi; so has its gradient. With the spec's
// fn_norm_weight, the projection reads fn[r,k] * fn_norm_weight[k] for fn[r,k]: the weight of the norm that r is of.
//
// With the spec's layer_input_quant, layer_input is [T, C] bytes of fp8 e4m3 in the structs that have layer_input_scale.
//
// `num_valid_tokens`, in every struct that has it: [1] int32 on the target, optional, read by the kernels alone. Of a batch
// padded to T tokens the first *num_valid_tokens are computed; the others are neither read nor written. Below 0 it counts as
// 0, above T as T. So one captured graph, or one launch of a known size, serves batches of any size up to T.
#pragma once

#include <cstdint>

namespace mhc::jit {

/// A stride that is what a dense tensor has.
inline constexpr std::int64_t dense = -1;

/// Strides of a [T, n, C] tensor, in elements, each >= 0 or `dense`. 0 repeats a row and is for inputs only.
/// (n-1) * stream + C <= 2^31; rows of an output must not overlap.
struct strides {
    std::int64_t token = dense;   ///< dense: n * C
    std::int64_t stream = dense;  ///< dense: C
};

/// mix[t] = Sinkhorn(logits[t]) by the spec's options.
struct sinkhorn_fwd_args {
    const float* logits = nullptr;  ///< in   [T, n, n]  f32
    float* mix = nullptr;           ///< out  [T, n, n]  f32
    std::int64_t tokens = 0;        ///< T >= 0; 0 launches nothing
    const std::int32_t* num_valid_tokens = nullptr;
};

/// rms[t] = sqrt(mean_c(x[t,c]^2) + norm_eps); y[t,c] = x[t,c] / rms[t] * weight[c].
struct rmsnorm_fwd_args {
    const void* x = nullptr;       ///< in   [T, C]  data
    const void* weight = nullptr;  ///< in   [C]     weight  optional: without it, times 1
    void* y = nullptr;             ///< out  [T, C]  data
    float* rms = nullptr;          ///< out  [T]     f32
    std::int64_t tokens = 0;       ///< T
    const std::int32_t* num_valid_tokens = nullptr;
};

/// layer_input[t,c] = sum_i pre[t,i] * x[t,i,c].
struct apply_mix_fwd_args {
    const void* x = nullptr;      ///< in   [T, n, C]      data
    const float* pre = nullptr;   ///< in   [T, n] or [n]  f32
    void* layer_input = nullptr;  ///< out  [T, C]         data
    std::int64_t tokens = 0;      ///< T
    strides x_strides;
    bool pre_is_static = false;  ///< pre is [n], the same for every token
    const std::int32_t* num_valid_tokens = nullptr;
};

/// x[t,i,c] = h[t,c].
struct expand_fwd_args {
    const void* h = nullptr;  ///< in   [T, C]     data
    void* x = nullptr;        ///< out  [T, n, C]  data
    std::int64_t tokens = 0;  ///< T
    strides x_strides;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// out[t,i,c] = post[t,i] * (y[t,c] + bias[c]) + sum_j M[t,i,j] * x[t,j,c], where M is mix (out_in) or its transpose
/// (src_dst). bias is that of the block's last projection, left for this addition; without it, plus 0. With n <= 8 `out` may
/// be `x` itself, with the same strides; rows of the two that overlap otherwise are refused.
/// Source: arXiv 2512.24880 eq. 3.
struct post_fwd_args {
    const void* y = nullptr;      ///< in   [T, C]             data
    const void* x = nullptr;      ///< in   [T, n, C]          data
    const float* post = nullptr;  ///< in   [T, n] or [n]      f32
    const float* mix = nullptr;   ///< in   [T, n, n] or [n, n]  f32
    void* out = nullptr;          ///< out  [T, n, C]          data
    std::int64_t tokens = 0;      ///< T
    strides x_strides;
    strides out_strides;
    bool post_is_static = false;  ///< post is [n], the same for every token
    bool mix_is_static = false;   ///< mix is [n, n], the same for every token
    const void* bias = nullptr;   ///< in   [C]  weight  optional
    const std::int32_t* num_valid_tokens = nullptr;
};

/// With K = n*C, r = 1/sqrt(mean(x[t]^2) + rms_eps) over K and z = (fn . x[t]) * r * scale + base, where scale[0] is for
/// rows [0,n) of fn, scale[1] for [n,2n), scale[2] for the rest:
/// pre = sigmoid(z[0:n]) + pre_eps; post = post_mult * sigmoid(z[n:2n]); mix = Sinkhorn(z[2n:] as [n,n]);
/// layer_input[t,c] = sum_i pre[t,i] * x[t,i,c], then, with the spec's norm_weight, RMS-normalised over C and times it.
/// Source: arXiv 2512.24880 eq. 7 to 9 and 14 to 19.
struct pre_fwd_args {
    const void* x = nullptr;            ///< in   [T, n, C]        data
    const void* fn = nullptr;           ///< in   [n*n+2n, n*C]    weight
    const float* scale = nullptr;       ///< in   [3]              f32
    const float* base = nullptr;        ///< in   [n*n+2n]         f32
    const void* norm_weight = nullptr;  ///< in   [C]              weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;        ///< out  [T, C]           data
    float* pre = nullptr;               ///< out  [T, n]           f32
    float* post = nullptr;              ///< out  [T, n]           f32
    float* mix = nullptr;               ///< out  [T, n, n]        f32
    void* workspace = nullptr;          ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// post_fwd (in place where that may be), and pre_fwd of the next layer on its result: bit for bit what the two give one
/// after the other, since the second half reads `out` as stored. fn, scale, base and norm_weight are the next layer's; the
/// options serve both halves. Source: MATH.md 6.2 row 16.
struct post_pre_fwd_args {
    const void* y = nullptr;            ///< in   [T, C]               data
    const void* x = nullptr;            ///< in   [T, n, C]            data
    const float* post = nullptr;        ///< in   [T, n] or [n]        f32
    const float* mix = nullptr;         ///< in   [T, n, n] or [n, n]  f32
    const void* fn = nullptr;           ///< in   [n*n+2n, n*C]        weight
    const float* scale = nullptr;       ///< in   [3]                  f32
    const float* base = nullptr;        ///< in   [n*n+2n]             f32
    const void* norm_weight = nullptr;  ///< in   [C]                  weight  iff the spec's norm_weight is set
    void* out = nullptr;                ///< out  [T, n, C]            data    post_fwd's; x of the next layer
    void* layer_input = nullptr;        ///< out  [T, C]               data    what the next layer's block reads
    float* next_pre = nullptr;          ///< out  [T, n]               f32
    float* next_post = nullptr;         ///< out  [T, n]               f32
    float* next_mix = nullptr;          ///< out  [T, n, n]            f32
    void* workspace = nullptr;          ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    strides out_strides;
    bool post_is_static = false;           ///< post is [n], the same for every token
    bool mix_is_static = false;            ///< mix is [n, n], the same for every token
    const void* bias = nullptr;            ///< in   [C]  weight  optional
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// pre_fwd of a model's first layer, whose n streams are all x[t]: the bits of expand_fwd and pre_fwd without the n copies.
/// Source: MATH.md 6.2 row 13.
struct broadcast_pre_fwd_args {
    const void* x = nullptr;               ///< in   [T, C]           data
    const void* fn = nullptr;              ///< in   [n*n+2n, n*C]    weight
    const float* scale = nullptr;          ///< in   [3]              f32
    const float* base = nullptr;           ///< in   [n*n+2n]         f32
    const void* norm_weight = nullptr;     ///< in   [C]              weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;           ///< out  [T, C]           data
    float* pre = nullptr;                  ///< out  [T, n]           f32
    float* post = nullptr;                 ///< out  [T, n]           f32
    float* mix = nullptr;                  ///< out  [T, n, n]        f32
    void* workspace = nullptr;             ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;               ///< T
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// pre_fwd whose layer_input is made with the pre of the sublayer before, sum_i previous_pre[t,i] * x[t,i,c], then the norm
/// as in `pre_fwd_args`. pre, post and mix are of x as ever, and pre is for the sublayer that follows: what makes it need
/// not have ended when layer_input is needed.
/// Source: MATH.md 6.2 row 18 (vLLM's delayed pre).
struct delayed_pre_fwd_args {
    const void* x = nullptr;              ///< in   [T, n, C]        data
    const float* previous_pre = nullptr;  ///< in   [T, n] or [n]    f32
    const void* fn = nullptr;             ///< in   [n*n+2n, n*C]    weight
    const float* scale = nullptr;         ///< in   [3]              f32
    const float* base = nullptr;          ///< in   [n*n+2n]         f32
    const void* norm_weight = nullptr;    ///< in   [C]              weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;          ///< out  [T, C]           data
    float* pre = nullptr;                 ///< out  [T, n]           f32
    float* post = nullptr;                ///< out  [T, n]           f32
    float* mix = nullptr;                 ///< out  [T, n, n]        f32
    void* workspace = nullptr;            ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
    bool previous_pre_is_static = false;   ///< previous_pre is [n], the same for every token
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// The end of the streams: z = (fn . x[t]) * r * scale[0] + base with r as in `pre_fwd_args`; pre = sigmoid(z) + pre_eps;
/// layer_input[t,c] = sum_i pre[i] * x[t,i,c], then, with the spec's norm_weight, RMS-normalised over C and times it.
/// With the first n rows of pre_fwd's fn and base it gives pre_fwd's layer_input, bit for bit.
/// Source: AITER's head mode, TileKernels `head_compute_mix`.
struct head_fwd_args {
    const void* x = nullptr;            ///< in   [T, n, C]  data
    const void* fn = nullptr;           ///< in   [n, n*C]   weight
    const float* scale = nullptr;       ///< in   [1]        f32
    const float* base = nullptr;        ///< in   [n]        f32
    const void* norm_weight = nullptr;  ///< in   [C]        weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;        ///< out  [T, C]     data
    void* workspace = nullptr;          ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// First stage of pre_fwd: sum_s proj[s,t,r] = fn[r] . x[t] and sum_s sqsum[s,t] = sum over K = n*C of x[t]^2.
///
/// A split s of S sums its share of the channels of all streams; which ones depends on C and the kind of target alone, so
/// every number is the same whatever T is. The channels are cut in slices (of 4096 on host, of 1024 on a GPU, longer above
/// 64 slices; of 1024/n where matrix units make the sums); splits past the number of slices are zeros. With one split, and
/// with as many as slices or more, the next stages give pre_fwd's bits; with other numbers the order of the sums differs.
/// More splits keep more of a GPU at work.
/// Source: FlashInfer's `dot_mix` and `sqrsum`; AITER `mhc_pre_gemm_sqrsum`.
struct pre_project_fwd_args {
    const void* x = nullptr;   ///< in   [T, n, C]     data
    const void* fn = nullptr;  ///< in   [rows, n*C]   weight
    float* proj = nullptr;     ///< out  [S, T, rows]  f32
    float* sqsum = nullptr;    ///< out  [S, T]        f32
    std::int64_t tokens = 0;   ///< T
    std::int64_t rows = 0;     ///< of fn: 1 to n*n+2n; 0: n*n+2n
    std::int64_t splits = 1;   ///< S: 1 to 64
    strides x_strides;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    void* workspace = nullptr;  ///< scratch, as of pre_fwd, where workspace_bytes is not 0: as with fn_norm_weight
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Second stage of pre_fwd up to Sinkhorn: with the sums over the S splits of proj and sqsum, z, pre and post as in
/// `pre_fwd_args`; logits = z[2n:] as [n,n].
/// Source: MATH.md 6.2 row 6.
struct split_mixes_fwd_args {
    const float* proj = nullptr;   ///< in   [S, T, n*n+2n]  f32
    const float* sqsum = nullptr;  ///< in   [S, T]          f32
    const float* scale = nullptr;  ///< in   [3]             f32
    const float* base = nullptr;   ///< in   [n*n+2n]        f32
    float* pre = nullptr;          ///< out  [T, n]          f32
    float* post = nullptr;         ///< out  [T, n]          f32
    float* logits = nullptr;       ///< out  [T, n, n]       f32
    std::int64_t tokens = 0;       ///< T
    std::int64_t splits = 1;       ///< S: 1 to 64
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Second stage of pre_fwd: the same with mix = Sinkhorn(logits).
/// Source: MATH.md 6.2 row 7.
struct coeffs_fwd_args {
    const float* proj = nullptr;   ///< in   [S, T, n*n+2n]  f32
    const float* sqsum = nullptr;  ///< in   [S, T]          f32
    const float* scale = nullptr;  ///< in   [3]             f32
    const float* base = nullptr;   ///< in   [n*n+2n]        f32
    float* pre = nullptr;          ///< out  [T, n]          f32
    float* post = nullptr;         ///< out  [T, n]          f32
    float* mix = nullptr;          ///< out  [T, n, n]       f32
    std::int64_t tokens = 0;       ///< T
    std::int64_t splits = 1;       ///< S: 1 to 64
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Second and third stage of pre_fwd: coeffs_fwd, then layer_input as in `pre_fwd_args`.
/// Source: AITER and FlashInfer `mhc_pre_big_fuse`.
struct pre_big_fuse_args {
    const float* proj = nullptr;        ///< in   [S, T, n*n+2n]  f32
    const float* sqsum = nullptr;       ///< in   [S, T]          f32
    const void* x = nullptr;            ///< in   [T, n, C]       data
    const float* scale = nullptr;       ///< in   [3]             f32
    const float* base = nullptr;        ///< in   [n*n+2n]        f32
    const void* norm_weight = nullptr;  ///< in   [C]             weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;        ///< out  [T, C]          data
    float* pre = nullptr;               ///< out  [T, n]          f32
    float* post = nullptr;              ///< out  [T, n]          f32
    float* mix = nullptr;               ///< out  [T, n, n]       f32
    std::int64_t tokens = 0;            ///< T
    std::int64_t splits = 1;            ///< S: 1 to 64
    strides x_strides;
    const std::int32_t* num_valid_tokens = nullptr;
    float* layer_input_scale = nullptr;  ///< out  [T] or [T, ceil(C/128)]  f32  iff the spec's layer_input_quant is set
};

/// mHC.cu's layer with one set of coefficients: p = sigmoid(h_pre) + pre_eps, q = post_mult * sigmoid(h_post),
/// M = Sinkhorn(h_res); a = sum_i p_i x[t,i]; y = a / sqrt(mean(a^2) + norm_eps) * weight;
/// out[t,i] = sum_j M[i,j] x[t,j] + q_i y.
struct static_layer_fwd_args {
    const void* x = nullptr;        ///< in   [T, n, C]  data
    const float* h_pre = nullptr;   ///< in   [n]        f32
    const float* h_post = nullptr;  ///< in   [n]        f32
    const float* h_res = nullptr;   ///< in   [n, n]     f32
    const void* weight = nullptr;   ///< in   [C]        weight
    void* out = nullptr;            ///< out  [T, n, C]  data
    void* workspace = nullptr;      ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned
    std::int64_t tokens = 0;        ///< T
    strides x_strides;
    strides out_strides;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// The same with coefficients of each token: z_k = alpha_k * (phi_k . x[t]) * r + b_k as in `pre_fwd_args`.
struct dynamic_layer_fwd_args {
    const void* x = nullptr;            ///< in   [T, n, C]    data
    const void* phi_pre = nullptr;      ///< in   [n, n*C]     weight
    const void* phi_post = nullptr;     ///< in   [n, n*C]     weight
    const void* phi_res = nullptr;      ///< in   [n*n, n*C]   weight
    const float* alpha_pre = nullptr;   ///< in   [1]          f32
    const float* alpha_post = nullptr;  ///< in   [1]          f32
    const float* alpha_res = nullptr;   ///< in   [1]          f32
    const float* b_pre = nullptr;       ///< in   [n]          f32
    const float* b_post = nullptr;      ///< in   [n]          f32
    const float* b_res = nullptr;       ///< in   [n, n]       f32
    const void* weight = nullptr;       ///< in   [C]          weight
    void* out = nullptr;                ///< out  [T, n, C]    data
    void* workspace = nullptr;          ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    strides out_strides;
    const std::int32_t* num_valid_tokens = nullptr;
};

}  // namespace mhc::jit
