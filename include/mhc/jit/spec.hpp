// mhc/jit/spec.hpp -- what to compile: layer_spec, its options and the presets of public mHC implementations.
//
// Every field takes part in the cache key. Values that reach disk are written by name, never by number.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <mhc/jit/result.hpp>

namespace mhc::jit {

enum class dtype : std::uint8_t { fp32, fp16, bf16 };

/// Bytes of one element.
constexpr std::int32_t size_of(dtype type) noexcept { return type == dtype::fp32 ? 4 : 2; }

/// Which index of the stored matrix S[a,b] is the output stream.
/// out_in: out[a] = sum_b S[a,b] x[b] (paper, mHC.cu, Liger). src_dst: out[b] = sum_a S[a,b] x[a] (DeepSeek's `comb`).
enum class mix_layout : std::uint8_t { out_in, src_dst };

/// How Sinkhorn begins from logits z. exp: S0 = exp(z). log: the same function, every step in the log domain.
/// softmax: S0 = softmax over b, which counts as the row step of the first iteration. identity: S0 = z.
enum class sinkhorn_start : std::uint8_t { exp, log, softmax, identity };

/// The two steps of an iteration. A row step divides by the sum over b (the last axis), a col step by the sum over a.
enum class sinkhorn_order : std::uint8_t { row_col, col_row };

/// The divisor of a step with line sum s. none: s. add: s + eps. add_both: s + eps, and eps on the softmax entries.
/// thresh: s where s > eps, else the line stays as it is.
enum class sinkhorn_eps_mode : std::uint8_t { none, add, add_both, thresh };

/// What a gradient takes Sinkhorn for. exact: the steps that are done. implicit: the limit of more and more of them, by
/// implicit differentiation; right where the iteration has converged, with no step gone through again or kept. For
/// sinkhorn_eps_mode none and thresh, which have that limit.
enum class sinkhorn_gradient : std::uint8_t { exact, implicit };

/// Arithmetic of x * fn^T. split: fp32 weights as bf16 high + low; strict: fp32 fma; tf32.
/// The portable kernels use fp32 fma for all three, which is within every one of their bounds.
enum class projection : std::uint8_t { split, strict, tf32 };

/// How fn is stored, of m rows on K = n*C channels. fn: [m, K] (DeepSeek, AITER's HIP kernels). phi: [K, m] (Liger, AITER's
/// Triton kernels).
enum class fn_order : std::uint8_t { fn, phi };

/// How layer_input is stored. none: in dtype. fp8_row and fp8_block128: in fp8 e4m3 (OCP's e4m3fn: no infinities, largest
/// 448, on every target), with a float scale for each token, or for each token and 128 channels (the last may be fewer):
/// scale = max(largest |layer_input|, 1e-10) / 448, and layer_input / scale rounded to nearest even, never beyond 448. What
/// is quantised is the float value, before any rounding to dtype.
enum class layer_input_quant : std::uint8_t { none, fp8_row, fp8_block128 };

/// A public implementation's set of options; see `options_of`.
enum class preset : std::uint8_t { paper, mhc_cu, deepseek, liger, aiter_triton };

/// The operators. Formulas and tensors stand at their argument structs in <mhc/jit/args.hpp> and <mhc/jit/fused_args.hpp>.
enum class operation : std::uint8_t {
    sinkhorn_fwd,
    rmsnorm_fwd,
    apply_mix_fwd,
    expand_fwd,
    post_fwd,
    pre_fwd,
    static_layer_fwd,
    dynamic_layer_fwd,
    post_pre_fwd,
    head_fwd,
    pre_project_fwd,
    split_mixes_fwd,
    coeffs_fwd,
    pre_big_fuse,
    sinkhorn_bwd,
    rmsnorm_bwd,
    apply_mix_bwd,
    expand_bwd,
    post_bwd,
    pre_bwd,
    static_layer_bwd,
    dynamic_layer_bwd,
    post_pre_bwd,
    head_bwd,
    pre_project_bwd,
    split_mixes_bwd,
    coeffs_bwd,
    broadcast_pre_fwd,
    delayed_pre_fwd,
    post_head_fwd,
    multilayer_recompute,
    rmsnorm_matmul_fwd,
    rmsnorm_matmul_bwd,
    post_head_bwd,
};
inline constexpr int operation_count = 34;

/// A set of operators, as `operations{operation::pre_fwd, operation::post_fwd}`.
class operations {
public:
    constexpr operations() = default;
    constexpr operations(std::initializer_list<operation> list)
    {
        for (operation op : list) bits_ |= bit(op);
    }
    static constexpr operations all() { return operations((std::uint64_t{1} << operation_count) - 1); }

