// codegen/validate.cpp -- whether a spec can be, and in one line why not.
#include <fmt/format.h>

#include <cmath>

#include <mhc/jit/spec.hpp>

namespace mhc::jit {
namespace {

failure bad(std::string_view field, const std::string& value, std::string_view allowed)
{
    return {errc::bad_spec, fmt::format("{} = {}: allowed is {}", field, value, allowed)};
}

result<void> check_eps(std::string_view field, float value)
{
    if (std::isfinite(value) && value >= 0.0F) return {};
    return bad(field, fmt::format("{}", value), "a finite number >= 0");
}

result<void> check_shape(const layer_spec& s)
{
    if (s.hidden_dim < 1 || s.hidden_dim > (1 << 24))
        return bad("hidden_dim", fmt::to_string(s.hidden_dim), "1 to 16777216");
    if (s.n_streams < 1 || s.n_streams > 32) return bad("n_streams", fmt::to_string(s.n_streams), "1 to 32");
    if (s.dtype > dtype::bf16) return bad("dtype", fmt::to_string(int(s.dtype)), "fp32, fp16, bf16");
    if (s.weight_dtype > dtype::bf16) return bad("weight_dtype", fmt::to_string(int(s.weight_dtype)), "fp32, fp16, bf16");
    const bool known = s.alignment_bytes == 2 || s.alignment_bytes == 4 || s.alignment_bytes == 16;
    if (!known || s.alignment_bytes < size_of(s.dtype))
        return bad("alignment_bytes", fmt::to_string(s.alignment_bytes),
                   s.dtype == dtype::fp32 ? "4 or 16 (dtype is fp32)" : "2, 4 or 16");
    if (s.wanted.empty()) return bad("wanted", "{}", "at least one operator");
    if ((s.wanted.bits() & ~operations::all().bits()) != 0)
        return bad("wanted", fmt::format("{:#x}", s.wanted.bits()), "a set of the operators of `operation`");
    return {};
}

result<void> check_sinkhorn(const layer_options& o)
{
    if (o.start > sinkhorn_start::identity)
        return bad("sinkhorn_start", fmt::to_string(int(o.start)), "exp, log, softmax, identity");
    if (o.order > sinkhorn_order::col_row) return bad("sinkhorn_order", fmt::to_string(int(o.order)), "row_col, col_row");
    if (o.eps_mode > sinkhorn_eps_mode::thresh)
        return bad("sinkhorn_eps_mode", fmt::to_string(int(o.eps_mode)), "none, add, add_both, thresh");
    if (o.sinkhorn_iters < 0 || o.sinkhorn_iters > 1000)
        return bad("sinkhorn_iters", fmt::to_string(o.sinkhorn_iters), "0 to 1000");
    if (o.start == sinkhorn_start::softmax && o.order == sinkhorn_order::col_row)
        return bad("sinkhorn_order", "col_row", "row_col when sinkhorn_start is softmax, which is a row step");
    if (o.gradient > sinkhorn_gradient::implicit)
        return bad("sinkhorn_gradient", fmt::to_string(int(o.gradient)), "exact, implicit");
    const bool adds = o.eps_mode == sinkhorn_eps_mode::add || o.eps_mode == sinkhorn_eps_mode::add_both;
    if (o.gradient == sinkhorn_gradient::implicit && adds)
        return bad("sinkhorn_gradient", "implicit",
                   fmt::format("exact when sinkhorn_eps_mode is {}, whose limit is another", to_string(o.eps_mode)));
    return check_eps("sinkhorn_eps", o.sinkhorn_eps);
}

result<void> check_fn(const layer_spec& s)
{
    if (s.fn_order > fn_order::phi) return bad("fn_order", fmt::to_string(int(s.fn_order)), "fn, phi");
    if (!(s.wanted & operations_with_fn).empty()) return {};
    constexpr const char* unless =
        "{} unless pre_fwd, post_pre_fwd, head_fwd, pre_project_fwd, broadcast_pre_fwd or delayed_pre_fwd, or a gradient of "
        "theirs, is wanted";
    if (s.fn_norm_weight) return bad("fn_norm_weight", "on", fmt::format(unless, "off"));
    if (s.fn_order != fn_order::fn) return bad("fn_order", "phi", fmt::format(unless, "fn"));
    return {};
}

result<void> check_quant(const layer_spec& s)
{
    if (s.layer_input_quant > layer_input_quant::fp8_block128)
        return bad("layer_input_quant", fmt::to_string(int(s.layer_input_quant)), "none, fp8_row, fp8_block128");
    const bool is_wanted = !(s.wanted & operations_with_layer_input_quant).empty();
    if (s.layer_input_quant == layer_input_quant::none || is_wanted) return {};
    return bad("layer_input_quant", std::string(to_string(s.layer_input_quant)),
               "none unless pre_fwd, post_pre_fwd, head_fwd, pre_big_fuse, broadcast_pre_fwd or delayed_pre_fwd, or a "
               "gradient of theirs, is wanted");
}

}  // namespace

result<void> validate(const layer_spec& s)
{
    const layer_options& o = s.options;
    if (auto ok = check_shape(s); !ok) return ok;
    if (o.layout > mix_layout::src_dst) return bad("layout", fmt::to_string(int(o.layout)), "out_in, src_dst");
    if (o.arithmetic > projection::tf32) return bad("projection", fmt::to_string(int(o.arithmetic)), "split, strict, tf32");
    if (auto ok = check_sinkhorn(o); !ok) return ok;
    if (auto ok = check_eps("rms_eps", o.rms_eps); !ok) return ok;
    if (o.norm_eps)
        if (auto ok = check_eps("norm_eps", *o.norm_eps); !ok) return ok;
    if (auto ok = check_eps("pre_eps", o.pre_eps); !ok) return ok;
    if (!std::isfinite(o.post_mult)) return bad("post_mult", fmt::to_string(o.post_mult), "a finite number");
    constexpr operations layer_operators = {operation::static_layer_fwd, operation::dynamic_layer_fwd,
                                            operation::static_layer_bwd, operation::dynamic_layer_bwd};
    const bool has_layer_operator = !(s.wanted & layer_operators).empty();
    if (o.reference_rounding && !has_layer_operator)
        return bad("reference_rounding", "on",
                   "off unless static_layer_fwd or dynamic_layer_fwd, or a gradient of theirs, is wanted");
    if (s.norm_weight && (s.wanted & operations_with_norm_weight).empty())
        return bad("norm_weight", "on",
                   "off unless pre_fwd, post_pre_fwd, head_fwd, post_head_fwd, pre_big_fuse, broadcast_pre_fwd or "
                   "delayed_pre_fwd, or a gradient of theirs, is wanted");
    if (auto ok = check_quant(s); !ok) return ok;
    return check_fn(s);
}

std::int32_t row_alignment_bytes(const layer_spec& s) noexcept
{
    std::int64_t bytes = s.alignment_bytes;
    while (bytes > 1 && s.hidden_dim * size_of(s.dtype) % bytes != 0) bytes /= 2;
    return static_cast<std::int32_t>(bytes);
}

}  // namespace mhc::jit
