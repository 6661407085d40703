// codegen/arguments.cpp -- the table of kernel parameters.
#include "codegen/arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace mhc::codegen {

const std::vector<family_row>& forward_families()
{
    using enum slot;
    // Never destroyed: a thread may still compile while the process ends.
    static const auto& table = *new std::vector<family_row>{
        {"sinkhorn", {reads(logits, f32), writes(mix, f32), number(tokens), valid_tokens(), grid_groups()}},
        {"rmsnorm",
         {reads(x, data), may_read(weight, of_weight), writes(y, data), writes(rms, f32), number(tokens), valid_tokens(),
          grid_groups()}},
        {"rmsnorm_matmul",
         {reads(x, data), may_read(norm_weight, of_weight), reads(weight, of_weight), writes(y, data), writes(rms, f32),
          number(rows), number(tokens), valid_tokens(), grid_groups()}},
        {"apply_mix",
         {reads(x, data), reads(pre, f32), writes(layer_input, data), number(tokens), valid_tokens(), number(x_token_stride),
          number(x_stream_stride), number(pre_token_stride), grid_groups()}},
        {"apply_mix_norm",
         {reads(x, data), reads(pre, f32), reads(norm_weight, of_weight), writes(layer_input, data), number(tokens),
          valid_tokens(), number(x_token_stride), number(x_stream_stride), number(pre_token_stride), grid_groups()}},
        {"apply_mix_fp8",
         {reads(x, data), reads(pre, f32), may_read(norm_weight, of_weight), writes(layer_input, element::fp8),
          writes(layer_input_scale, f32), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          number(pre_token_stride), grid_groups()}},
        {"apply_post",
         {reads(y, data), may_read(bias, of_weight), reads(x, data), reads(post, f32), reads(mix, f32), reads(pre, f32),
          writes(layer_input, data), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          number(post_token_stride), number(mix_token_stride), number(pre_token_stride), grid_groups()}},
        {"apply_post_norm",
         {reads(y, data), may_read(bias, of_weight), reads(x, data), reads(post, f32), reads(mix, f32), reads(pre, f32),
          reads(norm_weight, of_weight), writes(layer_input, data), number(tokens), valid_tokens(), number(x_token_stride),
          number(x_stream_stride), number(post_token_stride), number(mix_token_stride), number(pre_token_stride),
          grid_groups()}},
        {"expand",
         {reads(h, data), writes(x, data), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          grid_groups()}},
        {"floor", {reads(x, data), writes(out, data), number(tokens), grid_groups()}},
        {"post",
         {reads(y, data), may_read(bias, of_weight), in_place(reads(x, data)), reads(post, f32), reads(mix, f32),
          in_place(writes(out, data)), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          number(out_token_stride), number(out_stream_stride), number(post_token_stride), number(mix_token_stride),
          grid_groups()}},
        {"arrange_fn",
         {reads(fn, of_weight), may_read(fn_norm_weight, of_weight), writes(arranged_fn, f32), number(rows), grid_groups()}},
        {"recompute",
         {reads(x, data), reads(pre, f32), may_read(y, data), may_read(bias, of_weight), may_read(post, f32),
          may_read(mix, f32), writes(layer_input, data), may_write(out, data), number(tokens), valid_tokens(),
          number(x_token_stride), number(x_stream_stride), number(out_token_stride), number(out_stream_stride),
          number(pre_token_stride), number(post_token_stride), number(mix_token_stride), grid_groups()}},
        {"project",
         {reads(x, data), reads(fn, of_weight), writes(proj, f32), writes(sqsum, f32), number(rows), number(splits),
          number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride), grid_groups()}},
        {"project_groups",
         {reads(x, data), reads(arranged_fn, f32), writes(proj, f32), writes(sqsum, f32), number(rows), number(tokens),
          valid_tokens(), number(x_token_stride), number(x_stream_stride), grid_groups()}},
        {"sum_slices",
         {reads(sums, f32), writes(proj, f32), writes(sqsum, f32), number(rows), number(splits), number(tokens),
          valid_tokens(), grid_groups()}},
        {"wide_factors", {reads(fn, of_weight), writes(arranged_fn, f32), number(rows), grid_groups()}},
        {"project_post",
         {reads(y, data), may_read(bias, of_weight), reads(x, data), reads(post, f32), reads(mix, f32), reads(fn, of_weight),
          writes(proj, f32), writes(sqsum, f32), number(rows), number(splits), number(tokens), valid_tokens(),
          number(x_token_stride), number(x_stream_stride), number(post_token_stride), number(mix_token_stride),
          grid_groups()}},
        {"project_three",
         {reads(x, data), reads(phi_pre, of_weight), reads(phi_post, of_weight), reads(phi_res, of_weight),
          writes(proj, f32), writes(sqsum, f32), number(rows), number(splits), number(tokens), valid_tokens(),
          number(x_token_stride), number(x_stream_stride), grid_groups()}},
        {"coefficients",
         {reads(proj, f32), reads(sqsum, f32), number(splits), reads(scale, f32), reads(base, f32), writes(pre, f32),
          writes(post, f32), writes(mix, f32), number(tokens), valid_tokens(), grid_groups()}},
        {"pre_mix",
         {reads(x, data), reads(proj, f32), reads(sqsum, f32), number(splits), reads(scale, f32), reads(base, f32),
          writes(pre, f32), writes(post, f32), writes(mix, f32), writes(layer_input, data), number(tokens), valid_tokens(),
          number(x_token_stride), number(x_stream_stride), grid_groups()}},
        {"pre_one_pass",
         {map_of(x_map, x), reads(fn, of_weight), reads(scale, f32), reads(base, f32), writes(pre, f32), writes(post, f32),
          writes(mix, f32), writes(layer_input, data), number(tokens), valid_tokens(), grid_groups()}},
        {"post_pre_one_pass",
         {map_of(x_map, x),
          reads(y, data),
          may_read(bias, of_weight),
          reads(post, f32),
          reads(mix, f32),
          reads(fn, of_weight),
          reads(scale, f32),
          reads(base, f32),
          in_place(writes(out, data)),
          writes(next_pre, f32),
          writes(next_post, f32),
          writes(next_mix, f32),
          writes(layer_input, data),
          number(tokens),
          valid_tokens(),
          number(out_token_stride),
          number(out_stream_stride),
          number(post_token_stride),
          number(mix_token_stride),
          grid_groups()}},
        {"delayed_one_pass",
         {map_of(x_map, x), reads(previous_pre, f32), reads(fn, of_weight), reads(scale, f32), reads(base, f32),
          writes(pre, f32), writes(post, f32), writes(mix, f32), writes(layer_input, data), number(tokens), valid_tokens(),
          number(pre_token_stride), grid_groups()}},
        {"head_one_pass",
         {map_of(x_map, x), reads(fn, of_weight), reads(scale, f32), reads(base, f32), writes(layer_input, data),
          number(tokens), valid_tokens(), grid_groups()}},
        {"post_head_one_pass",
         {map_of(x_map, x), reads(y, data), may_read(bias, of_weight), reads(post, f32), reads(mix, f32),
          reads(fn, of_weight), reads(scale, f32), reads(base, f32), writes(layer_input, data), number(tokens),
          valid_tokens(), number(post_token_stride), number(mix_token_stride), grid_groups()}},
        {"split_mixes",
         {reads(proj, f32), reads(sqsum, f32), number(splits), reads(scale, f32), reads(base, f32), writes(pre, f32),
          writes(post, f32), writes(logits, f32), number(tokens), valid_tokens(), grid_groups()}},
        {"head_coefficients",
         {reads(proj, f32), reads(sqsum, f32), number(splits), reads(scale, f32), reads(base, f32), writes(pre, f32),
          number(tokens), valid_tokens(), grid_groups()}},
        {"dynamic_coefficients",
         {scratch(access::out), reads(proj, f32), reads(sqsum, f32), number(splits), reads(alpha_pre, f32),
          reads(alpha_post, f32), reads(alpha_res, f32), reads(b_pre, f32), reads(b_post, f32), reads(b_res, f32),
          number(tokens), valid_tokens(), grid_groups()}},
        {"static_coefficients",
         {reads(h_pre, f32), reads(h_post, f32), reads(h_res, f32), scratch(access::out), grid_groups()}},
        {"layer",
         {reads(x, data), scratch(access::in), reads(weight, of_weight), writes(out, data), number(tokens), valid_tokens(),
          number(x_token_stride), number(x_stream_stride), number(out_token_stride), number(out_stream_stride),
          number(coefficients_token_stride), grid_groups()}},
        {"static_layer_ahead",
         {reads(x, data), reads(h_pre, f32), reads(h_post, f32), reads(h_res, f32), reads(weight, of_weight),
          writes(out, data), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          number(out_token_stride), number(out_stream_stride), grid_groups()}},
        {"dynamic_layer_ahead",
         {reads(x, data), reads(proj, f32), reads(sqsum, f32), number(splits), reads(alpha_pre, f32), reads(alpha_post, f32),
          reads(alpha_res, f32), reads(b_pre, f32), reads(b_post, f32), reads(b_res, f32), reads(weight, of_weight),
          writes(out, data), number(tokens), valid_tokens(), number(x_token_stride), number(x_stream_stride),
          number(out_token_stride), number(out_stream_stride), grid_groups()}},
        {"layer_one_pass",
         {map_of(x_map, x), reads(phi_pre, of_weight), reads(phi_post, of_weight), reads(phi_res, of_weight),
          reads(alpha_pre, f32), reads(alpha_post, f32), reads(alpha_res, f32), reads(b_pre, f32), reads(b_post, f32),
          reads(b_res, f32), reads(weight, of_weight), writes(out, data), number(tokens), valid_tokens(),
          number(out_token_stride), number(out_stream_stride), grid_groups()}},
    };
    return table;
}

