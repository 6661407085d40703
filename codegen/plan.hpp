// codegen/plan.hpp -- what was chosen for one operator on one target: kernels, tile sizes, geometry, arguments. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>
#include <mhc/jit/tuning.hpp>

#include "codegen/target.hpp"

namespace mhc::codegen {

/// Everything a kernel argument can be. A launch fills an array of values by slot, once for all kernels of an operator.
enum class slot : std::uint8_t {
    x,
    y,
    h,
    out,
    layer_input,
    layer_input_scale,
    logits,
    mix,
    pre,
    post,
    rms,
    weight,
    norm_weight,
    fn_norm_weight,
    bias,
    num_valid_tokens,
    previous_pre,
    fn,
    scale,
    base,
    proj,
    sqsum,
    h_pre,
    h_post,
    h_res,
    phi_pre,
    phi_post,
    phi_res,
    alpha_pre,
    alpha_post,
    alpha_res,
    b_pre,
    b_post,
    b_res,
    next_pre,
    next_post,
    next_mix,
    // gradients of the tensors above
    d_x,
    d_y,
    d_h,
    d_out,
    d_layer_input,
    d_logits,
    d_mix,
    d_pre,
    d_post,
    d_rms,
    d_weight,
    d_norm_weight,
    d_fn_norm_weight,
    d_bias,
    d_fn,
    d_scale,
    d_base,
    d_proj,
    d_sqsum,
    d_h_pre,
    d_h_post,
    d_h_res,
    d_phi_pre,
    d_phi_post,
    d_phi_res,
    d_alpha_pre,
    d_alpha_post,
    d_alpha_res,
    d_b_pre,
    d_b_post,
    d_b_res,
    d_next_pre,
    d_next_post,
    d_next_mix,
    // what kernels of one operator leave for each other in its workspace
    workspace,
    arranged_fn,
    coefficients,
    d_coefficients,
    d_row,
    norm,
    history,
    sums,
    totals,
    d_vector,
    x_map,
    tokens,
    rows,
    splits,
    x_token_stride,
    x_stream_stride,
    out_token_stride,
    out_stream_stride,
    pre_token_stride,
    post_token_stride,
    mix_token_stride,
    coefficients_token_stride,
    d_out_token_stride,
    d_out_stream_stride,
    d_x_token_stride,
    d_x_stream_stride,
    accumulate_inputs,
    accumulate_parameters,
    pre_is_static,
    post_is_static,
    mix_is_static,
    statics_are_wanted,
    affine_is_wanted,
    fn_is_wanted,
    pre_is_wanted,
    dense_token_stride,
    dense_stream_stride,
    zero,
    fn_size,
    tokens_per_row,
    width,
    first,
    length,
    groups,
};
inline constexpr std::size_t slot_count = static_cast<std::size_t>(slot::groups) + 1;
using slot_values = std::array<std::uint64_t, slot_count>;

std::string_view name_of(slot what) noexcept;

enum class access : std::uint8_t { in, out, in_out, scalar };
enum class element : std::uint8_t { data, weight, f32, fp8, bytes, i32, i64, tensor_map };

struct argument {
    slot parameter{};  ///< names it in the kernel's text
    slot what{};       ///< whose value it gets; `parameter`, but where an operator feeds the kernel from elsewhere
    mhc::codegen::access access{};
    mhc::codegen::element element{};
    bool optional = false;
    bool may_alias = false;              ///< may be another tensor: x and out of a post in place
    std::int64_t bytes_per_token = 0;    ///< times tokens, added to the value: where in the workspace it begins
    std::int64_t bytes_fixed = 0;        ///< added to that
    std::uint32_t offset = 0, size = 0;  ///< in the argument block, bytes
};

/// What a launch has room for: the longest argument block, of streams told to the copy engine, is some 280 bytes.
inline constexpr std::size_t argument_bytes_max = 320, arguments_max = 32;

/// groups(tokens) = min(ceil(ceil(tokens / tokens_per_unit) * items_per_unit / items_per_group), groups_max) + groups_more
struct grid_rule {
    std::int64_t tokens_per_unit = 1, items_per_unit = 1, items_per_group = 1, groups_max = 1;
    std::int64_t groups_more = 0;  ///< that have no tokens
    bool ignores_tokens = false;   ///< as for one token whatever their count
    std::int64_t groups(std::int64_t tokens) const noexcept;
};

/// Streams as the copy engine of a GPU is told of them: a kernel argument of 128 bytes that the driver makes at launch.
struct streams_map {
    jit::dtype type = jit::dtype::bf16;
    std::int32_t rows = 0;                          ///< of a token: its streams, or the one that all of them are
    std::int32_t box_channels = 0, box_tokens = 0;  ///< of all rows, that one copy brings
};

/// Which of an operator's launches a kernel is part of.
enum class part_of : std::uint8_t { all, one_pass, several_passes };

/// When a kernel may start, which waits by itself for the kernel ahead of it in the stream.
enum class overlap {
    none,      ///< when that has ended: it does not wait
    with_own,  ///< before, where that is of the same operator, and so writes only some of what this one reads
    with_any,  ///< before, whatever it is: until it has waited, this one reads parameters alone and writes nothing
};

struct kernel_plan {
    std::string family;          ///< "post": templates/post.in
    std::vector<argument> args;  ///< in the order of the kernel's parameters
    std::uint32_t argument_bytes = 0;
    std::int32_t block = 1;
    grid_rule grid;
    slot only_if = slot::tokens;       ///< launched where this one's value is not 0
    bool runs_without_tokens = false;  ///< a sum over no tokens is still to be stored
    std::int32_t lds_bytes = 0;        ///< given at launch, beside what the kernel's text declares
    std::int32_t cluster = 1;          ///< groups that reach each other's LDS; the grid is a multiple of it
    part_of launches = part_of::all;
    std::int64_t tokens_min = 0, tokens_max = INT64_MAX;  ///< of launches that have it
    streams_map map;                                      ///< of the argument that is a map, if there is one
    overlap may_overlap = overlap::none;
    std::map<std::string, std::string> bindings;  ///< holes of the stub, but for `kernel`
    std::int64_t hidden_dim = 0;                  ///< 0 where the kernel does not depend on it
    std::int32_t n_streams = 0;
    std::string dtype;
    std::string symbol_base;  ///< "mhc_post_n4_c4096_bf16"

