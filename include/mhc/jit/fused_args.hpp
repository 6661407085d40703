// mhc/jit/fused_args.hpp -- the operands of operators that join several others: formula, tensors, shapes, types.
//
// Words and rules are those of <mhc/jit/args.hpp>.
#pragma once

#include <cstdint>

#include <mhc/jit/args.hpp>

namespace mhc::jit {

/// post_fwd, and head_fwd on its result: bit for bit what the two give one after the other, but the streams between, which
/// nobody reads after a model's last layer, are not the caller's. With up to 8 streams they are not stored at all, except
/// where matrix units read them; else they are in the workspace. fn, scale, base and norm_weight are the head's.
/// Source: MATH.md 6.2 row 17.
struct post_head_fwd_args {
    const void* y = nullptr;            ///< in   [T, C]               data
    const void* x = nullptr;            ///< in   [T, n, C]            data
    const float* post = nullptr;        ///< in   [T, n] or [n]        f32
    const float* mix = nullptr;         ///< in   [T, n, n] or [n, n]  f32
    const void* fn = nullptr;           ///< in   [n, n*C]             weight
    const float* scale = nullptr;       ///< in   [1]                  f32
    const float* base = nullptr;        ///< in   [n]                  f32
    const void* norm_weight = nullptr;  ///< in   [C]                  weight  iff the spec's norm_weight is set
    void* layer_input = nullptr;        ///< out  [T, C]               data
    void* workspace = nullptr;          ///< scratch, compiled_layer::workspace_bytes, 16-byte aligned; undefined at entry
    std::int64_t tokens = 0;            ///< T
    strides x_strides;
    bool post_is_static = false;           ///< post is [n], the same for every token
    bool mix_is_static = false;            ///< mix is [n, n], the same for every token
    const void* bias = nullptr;            ///< in   [C]  weight  optional
    const void* fn_norm_weight = nullptr;  ///< in   [n*C]  weight  iff the spec's fn_norm_weight is set
    const std::int32_t* num_valid_tokens = nullptr;
};

/// One layer of multilayer_recompute: coefficients that its forward gave, the output y of its block, and where its layer
/// input and the next layer's streams go. The last layer may leave out y and out, post and mix: its layer_input alone.
struct recompute_layer {
    const float* pre = nullptr;   ///< in   [T, n] or [n]        f32
    void* layer_input = nullptr;  ///< out  [T, C]               data
    const void* y = nullptr;      ///< in   [T, C]               data
    const float* post = nullptr;  ///< in   [T, n] or [n]        f32
    const float* mix = nullptr;   ///< in   [T, n, n] or [n, n]  f32
    const void* bias = nullptr;   ///< in   [C]                  weight  optional
    void* out = nullptr;          ///< out  [T, n, C]            data    apart from the streams it is made of
};

/// The layer inputs and streams of several layers again, for a backward pass that kept neither: of each layer in turn
/// apply_mix_fwd of its streams and post_fwd to the next layer's, bit for bit. A layer is one launch, which reads its
/// streams once. `layers` is read by the call alone and need not outlive it.
/// Source: MATH.md 6.2 row 23; TileKernels `multilayer_recompute`.
struct multilayer_recompute_args {
    const void* x = nullptr;                  ///< in   [T, n, C]  data    the first layer's streams
    const recompute_layer* layers = nullptr;  ///< [layer_count], in the memory of the host
    std::int64_t layer_count = 0;             ///< 0 launches nothing
    std::int64_t tokens = 0;                  ///< T
    strides x_strides;
    strides out_strides;          ///< of every layer's out
    bool pre_is_static = false;   ///< every layer's pre is [n], the same for every token
    bool post_is_static = false;  ///< every layer's post is [n]
    bool mix_is_static = false;   ///< every layer's mix is [n, n]
    const std::int32_t* num_valid_tokens = nullptr;
};

/// rms[t] = sqrt(mean_c(x[t,c]^2) + norm_eps); y[t,r] = sum_c x[t,c] / rms[t] * norm_weight[c] * weight[r,c]. The
/// normalised row is not rounded between. The sum is fp32 fma: there are no matrix units in it.
/// Source: mHC.cu's `rmsnorm_matmul`.
struct rmsnorm_matmul_fwd_args {
    const void* x = nullptr;            ///< in   [T, C]     data
    const void* norm_weight = nullptr;  ///< in   [C]        weight  optional: without it, times 1
    const void* weight = nullptr;       ///< in   [rows, C]  weight
    void* y = nullptr;                  ///< out  [T, rows]  data
    float* rms = nullptr;               ///< out  [T]        f32
    std::int64_t tokens = 0;            ///< T
    std::int64_t rows = 0;              ///< of weight: 1 to 2^24
    const std::int32_t* num_valid_tokens = nullptr;
};

}  // namespace mhc::jit
