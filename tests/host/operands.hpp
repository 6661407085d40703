// tests/host/operands.hpp -- the tensors of one launch by name: inputs with their numbers, outputs with their place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/gradient_args.hpp>
#include <mhc/jit/spec.hpp>

#include "tests/support/cases.hpp"

namespace mhc::testing {

/// Rows of `width` elements at token * token_stride + stream * stream_stride, in elements.
struct placement {
    std::int64_t tokens = 1, streams = 1, width = 1;
    std::int64_t token_stride = 0, stream_stride = 0;

    std::int64_t row(std::int64_t token, std::int64_t stream) const { return token * token_stride + stream * stream_stride; }
    /// Elements from the first to the last one used; 0 without tokens.
    std::int64_t extent() const;
    /// Elements of the tensor, wherever they lie.
    std::int64_t size() const { return tokens * streams * width; }
};

struct operand {
    std::string name;  ///< as in <mhc/jit/args.hpp>
    jit::dtype type = jit::dtype::fp32;
    bool is_output = false;
    bool is_per_token = false;  ///< an axis is tokens: the first, or the second of [S, T, ...], whose streams are splits
    bool is_streams = false;    ///< [T, n, C], placed by the launch's strides
    bool is_fp8 = false;        ///< an output of bytes of fp8 e4m3, which are aligned as `type` is
    placement place;
    /// Of an input: what memory holds, already rounded to `type`; NaN in the gaps between rows. Empty for an output, but for
    /// a dense one that a launch adds to.
    std::vector<float> values;

    std::int64_t element_bytes() const { return is_fp8 ? 1 : jit::size_of(type); }
    /// The tensor as dense [tokens, streams, width].
    std::vector<float> dense() const;
};

/// The operands of one launch.
struct operands {
    jit::operation op = jit::operation::sinkhorn_fwd;
    std::int64_t tokens = 0;
    jit::strides x_strides, out_strides;  ///< of a gradient's d_x and d_out too: out_strides
    bool pre_is_static = false,           ///< of delayed_pre_fwd: previous_pre
        post_is_static = false, mix_is_static = false;
    std::int64_t rows = 0, splits = 1;
    std::int64_t layers = 1;         ///< of multilayer_recompute, whose operands of layer l > 0 are called NAME@l
    std::int64_t valid_tokens = -1;  ///< what num_valid_tokens says; -1 where it is not given
    jit::accumulation accumulate;    ///< what a gradient adds to what is there
    std::vector<operand> list;

    const operand* find(std::string_view name) const;
    const operand& at(std::string_view name) const;
    operand& at(std::string_view name);
};

/// The operands of a case. Numbers depend on the case's seed only. Every token has a scale of its own, so that one token's
/// norm used for another shows, and no operand is symmetric in its indices.
operands make_operands(const test_case& of);

/// The same launch for some of its tokens, in the order given, densely or with other strides.
operands select_tokens(const operands& from, const jit::layer_spec& spec, const std::vector<std::int64_t>& tokens,
                       stride_kind x_strides, stride_kind out_strides);

/// "pre" of layer 0, "pre@2" of layer 2.
std::string of_layer(std::string_view name, std::int64_t layer);

/// Of a padded launch the part that is computed: the first valid tokens of every operand, where they lie.
operands valid_part(const operands& of);

/// Puts dense numbers into place, with NaN in the gaps.
std::vector<float> placed(const std::vector<float>& dense, const placement& place);

}  // namespace mhc::testing
