// tests/support/cases.hpp -- the numerical test cases: named points of the space of specs and launches, covered pairwise.
//
// A case is one choice for each factor (n, C, T, dtype, ...). For every operator the generator makes few cases in which
// every pair of values of two factors occurs together. It is deterministic: the list depends on nothing but the limits.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/args.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::testing {

/// How the rows of a [T, n, C] tensor lie in memory.
enum class stride_kind : std::uint8_t {
    dense,
    padded_token,     ///< a gap after each token
    padded_stream,    ///< a gap after each stream, and another after each token
    interleaved,      ///< [n, T, C]: the stream stride is larger than the token stride
    repeated_token,   ///< token stride 0: every token is the same (inputs only)
    repeated_stream,  ///< stream stride 0: every stream is the same (inputs only)
};

/// Which coefficients are static. For apply_mix_fwd and delayed_pre_fwd the first two; for post_fwd and its relatives all.
enum class coefficient_kind : std::uint8_t { per_token, all_static, post_static, mix_static };

/// One numerical test: a spec, a launch, and a seed for its numbers.
struct test_case {
    std::string name;  ///< unique; holds every choice, so that MHC_TEST_CASE=<part of it> runs it again
    jit::operation op = jit::operation::sinkhorn_fwd;
    jit::layer_spec spec;  ///< wanted: this operator alone
    std::int64_t tokens = 0;
    stride_kind x_strides = stride_kind::dense;
    stride_kind out_strides = stride_kind::dense;
    coefficient_kind coefficients = coefficient_kind::per_token;
    bool has_weight = true;     ///< rmsnorm_fwd and rmsnorm_matmul_fwd: false launches without the norm's weight
    std::int64_t rows = 0;      ///< pre_project_fwd: of fn; 0: all; rmsnorm_matmul_fwd: of weight
    std::int64_t splits = 1;    ///< of a projection in the caller's memory
    std::int64_t layers = 1;    ///< of multilayer_recompute
    bool has_bias = false;      ///< post_fwd, post_pre_fwd, post_head_fwd
    bool is_padded = false;     ///< with num_valid_tokens: tokens / 2
    float logit_spread = 1.0F;  ///< standard deviation of what becomes Sinkhorn's logits
    std::uint64_t seed = 0;
};

/// The factors. Each operator has some of them; the others keep their first value.
enum class factor : std::uint8_t {
    n_streams,
    hidden_dim,
    tokens,
    dtype,
    layout,
    preset,
    options,
    x_strides,
    out_strides,
    coefficients,
    weight_dtype,
    weight,
    alignment,
    rounding,
    projection,
    splits,
    rows,
    spread,
    sinkhorn,
    eps,
    iters,
    bias,
    padding,
    gradient,
    layers,
    quant,
};
inline constexpr int factor_count = 26;

/// The index of the value chosen for each factor.
using choice = std::array<int, factor_count>;

/// What a list of cases is made for: an operator, or Sinkhorn's own options, of which presets are only five.
struct case_group {
    jit::operation op = jit::operation::sinkhorn_fwd;
    bool sweeps_sinkhorn = false;

    std::string name() const;
};
std::vector<case_group> case_groups();

/// Which n and C there are: the fewer, the fewer cases.
enum class size_set : std::uint8_t {
    every,
    listed,  ///< C of 1, 7, 64, 127, 1280, 4096, with every n, and no tokens in the corner alone
    few,     ///< C of 1, 7, 127, 1280, 4096 and n of 1, 3, 4, 8, 32
};

/// How much a target can do. The largest case multiplies work_max numbers: m*n*C*T, where m is the rows of a
/// projection (and n more where it follows a mix), n where streams are mixed or copied, and 1 elsewhere.
struct case_limits {
    std::int64_t work_max = std::int64_t{1} << 31;
    int hidden_dim_max = 7168, tokens_max = 320;
    size_set sizes = size_set::every;
};

/// How many values a factor has in a group: 1 where it means nothing.
int value_count(const case_group& group, factor of);

/// The value's name, such as "C=127"; for messages.
std::string value_name(factor of, int value);

/// The multiplications of a choice, as case_limits counts them; where the layers or rows are not chosen yet, the fewest.
std::int64_t work_of(const case_group& group, const choice& of);

/// Whether n, C and T of a choice, where they are chosen (not negative), are within the limits.
bool is_within(const choice& of, const case_limits& limits);

/// Choices in which every possible pair of values occurs; a case of no tokens counts only for the pairs that T=0 is in.
std::vector<choice> pairwise_choices(const case_group& group, const case_limits& limits);

/// Every (n, C, T, dtype) with every preset, the other factors in rotation: for a run by hand.
std::vector<choice> product_choices(const case_group& group, const case_limits& limits);

/// The case of a choice.
test_case make_case(const case_group& group, const choice& of);

/// (n=32, C=1280, T=2), (n=4, C=7168, T=320), (n=4, C=127, T=33, strided) and T=0, whatever the pairs are, within the limits
/// of C and T. For gradients, which have as many results as weights, within that of work too.
std::vector<test_case> named_corners(const case_group& group, const case_limits& limits = {});

/// Pairwise cases, or those of the product, then the corners; none twice.
std::vector<test_case> all_cases(const case_group& group, const case_limits& limits, bool full_product);

/// The strides of a kind for `spec`, with gaps that keep rows aligned, and in elements even where they are dense.
jit::strides strides_of(stride_kind kind, const jit::layer_spec& spec, std::int64_t tokens);

/// The largest power of two that divides alignment_bytes and a row's bytes, counted here a second time.
std::int64_t row_alignment(const jit::layer_spec& spec);

std::string_view name_of(jit::operation op);
/// The operator that a gradient is one of; the operator itself where it is none.
jit::operation forward_of(jit::operation op);
bool is_gradient(jit::operation op);
std::string_view name_of(stride_kind kind);

}  // namespace mhc::testing
