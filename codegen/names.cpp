// codegen/names.cpp -- the names of everything a spec is made of, and back.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <mhc/jit/spec.hpp>
#include <mhc/jit/version.hpp>

namespace mhc::jit {
namespace {

template <class E>
struct name_of {
    E value;
    std::string_view name;
};

constexpr std::array<name_of<dtype>, 3> dtypes{{{dtype::fp32, "fp32"}, {dtype::fp16, "fp16"}, {dtype::bf16, "bf16"}}};
constexpr std::array<name_of<mix_layout>, 2> layouts{{{mix_layout::out_in, "out_in"}, {mix_layout::src_dst, "src_dst"}}};
constexpr std::array<name_of<sinkhorn_start>, 4> starts{{{sinkhorn_start::exp, "exp"},
                                                         {sinkhorn_start::log, "log"},
                                                         {sinkhorn_start::softmax, "softmax"},
                                                         {sinkhorn_start::identity, "identity"}}};
constexpr std::array<name_of<sinkhorn_order>, 2> orders{
    {{sinkhorn_order::row_col, "row_col"}, {sinkhorn_order::col_row, "col_row"}}};
constexpr std::array<name_of<sinkhorn_eps_mode>, 4> eps_modes{{{sinkhorn_eps_mode::none, "none"},
                                                               {sinkhorn_eps_mode::add, "add"},
                                                               {sinkhorn_eps_mode::add_both, "add_both"},
                                                               {sinkhorn_eps_mode::thresh, "thresh"}}};
constexpr std::array<name_of<sinkhorn_gradient>, 2> sinkhorn_gradients{
    {{sinkhorn_gradient::exact, "exact"}, {sinkhorn_gradient::implicit, "implicit"}}};
constexpr std::array<name_of<projection>, 3> projections{
    {{projection::split, "split"}, {projection::strict, "strict"}, {projection::tf32, "tf32"}}};
constexpr std::array<name_of<fn_order>, 2> fn_orders{{{fn_order::fn, "fn"}, {fn_order::phi, "phi"}}};
constexpr std::array<name_of<layer_input_quant>, 3> quants{{{layer_input_quant::none, "none"},
                                                            {layer_input_quant::fp8_row, "fp8_row"},
                                                            {layer_input_quant::fp8_block128, "fp8_block128"}}};
constexpr std::array<name_of<preset>, 5> presets{{{preset::paper, "paper"},
                                                  {preset::mhc_cu, "mhc_cu"},
                                                  {preset::deepseek, "deepseek"},
                                                  {preset::liger, "liger"},
                                                  {preset::aiter_triton, "aiter_triton"}}};
constexpr std::array<name_of<operation>, operation_count> operation_names{
    {{operation::sinkhorn_fwd, "sinkhorn_fwd"},
     {operation::rmsnorm_fwd, "rmsnorm_fwd"},
     {operation::apply_mix_fwd, "apply_mix_fwd"},
     {operation::expand_fwd, "expand_fwd"},
     {operation::post_fwd, "post_fwd"},
     {operation::pre_fwd, "pre_fwd"},
     {operation::static_layer_fwd, "static_layer_fwd"},
     {operation::dynamic_layer_fwd, "dynamic_layer_fwd"},
     {operation::post_pre_fwd, "post_pre_fwd"},
     {operation::head_fwd, "head_fwd"},
     {operation::pre_project_fwd, "pre_project_fwd"},
     {operation::split_mixes_fwd, "split_mixes_fwd"},
     {operation::coeffs_fwd, "coeffs_fwd"},
     {operation::pre_big_fuse, "pre_big_fuse"},
     {operation::sinkhorn_bwd, "sinkhorn_bwd"},
     {operation::rmsnorm_bwd, "rmsnorm_bwd"},
     {operation::apply_mix_bwd, "apply_mix_bwd"},
     {operation::expand_bwd, "expand_bwd"},
     {operation::post_bwd, "post_bwd"},
     {operation::pre_bwd, "pre_bwd"},
     {operation::static_layer_bwd, "static_layer_bwd"},
     {operation::dynamic_layer_bwd, "dynamic_layer_bwd"},
     {operation::post_pre_bwd, "post_pre_bwd"},
     {operation::head_bwd, "head_bwd"},
     {operation::pre_project_bwd, "pre_project_bwd"},
     {operation::split_mixes_bwd, "split_mixes_bwd"},
     {operation::coeffs_bwd, "coeffs_bwd"},
     {operation::broadcast_pre_fwd, "broadcast_pre_fwd"},
     {operation::delayed_pre_fwd, "delayed_pre_fwd"},
     {operation::post_head_fwd, "post_head_fwd"},
     {operation::multilayer_recompute, "multilayer_recompute"},
     {operation::rmsnorm_matmul_fwd, "rmsnorm_matmul_fwd"},
     {operation::rmsnorm_matmul_bwd, "rmsnorm_matmul_bwd"},
     {operation::post_head_bwd, "post_head_bwd"}}};

template <class Table, class E>
std::string_view find_name(const Table& table, E value)
{
    for (const auto& row : table)
        if (row.value == value) return row.name;
    return "?";
}

template <class Table>
std::string all_names(const Table& table)
{
    std::string list;
    for (const auto& row : table) list += (list.empty() ? "" : ", ") + std::string(row.name);
    return list;
}

failure unknown(std::string_view field, std::string_view value, std::string_view allowed)
{
    return {errc::bad_spec, fmt::format("{} = '{}' is not known; allowed: {}", field, value, allowed)};
}

template <class Table, class E>
result<void> set_enum(const Table& table, std::string_view field, std::string_view value, E& to)
{
    for (const auto& row : table)
        if (row.name == value) return to = row.value, result<void>();
    return unknown(field, value, all_names(table));
}

/// All of `value` as a number, whatever the locale; no blanks, no plus sign.
template <class T>
bool parse_whole(std::string_view value, T& to)
{
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), to);
    return error == std::errc() && end == value.data() + value.size();
}