namespace {

std::string element_type(element type, const jit::layer_spec& spec)
{
    switch (type) {
        case element::data:
            return fmt::format("mhc::{}", to_string(spec.dtype));
        case element::weight:
            return fmt::format("mhc::{}", to_string(spec.weight_dtype));
        case element::f32:
            return "float";
        case element::fp8:
            return "mhc::e4m3";
        case element::bytes:
            return "void";
        case element::i32:
            return "int";
        case element::i64:
            return "mhc::i64";
        case element::tensor_map:
            return "MHC_TENSOR_MAP";
    }
    return {};
}

}  // namespace

std::string_view name_of(slot what) noexcept
{
    // clang-format off
    static constexpr std::array<std::string_view, slot_count> names{
        "x", "y", "h", "out", "layer_input", "layer_input_scale", "logits", "mix", "pre", "post", "rms", "weight", "norm_weight",
        "fn_norm_weight", "bias", "num_valid_tokens", "previous_pre", "fn", "scale", "base", "proj", "sqsum", "h_pre",
        "h_post", "h_res", "phi_pre", "phi_post", "phi_res", "alpha_pre", "alpha_post", "alpha_res", "b_pre", "b_post",
        "b_res", "next_pre", "next_post", "next_mix", "d_x", "d_y", "d_h", "d_out", "d_layer_input", "d_logits", "d_mix",
        "d_pre", "d_post", "d_rms", "d_weight", "d_norm_weight", "d_fn_norm_weight", "d_bias", "d_fn", "d_scale", "d_base",
        "d_proj", "d_sqsum", "d_h_pre", "d_h_post", "d_h_res", "d_phi_pre", "d_phi_post", "d_phi_res", "d_alpha_pre",
        "d_alpha_post", "d_alpha_res", "d_b_pre", "d_b_post", "d_b_res", "d_next_pre", "d_next_post", "d_next_mix",
        "workspace", "arranged_fn", "coefficients", "d_coefficients", "d_row", "norm", "history", "sums", "totals", "d_vector",
        "x_map", "tokens", "rows", "splits", "x_token_stride", "x_stream_stride", "out_token_stride", "out_stream_stride",
        "pre_token_stride", "post_token_stride", "mix_token_stride", "coefficients_token_stride", "d_out_token_stride",
        "d_out_stream_stride", "d_x_token_stride", "d_x_stream_stride", "accumulate_inputs", "accumulate_parameters",
        "pre_is_static", "post_is_static", "mix_is_static", "statics_are_wanted", "affine_is_wanted", "fn_is_wanted",
        "pre_is_wanted", "dense_token_stride", "dense_stream_stride", "zero", "fn_size", "tokens_per_row", "width", "first",
        "length", "groups"};
    // clang-format on
    return names[static_cast<std::size_t>(what)];
}