    constexpr bool contains(operation op) const { return (bits_ & bit(op)) != 0; }
    constexpr bool empty() const { return bits_ == 0; }
    constexpr std::uint64_t bits() const { return bits_; }
    constexpr bool operator==(const operations&) const = default;
    friend constexpr operations operator|(operations a, operations b) { return operations(a.bits_ | b.bits_); }
    friend constexpr operations operator&(operations a, operations b) { return operations(a.bits_ & b.bits_); }

private:
    constexpr explicit operations(std::uint64_t bits) : bits_(bits) {}
    static constexpr std::uint64_t bit(operation op) { return std::uint64_t{1} << static_cast<unsigned>(op); }
    std::uint64_t bits_ = 0;
};

/// Those that normalise their layer_input where the spec has norm_weight.
inline constexpr operations operations_with_norm_weight = {
    operation::pre_fwd,         operation::post_pre_fwd,  operation::head_fwd,     operation::pre_big_fuse,
    operation::pre_bwd,         operation::post_pre_bwd,  operation::head_bwd,     operation::broadcast_pre_fwd,
    operation::delayed_pre_fwd, operation::post_head_fwd, operation::post_head_bwd};

/// Those that project on one matrix fn, whose order and norm weight the spec says.
inline constexpr operations operations_with_fn = {
    operation::pre_fwd,           operation::post_pre_fwd,    operation::head_fwd,      operation::pre_project_fwd,
    operation::pre_bwd,           operation::post_pre_bwd,    operation::head_bwd,      operation::pre_project_bwd,
    operation::broadcast_pre_fwd, operation::delayed_pre_fwd, operation::post_head_fwd, operation::post_head_bwd};

/// Those whose layer_input is quantised where the spec has layer_input_quant, and their gradients, which take that for the
/// identity.
inline constexpr operations operations_with_layer_input_quant = {
    operation::pre_fwd,      operation::post_pre_fwd,      operation::head_fwd,
    operation::pre_big_fuse, operation::broadcast_pre_fwd, operation::delayed_pre_fwd,
    operation::pre_bwd,      operation::post_pre_bwd,      operation::head_bwd};

/// The options of the mathematics. `options_of(preset)` fills every one; change what differs.
struct layer_options {
    mix_layout layout = mix_layout::out_in;
    sinkhorn_start start = sinkhorn_start::exp;
    sinkhorn_order order = sinkhorn_order::col_row;  ///< start = softmax needs row_col
    sinkhorn_eps_mode eps_mode = sinkhorn_eps_mode::none;
    float sinkhorn_eps = 0.0F;                              ///< >= 0, finite; not read when eps_mode is none
    std::int32_t sinkhorn_iters = 20;                       ///< iterations of two steps; 0 to 1000; with 0 the result is S0
    sinkhorn_gradient gradient = sinkhorn_gradient::exact;  ///< read by gradients alone
    float rms_eps = 1e-6F;          ///< >= 0, finite; rms = sqrt(mean(x^2) + eps) over n*C, for the coefficients
    std::optional<float> norm_eps;  ///< the same over C, for a layer input; empty: rms_eps
    float pre_eps = 0.0F;           ///< >= 0, finite; pre = sigmoid(.) + pre_eps
    float post_mult = 2.0F;         ///< finite; post = post_mult * sigmoid(.)
    projection arithmetic = projection::split;
    bool reference_rounding = false;  ///< mHC.cu's bf16 roundings; only for the two layer operators
};

/// The options of a public implementation. Source: design table of presets (docs/OPERATORS.md).
/// preset        layout   start    order    eps_mode  sinkhorn_eps  iters  rms_eps  pre_eps  post_mult
/// paper         out_in   exp      col_row  none      0             20     1e-6     0        2
/// mhc_cu        out_in   exp      row_col  thresh    1e-5          20     1e-5     0        2
/// deepseek      src_dst  softmax  row_col  add_both  1e-6          20     1e-6     1e-6     1
/// liger         out_in   softmax  row_col  add_both  1e-6          20     1e-6     0        2
/// aiter_triton  src_dst  log      row_col  none      0             20     1e-6     0        2
layer_options options_of(preset name) noexcept;

/// What to compile. One spec serves every token count.
struct layer_spec {
    std::int64_t hidden_dim = 0;                 ///< C: channels of a stream; 1 to 2^24
    std::int32_t n_streams = 4;                  ///< n: residual streams of a token; 1 to 32
    mhc::jit::dtype dtype = dtype::bf16;         ///< of x, y, h, out and layer_input
    mhc::jit::dtype weight_dtype = dtype::fp32;  ///< of fn, phi, bias and the weights of norms
    layer_options options{};                     ///< default: preset paper
    /// layer_input is RMS-normalised over C and times norm_weight[C]; for `operations_with_norm_weight`.
    bool norm_weight = false;
    /// x of the projection is RMS-normalised over n*C and times fn_norm_weight[n*C]; for `operations_with_fn`.
    bool fn_norm_weight = false;
    mhc::jit::fn_order fn_order = fn_order::fn;  ///< of fn and d_fn, for `operations_with_fn`
    /// Of layer_input, for `operations_with_layer_input_quant`; `dtype` is then the type of the other data alone.
    mhc::jit::layer_input_quant layer_input_quant = layer_input_quant::none;
    /// 16, 4 or 2, and at least size_of(dtype): what every data and weight pointer is a multiple of, in bytes.
    std::int32_t alignment_bytes = 16;
    /// Which operators to make.
    operations wanted = {operation::pre_fwd, operation::post_fwd};
};

/// Whether the spec can be. Errors: bad_spec, naming the field, its value and what is allowed.
result<void> validate(const layer_spec& spec);

/// Bytes that the start of every row (a token's stream) is a multiple of: the largest power of two that divides both
/// `alignment_bytes` and hidden_dim * size_of(dtype). Pointers and strides of data tensors must keep it.
std::int32_t row_alignment_bytes(const layer_spec& spec) noexcept;

// Names, as tools, cache rows and messages spell them; `parse` is the inverse.
std::string_view to_string(dtype) noexcept;
std::string_view to_string(mix_layout) noexcept;
std::string_view to_string(sinkhorn_start) noexcept;
std::string_view to_string(sinkhorn_order) noexcept;
std::string_view to_string(sinkhorn_eps_mode) noexcept;
std::string_view to_string(sinkhorn_gradient) noexcept;
std::string_view to_string(projection) noexcept;
std::string_view to_string(fn_order) noexcept;
std::string_view to_string(layer_input_quant) noexcept;
std::string_view to_string(preset) noexcept;
std::string_view to_string(operation) noexcept;

/// "post_fwd" -> operation::post_fwd. Errors: bad_spec, listing the names.
result<operation> parse_operation(std::string_view name);
result<dtype> parse_dtype(std::string_view name);

/// Sets one field of the spec by name, as the tools' `--set NAME=VALUE` does. Names: those of `layer_options` as
/// MATH names them (layout, sinkhorn_start, sinkhorn_order, sinkhorn_eps_mode, sinkhorn_eps, sinkhorn_iters,
/// sinkhorn_gradient, rms_eps, norm_eps, pre_eps, post_mult, projection, reference_rounding), and preset, dtype,
/// weight_dtype, n_streams, hidden_dim, norm_weight, fn_norm_weight, fn_order, layer_input_quant, alignment_bytes. `preset`
/// replaces every option, so set it first. Errors: bad_spec, naming the field, its value and what is allowed.
result<void> set_field(layer_spec& spec, std::string_view name, std::string_view value);

}  // namespace mhc::jit
