// mhc/jit/fused_gradient_args.hpp -- the operands of gradients of operators that join several others.
//
// Words and rules are those of <mhc/jit/gradient_args.hpp>.
#pragma once

#include <cstdint>

#include <mhc/jit/gradient_args.hpp>

namespace mhc::jit {

/// Of post_head_fwd: of post_fwd where its result has the gradient that head_fwd gives it. The streams between are made
/// again, as post_fwd would store them, and their gradient is not rounded.
struct post_head_bwd_args {
    const void* y = nullptr;              ///< in   [T, C]               data
    const void* x = nullptr;              ///< in   [T, n, C]            data
    const float* post = nullptr;          ///< in   [T, n] or [n]        f32
    const float* mix = nullptr;           ///< in   [T, n, n] or [n, n]  f32
    const void* fn = nullptr;             ///< in   [n, n*C]             weight
    const float* scale = nullptr;         ///< in   [1]                  f32
    const float* base = nullptr;          ///< in   [n]                  f32
    const void* norm_weight = nullptr;    ///< in   [C]                  weight  iff the spec's norm_weight is set
    const void* d_layer_input = nullptr;  ///< in   [T, C]               data
    void* d_y = nullptr;                  ///< out  [T, C]               data
    void* d_x = nullptr;                  ///< out  [T, n, C]            data
    float* d_post = nullptr;              ///< out  as post              f32
    float* d_mix = nullptr;               ///< out  as mix               f32
    void* d_fn = nullptr;                 ///< out  [n, n*C]             weight  optional
    float* d_scale = nullptr;             ///< out  [1]                  f32     optional
    float* d_base = nullptr;              ///< out  [n]                  f32     optional
    void* d_norm_weight = nullptr;        ///< out  [C]                  weight  optional; null without norm_weight
    void* workspace = nullptr;            ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;              ///< T
    strides x_strides;
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

/// Of rmsnorm_matmul_fwd. With v = x / rms * norm_weight and d_v = d_y . weight, which is not rounded: d_weight[r] is the
/// sum over the tokens of d_y[t,r] * v[t], and d_x and d_norm_weight are those of rmsnorm_bwd for d_v. fp32 fma, as the
/// forward.
struct rmsnorm_matmul_bwd_args {
    const void* x = nullptr;            ///< in   [T, C]     data
    const void* norm_weight = nullptr;  ///< in   [C]        weight  optional: without it, times 1
    const void* weight = nullptr;       ///< in   [rows, C]  weight
    const void* d_y = nullptr;          ///< in   [T, rows]  data
    const float* d_rms = nullptr;       ///< in   [T]        f32     optional
    void* d_x = nullptr;                ///< out  [T, C]     data
    void* d_norm_weight = nullptr;      ///< out  [C]        weight  optional; without norm_weight, by one of ones
    void* d_weight = nullptr;           ///< out  [rows, C]  weight  optional
    void* workspace = nullptr;          ///< scratch, as above
    std::int64_t tokens = 0;            ///< T
    std::int64_t rows = 0;              ///< of weight: 1 to 2^24
    accumulation accumulate;
    const std::int32_t* num_valid_tokens = nullptr;
};

}  // namespace mhc::jit