result<void> set_integer(std::string_view field, std::string_view value, std::int64_t& to)
{
    if (parse_whole(value, to)) return {};
    return failure{errc::bad_spec, fmt::format("{} = '{}' is not a whole number", field, value)};
}

result<void> set_integer(std::string_view field, std::string_view value, std::int32_t& to)
{
    std::int64_t wide = 0;
    if (auto ok = set_integer(field, value, wide); !ok) return ok.error();
    if (wide < std::numeric_limits<std::int32_t>::min() || wide > std::numeric_limits<std::int32_t>::max())
        return failure{errc::bad_spec, fmt::format("{} = {} does not fit 32 bits", field, value)};
    to = static_cast<std::int32_t>(wide);
    return {};
}

result<void> set_real(std::string_view field, std::string_view value, float& to)
{
    if (parse_whole(value, to)) return {};
    return failure{errc::bad_spec, fmt::format("{} = '{}' is not a number", field, value)};
}

result<void> set_flag(std::string_view field, std::string_view value, bool& to)
{
    if (value == "1" || value == "true" || value == "on" || value == "yes") return to = true, result<void>();
    if (value == "0" || value == "false" || value == "off" || value == "no") return to = false, result<void>();
    return unknown(field, value, "on, off");
}

constexpr std::string_view field_names =
    "preset, dtype, weight_dtype, n_streams, hidden_dim, layout, sinkhorn_start, sinkhorn_order, sinkhorn_eps_mode, "
    "sinkhorn_eps, sinkhorn_iters, sinkhorn_gradient, rms_eps, norm_eps, pre_eps, post_mult, projection, "
    "reference_rounding, norm_weight, fn_norm_weight, fn_order, layer_input_quant, alignment_bytes";

}  // namespace

const char* version() noexcept { return MHC_JIT_VERSION; }

const char* to_string(errc code) noexcept
{
    constexpr std::array<const char*, 6> names{"bad_spec",       "unsupported_target", "not_prebuilt",
                                               "compile_failed", "load_failed",        "launch_failed"};
    return names[static_cast<std::size_t>(code)];
}

