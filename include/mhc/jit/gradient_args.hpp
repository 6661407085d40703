// mhc/jit/gradient_args.hpp -- the operands of every gradient.
//
// `d_NAME` is the gradient of a loss by NAME, a tensor of the operator in <mhc/jit/args.hpp> whose formula is
// differentiated: exactly, through every step of Sinkhorn's iteration, and with rounding taken for the identity. What a
// gradient needs besides the operator's inputs is computed again. Shapes, strides, types and rules are those of args.hpp.
//
// Gradients of outputs that are marked optional count as zeros where they are null; gradients of parameters (what all tokens
// share: weights, fn, scale, base, static coefficients) that are null are not computed. Sums over the tokens have a fixed
// order: the same numbers, the same bits. With `num_valid_tokens` they are sums over the valid tokens, and gradients of what
// belongs to the others are not written. With `reference_rounding` the gradients are those of the operator without it.
// Source: MATH.md 2.1.
#pragma once

#include <mhc/jit/args.hpp>

namespace mhc::jit {

/// What a gradient does with what is in its outputs already: replaces it, or adds to it (read and written in the tensor's
/// type, added in float).
struct accumulation {
    bool d_x = false;         ///< of the gradients [T, n, C] or [T, C] of x
    bool parameters = false;  ///< of the gradients of parameters
};

/// Of mix = Sinkhorn(logits).
struct sinkhorn_bwd_args {
    const float* logits = nullptr;  ///< in   [T, n, n]  f32
    const float* d_mix = nullptr;   ///< in   [T, n, n]  f32
    float* d_logits = nullptr;      ///< out  [T, n, n]  f32
    void* workspace = nullptr;      ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;        ///< T
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of y = x / rms * weight with rms = sqrt(mean_c(x^2) + norm_eps).
struct rmsnorm_bwd_args {
    const void* x = nullptr;       ///< in   [T, C]  data
    const void* weight = nullptr;  ///< in   [C]     weight  optional: without it, times 1
    const void* d_y = nullptr;     ///< in   [T, C]  data
    const float* d_rms = nullptr;  ///< in   [T]     f32     optional
    void* d_x = nullptr;           ///< out  [T, C]  data
    void* d_weight = nullptr;      ///< out  [C]     weight  optional
    void* workspace = nullptr;     ///< scratch, as above
    std::int64_t tokens = 0;       ///< T
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of layer_input[t] = sum_i pre[t,i] * x[t,i].
struct apply_mix_bwd_args {
    const void* x = nullptr;              ///< in   [T, n, C]      data
    const float* pre = nullptr;           ///< in   [T, n] or [n]  f32
    const void* d_layer_input = nullptr;  ///< in   [T, C]         data
    void* d_x = nullptr;                  ///< out  [T, n, C]      data
    float* d_pre = nullptr;               ///< out  as pre         f32
    void* workspace = nullptr;            ///< scratch, as above
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
    strides d_x_strides;
    bool pre_is_static = false;  ///< pre and d_pre are [n]; d_pre is the sum over the tokens
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of x[t,i] = h[t].
struct expand_bwd_args {
    const void* d_x = nullptr;  ///< in   [T, n, C]  data
    void* d_h = nullptr;        ///< out  [T, C]     data
    std::int64_t tokens = 0;    ///< T
    strides d_x_strides;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of out[t,i] = post[t,i] * (y[t] + bias) + sum_j M[t,i,j] * x[t,j].
struct post_bwd_args {
    const void* y = nullptr;      ///< in   [T, C]                 data
    const void* x = nullptr;      ///< in   [T, n, C]              data
    const float* post = nullptr;  ///< in   [T, n] or [n]          f32
    const float* mix = nullptr;   ///< in   [T, n, n] or [n, n]    f32
    const void* d_out = nullptr;  ///< in   [T, n, C]              data
    void* d_y = nullptr;          ///< out  [T, C]                 data
    void* d_x = nullptr;          ///< out  [T, n, C]              data
    float* d_post = nullptr;      ///< out  as post                f32
    float* d_mix = nullptr;       ///< out  as mix                 f32
    void* workspace = nullptr;    ///< scratch, as above
    std::int64_t tokens = 0;      ///< T
    strides x_strides;
    strides d_out_strides;
    strides d_x_strides;
    bool post_is_static = false;  ///< post and d_post are [n]; d_post is the sum over the tokens
    bool mix_is_static = false;   ///< mix and d_mix are [n, n]; d_mix is the sum over the tokens
    accumulation accumulate;
    const void* bias = nullptr;  ///< in   [C]                     weight  optional
    void* d_bias = nullptr;      ///< out  [C]                     weight  optional; without bias, by a bias of zeros
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of pre_fwd.
struct pre_bwd_args {
    const void* x = nullptr;              ///< in   [T, n, C]        data
    const void* fn = nullptr;             ///< in   [n*n+2n, n*C]    weight
    const float* scale = nullptr;         ///< in   [3]              f32
    const float* base = nullptr;          ///< in   [n*n+2n]         f32
    const void* norm_weight = nullptr;    ///< in   [C]              weight  iff the spec's norm_weight is set
    const void* d_layer_input = nullptr;  ///< in   [T, C]           data
    const float* d_pre = nullptr;         ///< in   [T, n]           f32     optional
    const float* d_post = nullptr;        ///< in   [T, n]           f32     optional
    const float* d_mix = nullptr;         ///< in   [T, n, n]        f32     optional
    void* d_x = nullptr;                  ///< out  [T, n, C]        data
    void* d_fn = nullptr;                 ///< out  [n*n+2n, n*C]    weight  optional
    float* d_scale = nullptr;             ///< out  [3]              f32     optional
    float* d_base = nullptr;              ///< out  [n*n+2n]         f32     optional
    void* d_norm_weight = nullptr;        ///< out  [C]              weight  optional; null without norm_weight
    void* workspace = nullptr;            ///< scratch, as above
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
    strides d_x_strides;
    accumulation accumulate;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    void* d_fn_norm_weight = nullptr;      ///< out  [n*C]  weight  optional; null without fn_norm_weight
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of head_fwd.
struct head_bwd_args {
    const void* x = nullptr;              ///< in   [T, n, C]  data
    const void* fn = nullptr;             ///< in   [n, n*C]   weight
    const float* scale = nullptr;         ///< in   [1]        f32
    const float* base = nullptr;          ///< in   [n]        f32
    const void* norm_weight = nullptr;    ///< in   [C]        weight  iff the spec's norm_weight is set
    const void* d_layer_input = nullptr;  ///< in   [T, C]     data
    void* d_x = nullptr;                  ///< out  [T, n, C]  data
    void* d_fn = nullptr;                 ///< out  [n, n*C]   weight  optional
    float* d_scale = nullptr;             ///< out  [1]        f32     optional
    float* d_base = nullptr;              ///< out  [n]        f32     optional
    void* d_norm_weight = nullptr;        ///< out  [C]        weight  optional; null without norm_weight
    void* workspace = nullptr;            ///< scratch, as above
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
    strides d_x_strides;
    accumulation accumulate;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    void* d_fn_norm_weight = nullptr;      ///< out  [n*C]  weight  optional; null without fn_norm_weight
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of post_pre_fwd: of post_fwd where its result has the gradient d_out and what pre_fwd of it gives besides.
struct post_pre_bwd_args {
    const void* y = nullptr;              ///< in   [T, C]                 data
    const void* x = nullptr;              ///< in   [T, n, C]              data
    const float* post = nullptr;          ///< in   [T, n] or [n]          f32
    const float* mix = nullptr;           ///< in   [T, n, n] or [n, n]    f32
    const void* fn = nullptr;             ///< in   [n*n+2n, n*C]          weight
    const float* scale = nullptr;         ///< in   [3]                    f32
    const float* base = nullptr;          ///< in   [n*n+2n]               f32
    const void* norm_weight = nullptr;    ///< in   [C]                    weight  iff the spec's norm_weight is set
    const void* d_out = nullptr;          ///< in   [T, n, C]              data    optional
    const void* d_layer_input = nullptr;  ///< in   [T, C]                 data
    const float* d_next_pre = nullptr;    ///< in   [T, n]                 f32     optional
    const float* d_next_post = nullptr;   ///< in   [T, n]                 f32     optional
    const float* d_next_mix = nullptr;    ///< in   [T, n, n]              f32     optional
    void* d_y = nullptr;                  ///< out  [T, C]                 data
    void* d_x = nullptr;                  ///< out  [T, n, C]              data
    float* d_post = nullptr;              ///< out  as post                f32
    float* d_mix = nullptr;               ///< out  as mix                 f32
    void* d_fn = nullptr;                 ///< out  [n*n+2n, n*C]          weight  optional
    float* d_scale = nullptr;             ///< out  [3]                    f32     optional
    float* d_base = nullptr;              ///< out  [n*n+2n]               f32     optional
    void* d_norm_weight = nullptr;        ///< out  [C]                    weight  optional; null without norm_weight
    void* workspace = nullptr;            ///< scratch, as above
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
    strides d_out_strides;
    strides d_x_strides;
    bool post_is_static = false;  ///< as in post_bwd_args
    bool mix_is_static = false;   ///< as in post_bwd_args
    accumulation accumulate;
    const void* bias = nullptr;            ///< as in post_bwd_args
    void* d_bias = nullptr;                ///< as in post_bwd_args
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    void* d_fn_norm_weight = nullptr;      ///< out  [n*C]  weight  optional; null without fn_norm_weight
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of pre_project_fwd: each split has the gradient of its own channels' sums.
struct pre_project_bwd_args {
    const void* x = nullptr;         ///< in   [T, n, C]     data
    const void* fn = nullptr;        ///< in   [rows, n*C]   weight
    const float* d_proj = nullptr;   ///< in   [S, T, rows]  f32
    const float* d_sqsum = nullptr;  ///< in   [S, T]        f32
    void* d_x = nullptr;             ///< out  [T, n, C]     data
    void* d_fn = nullptr;            ///< out  [rows, n*C]   weight  optional
    void* workspace = nullptr;       ///< scratch, as above
    std::int64_t tokens = 0;         ///< T
    std::int64_t rows = 0;           ///< of fn: 1 to n*n+2n; 0: n*n+2n
    std::int64_t splits = 1;         ///< S: 1 to 64
    strides x_strides;
    strides d_x_strides;
    accumulation accumulate;
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    void* d_fn_norm_weight = nullptr;      ///< out  [n*C]  weight  optional; null without fn_norm_weight
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of split_mixes_fwd. Every split has the same gradient, since the splits are summed.
struct split_mixes_bwd_args {
    const float* proj = nullptr;      ///< in   [S, T, n*n+2n]  f32
    const float* sqsum = nullptr;     ///< in   [S, T]          f32
    const float* scale = nullptr;     ///< in   [3]             f32
    const float* base = nullptr;      ///< in   [n*n+2n]        f32
    const float* d_pre = nullptr;     ///< in   [T, n]          f32  optional
    const float* d_post = nullptr;    ///< in   [T, n]          f32  optional
    const float* d_logits = nullptr;  ///< in   [T, n, n]       f32  optional
    float* d_proj = nullptr;          ///< out  [S, T, n*n+2n]  f32
    float* d_sqsum = nullptr;         ///< out  [S, T]          f32
    float* d_scale = nullptr;         ///< out  [3]             f32  optional
    float* d_base = nullptr;          ///< out  [n*n+2n]        f32  optional
    void* workspace = nullptr;        ///< scratch, as above
    std::int64_t tokens = 0;          ///< T
    std::int64_t splits = 1;          ///< S: 1 to 64
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of coeffs_fwd.
struct coeffs_bwd_args {
    const float* proj = nullptr;    ///< in   [S, T, n*n+2n]  f32
    const float* sqsum = nullptr;   ///< in   [S, T]          f32
    const float* scale = nullptr;   ///< in   [3]             f32
    const float* base = nullptr;    ///< in   [n*n+2n]        f32
    const float* d_pre = nullptr;   ///< in   [T, n]          f32  optional
    const float* d_post = nullptr;  ///< in   [T, n]          f32  optional
    const float* d_mix = nullptr;   ///< in   [T, n, n]       f32  optional
    float* d_proj = nullptr;        ///< out  [S, T, n*n+2n]  f32
    float* d_sqsum = nullptr;       ///< out  [S, T]          f32
    float* d_scale = nullptr;       ///< out  [3]             f32  optional
    float* d_base = nullptr;        ///< out  [n*n+2n]        f32  optional
    void* workspace = nullptr;      ///< scratch, as above
    std::int64_t tokens = 0;        ///< T
    std::int64_t splits = 1;        ///< S: 1 to 64
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of static_layer_fwd.
struct static_layer_bwd_args {
    const void* x = nullptr;        ///< in   [T, n, C]  data
    const float* h_pre = nullptr;   ///< in   [n]        f32
    const float* h_post = nullptr;  ///< in   [n]        f32
    const float* h_res = nullptr;   ///< in   [n, n]     f32
    const void* weight = nullptr;   ///< in   [C]        weight
    const void* d_out = nullptr;    ///< in   [T, n, C]  data
    void* d_x = nullptr;            ///< out  [T, n, C]  data
    float* d_h_pre = nullptr;       ///< out  [n]        f32
    float* d_h_post = nullptr;      ///< out  [n]        f32
    float* d_h_res = nullptr;       ///< out  [n, n]     f32
    void* d_weight = nullptr;       ///< out  [C]        weight  optional
    void* workspace = nullptr;      ///< scratch, as above
    std::int64_t tokens = 0;        ///< T
    strides x_strides;
    strides d_out_strides;
    strides d_x_strides;
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

/// Of dynamic_layer_fwd.
struct dynamic_layer_bwd_args {
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
    const void* d_out = nullptr;        ///< in   [T, n, C]    data
    void* d_x = nullptr;                ///< out  [T, n, C]    data
    void* d_phi_pre = nullptr;          ///< out  [n, n*C]     weight
    void* d_phi_post = nullptr;         ///< out  [n, n*C]     weight
    void* d_phi_res = nullptr;          ///< out  [n*n, n*C]   weight
    float* d_alpha_pre = nullptr;       ///< out  [1]          f32
    float* d_alpha_post = nullptr;      ///< out  [1]          f32
    float* d_alpha_res = nullptr;       ///< out  [1]          f32
    float* d_b_pre = nullptr;           ///< out  [n]          f32
    float* d_b_post = nullptr;          ///< out  [n]          f32
    float* d_b_res = nullptr;           ///< out  [n, n]       f32
    void* d_weight = nullptr;           ///< out  [C]          weight  optional
    void* workspace = nullptr;          ///< scratch, as above
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    strides d_out_strides;
    strides d_x_strides;
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

}  // namespace mhc::jit