    bool is_for(std::int64_t tokens) const noexcept { return tokens >= tokens_min && tokens <= tokens_max; }
};

/// Where the data of later tokens are: `bytes` further for each, times the value of `stride` where it is not slot::tokens.
struct token_step {
    slot what{};
    std::int64_t bytes = 0;
    slot stride = slot::tokens;
};

struct operator_plan {
    jit::operation op{};
    mhc::codegen::target on;
    std::vector<kernel_plan> kernels;  ///< in launch order
    std::int64_t workspace_bytes_per_token = 0, workspace_bytes_fixed = 0;
    bool runs_without_tokens = false;  ///< a kernel does
    std::int64_t one_pass_tokens = 0;  ///< from so many tokens on one kernel does it all, where its map can be made; 0: none
    std::int64_t slices = 1;  ///< into which a projection cuts the channels: with more splits, the further ones are zero
    std::int64_t chunk_tokens_max = 0;  ///< that the kernels take at a time, one kernel after the other; 0: any number
    std::vector<token_step> steps;      ///< from one chunk to the next, of all that tokens do not share

    /// Whether a launch of so many tokens has the kernel, where streams can be told to the copy engine.
    bool launches(const kernel_plan& k, std::int64_t tokens) const noexcept
    {
        const bool is_one_pass = one_pass_tokens != 0 && tokens >= one_pass_tokens;
        return k.is_for(tokens) && (k.launches == part_of::all || (k.launches == part_of::one_pass) == is_one_pass);
    }
    /// Tokens of each chunk of a launch but the last, which may have fewer: all, where they are one chunk.
    std::int64_t chunk_tokens(std::int64_t tokens) const noexcept;
};

/// Bytes that every row of a weight is a multiple of, as row_alignment_bytes is for data.
std::int32_t weight_alignment_bytes(const jit::layer_spec& spec) noexcept;

/// Kernels of the operator, their geometry and what feeds them. `tuned` changes no bit of a result.
/// Errors: bad_spec, unsupported_target.
jit::result<operator_plan> plan(const jit::layer_spec& spec, const target& on, jit::operation op,
                                const jit::tuning& tuned = {});

/// The kernel that reads rows_in and writes rows_out rows of hidden_dim channels a token and does nothing else.
/// Errors: bad_spec.
jit::result<kernel_plan> plan_floor(std::int64_t rows_in, std::int64_t rows_out, std::int64_t hidden_dim, jit::dtype type,
                                    const target& on);

}  // namespace mhc::codegen
