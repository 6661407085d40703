// codegen/plan_gradients.hpp -- the kernels that the gradients of operators are made of.
#pragma once

#include <string>

#include "codegen/plan_kernels.hpp"

namespace mhc::codegen {

/// Tokens that a first sum over tokens adds up, and rows of sums that a second one does: constants, since they are the order
/// of the sums (templates/device/token_sums.hpp).
inline constexpr std::int64_t tokens_of_weight_sum = 8, tokens_of_matrix_sum = 256, rows_of_sum = 128;
/// Of a sum whose rows are tokens; and of one that plan_slices_bwd makes.
inline constexpr std::int64_t tokens_of_sum = rows_of_sum, tokens_of_slices = 16;

/// Floats that the factors of Sinkhorn's steps take for one token.
std::int64_t history_floats(const facts& f);
/// Those of LDS for them, beside `floats` others; 0: they are too many, and in memory.
std::int64_t history_room(const facts& f, std::int64_t floats);
/// LDS of one token: `gradient_floats` of templates/device/coefficients_gradient.hpp.
std::int64_t gradient_floats(const facts& f);

/// Channels that one wave sums before sums are added: shorter than the forward's, since a token has one work-group.
std::int64_t product_slice(const facts& f);
/// A work-group has a token and makes `sums` sums over its channels at once.
kernel_plan plan_products(const facts& f, const std::string& family, const feeds& from, std::int64_t sums);

kernel_plan plan_expand_bwd(const facts& f);
kernel_plan plan_apply_mix_bwd(const facts& f, const feeds& from);
kernel_plan plan_post_bwd(const facts& f, const feeds& from);
/// Of post's bias, summed over some tokens each.
kernel_plan plan_bias_sums(const facts& f, const feeds& from);
kernel_plan plan_sinkhorn_bwd(const facts& f, const feeds& from);
kernel_plan plan_rmsnorm_terms(const facts& f, const feeds& from);
kernel_plan plan_rmsnorm_bwd(const facts& f, const feeds& from);

/// plan_rmsnorm_terms and plan_rmsnorm_bwd in one kernel, that reads rows once.
bool reads_norm_once(const facts& f);
kernel_plan plan_rmsnorm_once(const facts& f, const feeds& from);
/// plan_layer_products and, of "static_once_bwd", what makes d_x, or, of "layer_once_bwd", plan_row_bwd in one kernel, that
/// reads rows once.
bool reads_layer_once(const facts& f);
kernel_plan plan_layer_once(const facts& f, const std::string& family, const feeds& from);
/// "static_once_bwd" with plan_static_coefficients in it, where has_static_ahead: gradients of coefficients are summed over
/// as many tokens as those of the weight, and the matrix's Jacobian is made beside, with so many floats of history in
/// memory. plan_finish_static makes the gradients of all parameters of these.
bool has_static_ahead(const facts& f);
std::int64_t static_history_floats(const facts& f);
kernel_plan plan_static_ahead(const facts& f, const feeds& from);
kernel_plan plan_finish_static(const facts& f, const feeds& from);

/// The gradient of a normalised row that was multiplied by a weight, and that of the weight.
kernel_plan plan_matmul_input_bwd(const facts& f, const feeds& from);
kernel_plan plan_matmul_weight_bwd(const facts& f, const feeds& from);

/// Gradients of coefficients from those of what they made: of pre, and of all of a layer's.
kernel_plan plan_pre_products(const facts& f, const feeds& from);
kernel_plan plan_layer_products(const facts& f, const feeds& from);

/// "coefficients_bwd", "split_mixes_bwd", "head_coefficients_bwd", "dynamic_coefficients_bwd". A stage's projection has the
/// caller's splits; otherwise its gradient has one.
kernel_plan plan_coefficients_bwd(const facts& f, const std::string& family, const feeds& from, bool is_stage);
kernel_plan plan_static_coefficients_bwd(const facts& f, const feeds& from);

/// "pre_input_bwd", "project_input_bwd", "static_input_bwd", "dynamic_input_bwd": the gradient of x.
kernel_plan plan_input_bwd(const facts& f, const std::string& family, const feeds& from);

/// The gradient of fn, summed over some tokens each.
kernel_plan plan_matrix_sums(const facts& f, const feeds& from, std::int64_t rows_max);

/// Whether matrix units make the gradients of fn and x in one kernel, plan_gradient_tiles of "pre_tiles_bwd",
/// "post_pre_tiles_bwd", "project_tiles_bwd" or "dynamic_tiles_bwd".
bool has_gradient_tiles(const facts& f);
/// fn and d_proj as the tiles take them, made by "tile_factors" or "dynamic_tile_factors" for all but "project_tiles_bwd":
/// bytes that they take, once and for each chunk of so many tokens.
struct factor_bytes {
    std::int64_t once, chunk, chunk_tokens;
};
factor_bytes tile_factor_bytes(const facts& f, std::int64_t rows_max);
kernel_plan plan_tile_factors(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max);
kernel_plan plan_gradient_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max);