std::string_view to_string(dtype v) noexcept { return find_name(dtypes, v); }
std::string_view to_string(mix_layout v) noexcept { return find_name(layouts, v); }
std::string_view to_string(sinkhorn_start v) noexcept { return find_name(starts, v); }
std::string_view to_string(sinkhorn_order v) noexcept { return find_name(orders, v); }
std::string_view to_string(sinkhorn_eps_mode v) noexcept { return find_name(eps_modes, v); }
std::string_view to_string(sinkhorn_gradient v) noexcept { return find_name(sinkhorn_gradients, v); }
std::string_view to_string(projection v) noexcept { return find_name(projections, v); }
std::string_view to_string(fn_order v) noexcept { return find_name(fn_orders, v); }
std::string_view to_string(layer_input_quant v) noexcept { return find_name(quants, v); }
std::string_view to_string(preset v) noexcept { return find_name(presets, v); }
std::string_view to_string(operation v) noexcept { return find_name(operation_names, v); }

result<operation> parse_operation(std::string_view name)
{
    for (const auto& row : operation_names)
        if (row.name == name) return row.value;
    return unknown("operator", name, all_names(operation_names));
}

result<dtype> parse_dtype(std::string_view name)
{
    for (const auto& row : dtypes)
        if (row.name == name) return row.value;
    return unknown("dtype", name, all_names(dtypes));
}

result<void> set_field(layer_spec& spec, std::string_view name, std::string_view value)
{
    layer_options& o = spec.options;
    if (name == "preset") {
        preset chosen{};
        if (auto ok = set_enum(presets, name, value, chosen); !ok) return ok;
        o = options_of(chosen);
        return {};
    }
    if (name == "dtype") return set_enum(dtypes, name, value, spec.dtype);
    if (name == "weight_dtype") return set_enum(dtypes, name, value, spec.weight_dtype);
    if (name == "n_streams") return set_integer(name, value, spec.n_streams);
    if (name == "hidden_dim") return set_integer(name, value, spec.hidden_dim);
    if (name == "layout") return set_enum(layouts, name, value, o.layout);
    if (name == "sinkhorn_start") return set_enum(starts, name, value, o.start);
    if (name == "sinkhorn_order") return set_enum(orders, name, value, o.order);
    if (name == "sinkhorn_eps_mode") return set_enum(eps_modes, name, value, o.eps_mode);
    if (name == "sinkhorn_eps") return set_real(name, value, o.sinkhorn_eps);
    if (name == "sinkhorn_iters") return set_integer(name, value, o.sinkhorn_iters);
    if (name == "sinkhorn_gradient") return set_enum(sinkhorn_gradients, name, value, o.gradient);
    if (name == "rms_eps") return set_real(name, value, o.rms_eps);
    if (name == "norm_eps") {
        float eps = 0;
        if (auto ok = set_real(name, value, eps); !ok) return ok;
        o.norm_eps = eps;
        return {};
    }
    if (name == "pre_eps") return set_real(name, value, o.pre_eps);
    if (name == "post_mult") return set_real(name, value, o.post_mult);
    if (name == "projection") return set_enum(projections, name, value, o.arithmetic);
    if (name == "reference_rounding") return set_flag(name, value, o.reference_rounding);
    if (name == "norm_weight") return set_flag(name, value, spec.norm_weight);
    if (name == "fn_norm_weight") return set_flag(name, value, spec.fn_norm_weight);
    if (name == "fn_order") return set_enum(fn_orders, name, value, spec.fn_order);
    if (name == "layer_input_quant") return set_enum(quants, name, value, spec.layer_input_quant);
    if (name == "alignment_bytes") return set_integer(name, value, spec.alignment_bytes);
    return unknown("option", name, field_names);
}

layer_options options_of(preset name) noexcept
{
    layer_options o;  // paper
    switch (name) {
        case preset::paper:
            break;
        case preset::mhc_cu:
            o.order = sinkhorn_order::row_col;
            o.eps_mode = sinkhorn_eps_mode::thresh;
            o.sinkhorn_eps = o.rms_eps = 1e-5F;
            break;
        case preset::deepseek:
        case preset::liger:
            o.start = sinkhorn_start::softmax;
            o.order = sinkhorn_order::row_col;
            o.eps_mode = sinkhorn_eps_mode::add_both;
            o.sinkhorn_eps = 1e-6F;
            if (name == preset::deepseek) {
                o.layout = mix_layout::src_dst;
                o.pre_eps = 1e-6F;
                o.post_mult = 1.0F;
            }
            break;
        case preset::aiter_triton:
            o.layout = mix_layout::src_dst;
            o.start = sinkhorn_start::log;
            o.order = sinkhorn_order::row_col;
            break;
    }
    return o;
}

}  // namespace mhc::jit