std::vector<argument> arguments_of(std::string_view family, const std::vector<feed>& feeds)
{
    for (const auto* table : {&forward_families(), &gradient_families()}) {
        const auto row = std::find_if(table->begin(), table->end(), [&](const family_row& of) { return of.name == family; });
        if (row == table->end()) continue;
        std::vector<argument> args = row->args;
        for (argument& arg : args)
            for (const feed& from : feeds)
                if (from.parameter == arg.parameter) {
                    arg.what = from.what;
                    arg.bytes_per_token = from.bytes_per_token;
                    arg.bytes_fixed = from.bytes_fixed;
                    if (from.is_f32) arg.element = element::f32;
                }
        return args;
    }
    assert(false && "a family without arguments");
    return {};
}

std::uint32_t lay_out(std::vector<argument>& args)
{
    std::uint32_t end = 0;
    for (argument& arg : args) {
        arg.offset = (end + arg.size - 1) / arg.size * arg.size;
        end = arg.offset + arg.size;
    }
    return end;
}

std::string parameter_type(const argument& arg, const jit::layer_spec& spec)
{
    const std::string type = element_type(arg.element, spec);
    if (arg.access == access::scalar || arg.element == element::tensor_map) return type;
    return (arg.access == access::in ? "const " : "") + type + (arg.may_alias ? "*" : "* __restrict__");
}

std::string parameters(const std::vector<argument>& args, const jit::layer_spec& spec)
{
    std::string list;
    for (const argument& arg : args)
        list += fmt::format("{}{} {}", list.empty() ? "" : ", ", parameter_type(arg, spec), name_of(arg.parameter));
    return list;
}

}  // namespace mhc::codegen