/// Whether the projection made again and plan_pre_products are one kernel, which plan_fn_factors arranges fn for. The sums
/// of its slices, `group_slices`, are added by plan_slices_bwd, "pre_slices_bwd", "head_slices_bwd" or "dynamic_slices_bwd",
/// which makes pre, or the layer's coefficients, and d_proj as the tiles take it. "project_products", "transition_products",
/// which makes the streams too, or "dynamic_products".
bool has_group_projection(const facts& f);
std::int64_t group_slices(const facts& f);
kernel_plan plan_fn_factors(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max);
kernel_plan plan_project_products(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max);
kernel_plan plan_slices_bwd(const facts& f, const std::string& family, const feeds& from, std::int64_t rows);

/// Whether post and the pre after it have their gradients at once: the streams between them are made where they are used.
/// plan_transition_sums adds the products of `transition_parts` parts of the channels.
bool makes_transition(const facts& f);
std::int64_t transition_parts(const facts& f);
/// "transition_tiles_bwd", or "dynamic_row_tiles_bwd": their lanes have all streams of some channels.
kernel_plan plan_stream_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max);
kernel_plan plan_transition_sums(const facts& f, const feeds& from);

/// Whether mHC.cu's layer with coefficients of each token has kernels of both kinds: "dynamic_products" of
/// plan_project_products, of whose slices plan_slices_bwd adds up `row_products` numbers of a token, and
/// "dynamic_row_tiles_bwd" of plan_stream_tiles, so that the gradient of the sum of streams is not stored.
bool has_layer_groups(const facts& f);
std::int64_t row_products(const facts& f);

/// "pre_row_bwd", "layer_row_bwd": where there is a norm, what that kernel reads as the gradient of the sum of streams.
kernel_plan plan_row_bwd(const facts& f, const std::string& family, const feeds& from);

/// Sums of rows of `width` numbers, each of which stands for some tokens.
kernel_plan plan_sum_rows(const facts& f, feeds from, std::int64_t tokens_per_row, std::int64_t width);

/// Columns [first, first + length) of rows of `width` floats; width 0: all of a projection's weight, `length` at most.
struct vector_part {
    std::int64_t tokens_per_row, width, first, length;
};
/// Their sums over all rows, in float or, of a projection, in the weights' type.
kernel_plan plan_finish(const facts& f, feeds from, const vector_part& part);

/// A weight's gradient [width] from rows of as many numbers, each of which stands for some tokens.
kernel_plan plan_finish_columns(const facts& f, feeds from, std::int64_t tokens_per_row, std::int64_t width);

/// Scales of a projection: of pre alone, or of pre, post and the matrix.
constexpr std::int64_t scales_of(bool is_head) { return is_head ? 1 : 3; }

/// The gradients of base and scale, of rows that each stand for some tokens: `rows` numbers and then `scales`.
struct affine_part {
    std::int64_t rows, scales, tokens_per_row;
};
kernel_plan plan_finish_affine(const facts& f, const feeds& from, const affine_part& part);
/// The same, and that of fn, as it lies, from matrix_sums.
kernel_plan plan_finish_pre(const facts& f, const feeds& from, const affine_part& part);

/// The gradients of all parameters of mHC.cu's layer with coefficients of each token, those of phi from matrix_sums, of the
/// norm's weight from sums of `weight_tokens` tokens each, and the others from those of `affine_tokens`.
kernel_plan plan_finish_layer(const facts& f, const feeds& from, std::int64_t weight_tokens, std::int64_t affine_tokens);

/// The gradients of fn and of its norm's weight from matrix_sums, where f.arranges_fn().
kernel_plan plan_finish_fn(const facts& f, const feeds& from);

}  // namespace mhc::codegen
