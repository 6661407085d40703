// codegen/arguments_gradients.cpp -- the parameters of the gradients' kernels.
#include "codegen/arguments.hpp"

namespace mhc::codegen {
namespace {

using arguments = std::vector<argument>;

/// Parameters in order, then what every kernel has last.
arguments with_tokens(arguments list, const std::vector<slot>& numbers, const std::vector<slot>& flags = {})
{
    list.push_back(number(slot::tokens));
    list.push_back(valid_tokens());
    for (const slot each : numbers) list.push_back(number(each));
    for (const slot each : flags) list.push_back(number_32(each));
    list.push_back(grid_groups());
    return list;
}

/// Where a projection's gradient goes, and the sums that scale's and base's are made of.
arguments with_affine_gradient(arguments list)
{
    list.insert(list.end(), {writes(slot::d_proj, f32), writes(slot::d_sqsum, f32), writes(slot::sums, f32)});
    return with_tokens(std::move(list), {slot::splits});
}

/// The same of a projection whose gradient matrix units take.
arguments with_factors(arguments list)
{
    list.insert(list.end(), {writes(slot::arranged_fn, f32), writes(slot::d_sqsum, f32), writes(slot::totals, f32)});
    return with_tokens(std::move(list), {slot::splits});
}

std::vector<family_row> make_table()
{
    using enum slot;
    const std::vector<slot> x_strides{x_token_stride, x_stream_stride}, d_x_strides{d_x_token_stride, d_x_stream_stride};
    const std::vector<slot> both{x_token_stride, x_stream_stride, d_x_token_stride, d_x_stream_stride};
    const std::vector<slot> all{x_token_stride,      x_stream_stride,  d_out_token_stride,
                                d_out_stream_stride, d_x_token_stride, d_x_stream_stride};
    const auto more = [](std::vector<slot> list, std::initializer_list<slot> others) {
        list.insert(list.end(), others);
        return list;
    };
    const arguments splits_in{reads(proj, f32), reads(sqsum, f32)};
    const auto after_splits = [&](std::initializer_list<argument> others) {
        arguments list = splits_in;
        list.insert(list.end(), others);
        return list;
    };
    return {
        {"expand_bwd", with_tokens({reads(d_x, data), writes(d_h, data)}, d_x_strides)},
        {"apply_mix_bwd", with_tokens({reads(x, data), reads(pre, f32), reads(d_layer_input, data), writes(d_x, data),
                                       writes(d_pre, f32), writes(sums, f32)},
                                      more(both, {pre_token_stride}), {accumulate_inputs})},
        {"post_bwd", with_tokens({reads(y, data), may_read(bias, of_weight), reads(x, data), reads(post, f32),
                                  reads(mix, f32), reads(d_out, data), writes(d_y, data), writes(d_x, data),
                                  writes(d_post, f32), writes(d_mix, f32), writes(sums, f32)},
                                 more(all, {post_token_stride, mix_token_stride}), {accumulate_inputs})},
        {"sinkhorn_bwd",
         with_tokens({reads(logits, f32), reads(d_mix, f32), writes(d_logits, f32), writes(history, f32)}, {})},
        {"rmsnorm_terms",
         with_tokens(
             {reads(x, data), may_read(weight, of_weight), reads(d_y, data), may_read(d_rms, f32), writes(norm, f32)}, {})},
        {"rmsnorm_bwd", with_tokens({reads(x, data), may_read(weight, of_weight), reads(d_y, data), reads(norm, f32),
                                     writes(d_x, data), writes(sums, f32)},
                                    {}, {accumulate_inputs})},
        {"rmsnorm_once_bwd", with_tokens({reads(x, data), may_read(weight, of_weight), reads(d_y, data),
                                          may_read(d_rms, f32), writes(d_x, data), writes(sums, f32)},
                                         {}, {accumulate_inputs})},
        {"matmul_input_bwd", with_tokens({reads(weight, of_weight), reads(d_y, data), writes(d_row, f32)}, {rows})},
        {"matmul_weight_bwd", with_tokens({reads(x, data), may_read(norm_weight, of_weight), reads(norm, f32),
                                           reads(d_y, data), writes(d_weight, of_weight)},
                                          {rows}, {accumulate_parameters})},
        {"pre_products",
         with_tokens({reads(x, data), reads(pre, f32), may_read(norm_weight, of_weight), reads(d_layer_input, data),
                      may_read(d_pre, f32), writes(d_coefficients, f32), writes(norm, f32)},
                     x_strides)},
        {"layer_products",
         with_tokens({reads(x, data), reads(coefficients, f32), reads(weight, of_weight), reads(d_out, data),
                      writes(d_coefficients, f32), writes(norm, f32)},
                     {x_token_stride, x_stream_stride, d_out_token_stride, d_out_stream_stride, coefficients_token_stride})},
        {"coefficients_bwd",
         with_affine_gradient(after_splits({reads(scale, f32), reads(base, f32), may_read(d_pre, f32), may_read(d_post, f32),
                                            may_read(d_mix, f32), writes(history, f32)}))},
        {"split_mixes_bwd", with_affine_gradient(after_splits({reads(scale, f32), reads(base, f32), may_read(d_pre, f32),
                                                               may_read(d_post, f32), may_read(d_logits, f32)}))},
        {"head_coefficients_bwd",
         with_affine_gradient(after_splits({reads(scale, f32), reads(base, f32), reads(d_pre, f32)}))},
        {"dynamic_coefficients_bwd",
         with_affine_gradient(
             after_splits({reads(alpha_pre, f32), reads(alpha_post, f32), reads(alpha_res, f32), reads(b_pre, f32),
                           reads(b_post, f32), reads(b_res, f32), reads(d_coefficients, f32), writes(history, f32)}))},
        {"static_coefficients_bwd",
         with_tokens({reads(h_pre, f32), reads(h_post, f32), reads(h_res, f32), reads(totals, f32), writes(history, f32),
                      writes(d_h_pre, f32), writes(d_h_post, f32), writes(d_h_res, f32)},
                     {}, {accumulate_parameters})},
        {"pre_input_bwd", with_tokens({reads(x, data), reads(d_layer_input, data), reads(pre, f32), reads(norm, f32),
                                       may_read(norm_weight, of_weight), reads(d_proj, f32), reads(d_sqsum, f32),
                                       reads(fn, of_weight), writes(d_x, data), writes(sums, f32)},
                                      more(both, {rows}), {accumulate_inputs})},
        {"post_pre_input_bwd",
         with_tokens({reads(x, data), reads(d_layer_input, data), reads(pre, f32), reads(norm, f32),
                      may_read(norm_weight, of_weight), reads(d_proj, f32), reads(d_sqsum, f32), reads(fn, of_weight),
                      may_read(d_out, data), writes(d_x, f32), writes(sums, f32)},
                     more(all, {rows}))},
        {"project_input_bwd",
         with_tokens({reads(x, data), reads(d_proj, f32), reads(d_sqsum, f32), reads(fn, of_weight), writes(d_x, data)},
                     more(both, {rows, splits}), {accumulate_inputs})},
        // By products of four waves: what project, coefficients and products make; their slices' sums, from which on
        // `totals` are what scale's and base's gradients are sums of.
        {"fn_factors", with_tokens({reads(fn, of_weight), writes(arranged_fn, f32)}, {rows})},
        {"project_products", with_tokens({reads(x, data), reads(d_layer_input, data), reads(arranged_fn, f32),
                                          writes(proj, f32), writes(sqsum, f32), writes(sums, f32)},
                                         {x_token_stride, x_stream_stride, rows})},
        {"dynamic_fn_factors", with_tokens({reads(phi_pre, of_weight), reads(phi_post, of_weight), reads(phi_res, of_weight),
                                            writes(arranged_fn, f32)},
                                           {rows})},
        {"dynamic_products", with_tokens({reads(x, data), reads(d_out, data), reads(weight, of_weight),
                                          reads(arranged_fn, f32), writes(proj, f32), writes(sqsum, f32), writes(sums, f32)},
                                         {x_token_stride, x_stream_stride, d_out_token_stride, d_out_stream_stride, rows})},
        {"pre_slices_bwd",
         with_factors(after_splits({reads(scale, f32), reads(base, f32), reads(sums, f32), may_read(d_pre, f32),
                                    may_read(d_post, f32), may_read(d_mix, f32), writes(history, f32), writes(pre, f32)}))},
        {"head_slices_bwd", with_factors(after_splits({reads(scale, f32), reads(base, f32), reads(sums, f32),
                                                       may_read(d_pre, f32), writes(pre, f32)}))},
        {"dynamic_slices_bwd",
         with_factors(after_splits({reads(alpha_pre, f32), reads(alpha_post, f32), reads(alpha_res, f32), reads(b_pre, f32),
                                    reads(b_post, f32), reads(b_res, f32), reads(sums, f32), writes(history, f32),
                                    writes(coefficients, f32), writes(norm, f32)}))},
        // Where post and the pre after it have their gradients at once; `totals` are products of parts of the channels.
        {"transition_products", with_tokens({reads(x, data), reads(y, data), may_read(bias, of_weight), reads(post, f32),
                                             reads(mix, f32), reads(d_layer_input, data), reads(arranged_fn, f32),
                                             writes(proj, f32), writes(sqsum, f32), writes(sums, f32)},
                                            {x_token_stride, x_stream_stride, post_token_stride, mix_token_stride, rows})},
        {"transition_tiles_bwd",
         with_tokens({reads(x, data), reads(y, data), may_read(bias, of_weight), reads(post, f32), reads(mix, f32),
                      reads(pre, f32), reads(d_layer_input, data), reads(d_sqsum, f32), reads(arranged_fn, f32),
                      may_read(d_out, data), may_write(d_bias, of_weight), writes(d_y, data), writes(d_x, data),
                      writes(sums, f32), writes(totals, f32), writes(d_row, f32)},
                     more(all, {post_token_stride, mix_token_stride, rows}), {accumulate_inputs})},
        {"transition_sums", with_tokens({reads(totals, f32), writes(d_post, f32), writes(d_mix, f32), writes(sums, f32)},
                                        {post_token_stride, mix_token_stride})},
        // By matrix units: of the same arguments, `sums` are those of d_fn.
        {"tile_factors", with_tokens({reads(d_proj, f32), reads(fn, of_weight), writes(arranged_fn, f32)}, {rows})},
        {"dynamic_tile_factors", with_tokens({reads(d_proj, f32), reads(phi_pre, of_weight), reads(phi_post, of_weight),
                                              reads(phi_res, of_weight), writes(arranged_fn, f32)},
                                             {rows})},
        {"pre_tiles_bwd", with_tokens({reads(x, data), reads(d_layer_input, data), reads(pre, f32), reads(d_sqsum, f32),
                                       reads(arranged_fn, f32), writes(d_x, data), writes(sums, f32)},
                                      more(both, {rows}), {accumulate_inputs})},
        {"post_pre_tiles_bwd",
         with_tokens({reads(x, data), reads(d_layer_input, data), reads(pre, f32), reads(d_sqsum, f32),
                      reads(arranged_fn, f32), may_read(d_out, data), writes(d_x, f32), writes(sums, f32)},
                     more(all, {rows}))},
        {"project_tiles_bwd", with_tokens({reads(x, data), reads(d_proj, f32), reads(d_sqsum, f32), reads(fn, of_weight),
                                           writes(d_x, data), writes(sums, f32)},
                                          more(both, {rows, splits}), {accumulate_inputs})},
        {"dynamic_tiles_bwd",
         with_tokens({reads(x, data), reads(d_row, f32), reads(d_out, data), reads(coefficients, f32), reads(d_sqsum, f32),
                      reads(arranged_fn, f32), writes(d_x, data), writes(sums, f32)},
                     more(all, {coefficients_token_stride, rows}), {accumulate_inputs})},
        {"dynamic_row_tiles_bwd",
         with_tokens(
             {reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(norm, f32), reads(weight, of_weight),
              reads(d_sqsum, f32), reads(arranged_fn, f32), writes(d_x, data), writes(sums, f32), writes(totals, f32)},
             more(all, {coefficients_token_stride, rows}), {accumulate_inputs})},
        {"pre_row_bwd", with_tokens({reads(x, data), reads(d_layer_input, data), reads(pre, f32), reads(norm, f32),
                                     reads(norm_weight, of_weight), writes(d_row, f32), writes(sums, f32)},
                                    x_strides)},
        {"layer_row_bwd",
         with_tokens({reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(norm, f32),
                      reads(weight, of_weight), writes(d_row, f32), writes(sums, f32)},
                     {x_token_stride, x_stream_stride, d_out_token_stride, d_out_stream_stride, coefficients_token_stride})},
        {"static_input_bwd", with_tokens({reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(norm, f32),
                                          reads(weight, of_weight), writes(d_x, data), writes(sums, f32)},
                                         more(all, {coefficients_token_stride}), {accumulate_inputs})},
        {"static_once_bwd",
         with_tokens({reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(weight, of_weight),
                      writes(d_coefficients, f32), writes(d_x, data), writes(sums, f32)},
                     more(all, {coefficients_token_stride}), {accumulate_inputs})},
        {"static_ahead_bwd", with_tokens({reads(x, data), reads(d_out, data), reads(h_pre, f32), reads(h_post, f32),
                                          reads(h_res, f32), reads(weight, of_weight), writes(d_coefficients, f32),
                                          writes(d_x, data), writes(sums, f32), writes(totals, f32), writes(history, f32)},
                                         all, {accumulate_inputs})},
        {"layer_once_bwd",
         with_tokens({reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(weight, of_weight),
                      writes(d_coefficients, f32), writes(d_row, f32), writes(sums, f32)},
                     {x_token_stride, x_stream_stride, d_out_token_stride, d_out_stream_stride, coefficients_token_stride})},
        {"dynamic_input_bwd",
         with_tokens({reads(x, data), reads(d_out, data), reads(coefficients, f32), reads(norm, f32),
                      reads(weight, of_weight), reads(d_proj, f32), reads(d_sqsum, f32), reads(phi_pre, of_weight),
                      reads(phi_post, of_weight), reads(phi_res, of_weight), writes(d_x, data), writes(sums, f32)},
                     more(all, {coefficients_token_stride, rows}), {accumulate_inputs})},
        {"matrix_sums",
         with_tokens({reads(x, data), reads(d_proj, f32), writes(sums, f32)}, more(x_strides, {rows, splits}))},
        {"bias_sums", with_tokens({reads(post, f32), reads(d_out, data), writes(sums, f32)},
                                  {d_out_token_stride, d_out_stream_stride, post_token_stride})},
        {"sum_rows", with_tokens({reads(sums, f32), writes(totals, f32)}, {tokens_per_row, width})},
        {"finish_vector", with_tokens({reads(totals, f32), writes(d_vector, f32)}, {tokens_per_row, width, first, length},
                                      {accumulate_parameters})},
        {"finish_weight", with_tokens({reads(totals, f32), writes(d_vector, of_weight)},
                                      {tokens_per_row, width, first, length}, {accumulate_parameters})},
        {"finish_columns", with_tokens({reads(sums, f32), writes(d_vector, of_weight)}, {tokens_per_row, width},
                                       {accumulate_parameters})},
        {"finish_affine", with_tokens({reads(sums, f32), may_write(d_base, f32), may_write(d_scale, f32)}, {},
                                      {accumulate_parameters})},
        {"finish_pre", with_tokens({reads(totals, f32), reads(sums, f32), may_write(d_fn, of_weight), may_write(d_base, f32),
                                    may_write(d_scale, f32)},
                                   {}, {accumulate_parameters})},
        {"finish_layer",
         with_tokens({reads(totals, f32), reads(d_row, f32), reads(sums, f32), writes(d_phi_pre, of_weight),
                      writes(d_phi_post, of_weight), writes(d_phi_res, of_weight), may_write(d_weight, of_weight),
                      writes(d_b_pre, f32), writes(d_b_post, f32), writes(d_b_res, f32), writes(d_alpha_pre, f32),
                      writes(d_alpha_post, f32), writes(d_alpha_res, f32)},
                     {}, {accumulate_parameters})},
        {"finish_static", with_tokens({reads(h_pre, f32), reads(h_post, f32), reads(totals, f32), reads(d_coefficients, f32),
                                       reads(sums, f32), writes(d_h_pre, f32), writes(d_h_post, f32), writes(d_h_res, f32),
                                       may_write(d_weight, of_weight)},
                                      {}, {accumulate_parameters})},
        {"finish_fn", with_tokens({reads(totals, f32), reads(fn, of_weight), may_read(fn_norm_weight, of_weight),
                                   may_write(d_fn, of_weight), may_write(d_fn_norm_weight, of_weight)},
                                  {rows}, {accumulate_parameters})},
    };
}

}  // namespace

const std::vector<family_row>& gradient_families()
{
    // Never destroyed: a thread may still compile while the process ends.
    static const auto& table = *new std::vector<family_row>(make_table());
    return table;
}

}  // namespace mhc::codegen
