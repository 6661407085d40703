// tests/support/cases.cpp -- what a choice of values means in a spec and a launch, and the lists of cases.
#include "tests/support/cases.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include "tests/reference/options.hpp"
#include "tests/support/case_values.hpp"
#include "tests/support/random.hpp"

namespace mhc::testing {

using namespace case_values;

namespace {

/// An option of every kind moved off its preset, so that one read for another shows (norm_eps for rms_eps, say).
void change_options(jit::layer_options& options)
{
    options.rms_eps = 3e-3F;
    options.norm_eps = 0.05F;
    options.pre_eps = 0.02F;
    options.post_mult = 1.5F;
    options.sinkhorn_iters = 3;
}

/// The limit's gradient, of an iteration that has converged to it.
void make_implicit(test_case& of)
{
    jit::layer_options& options = of.spec.options;
    options.gradient = jit::sinkhorn_gradient::implicit;
    options.sinkhorn_iters = 200;
    of.logit_spread = std::min(of.logit_spread, 1.0F);
    using enum jit::sinkhorn_eps_mode;
    if (options.eps_mode == add || options.eps_mode == add_both) options.eps_mode = none;
}

}  // namespace

test_case make_case(const case_group& group, const choice& of)
{
    const auto index = [&](factor f) { return static_cast<std::size_t>(of[static_cast<std::size_t>(f)]); };
    test_case made;
    made.op = group.op;
    made.name = group.name();
    for (int f = 0; f < factor_count; ++f) {
        const auto which = static_cast<factor>(f);
        if (value_count(group, which) > 1) made.name.append(" ").append(value_name(which, static_cast<int>(index(which))));
    }
    made.seed = seed_of(made.name);
    made.tokens = tokens_values[index(factor::tokens)];
    made.x_strides = stride_values[index(factor::x_strides)];
    made.out_strides = stride_values[index(factor::out_strides)];
    made.coefficients = coefficient_values[index(factor::coefficients)];
    made.splits = splits_values[index(factor::splits)];
    made.layers = layers_values[index(factor::layers)];
    const auto rows = static_cast<row_kind>(index(factor::rows));
    made.rows = rows == row_kind::all ? 0 : rows == row_kind::one ? 1 : n_streams_values[index(factor::n_streams)];
    if (forward_of(group.op) == jit::operation::rmsnorm_matmul_fwd) made.rows = matmul_rows(rows);
    made.logit_spread = spread_values[index(factor::spread)];
    const auto weights = static_cast<weight_kind>(index(factor::weight));
    made.has_weight = weights == weight_kind::norm || weights == weight_kind::both;
    made.has_bias = index(factor::bias) == 1;
    made.is_padded = index(factor::padding) == 1;

    jit::layer_spec& spec = made.spec;
    spec.n_streams = n_streams_values[index(factor::n_streams)];
    spec.hidden_dim = hidden_dim_values[index(factor::hidden_dim)];
    spec.dtype = dtype_values[index(factor::dtype)];
    spec.weight_dtype = weight_dtype_values[index(factor::weight_dtype)];
    spec.options = reference::options_of(preset_values[index(factor::preset)]);
    if (index(factor::options) == 1) change_options(spec.options);
    if (group.sweeps_sinkhorn) {
        const sinkhorn_kind kind = sinkhorn_kind_at(of[static_cast<std::size_t>(factor::sinkhorn)]);
        spec.options.start = kind.start;
        spec.options.order = kind.order;
        spec.options.eps_mode = kind.eps_mode;
        spec.options.sinkhorn_eps = eps_values[index(factor::eps)];
        spec.options.sinkhorn_iters = iters_values[index(factor::iters)];
    } else {
        spec.options.layout = layout_values[index(factor::layout)];
    }
    spec.options.arithmetic = projection_values[index(factor::projection)];
    spec.options.reference_rounding = index(factor::rounding) == 1;
    if (index(factor::gradient) == 1) make_implicit(made);
    spec.norm_weight = jit::operations_with_norm_weight.contains(forward_of(group.op)) && made.has_weight;
    spec.fn_norm_weight = weights == weight_kind::both || weights == weight_kind::fn_phi;
    if (weights == weight_kind::fn_phi || weights == weight_kind::phi) spec.fn_order = jit::fn_order::phi;
    spec.layer_input_quant = static_cast<jit::layer_input_quant>(index(factor::quant));
    spec.alignment_bytes = alignment_values[index(factor::alignment)];
    spec.wanted = jit::operations{group.op};
    return made;
}

std::vector<test_case> named_corners(const case_group& group, const case_limits& limits)
{
    const auto position = [](const auto& values, const auto& value) {
        return static_cast<int>(std::find(std::begin(values), std::end(values), value) - std::begin(values));
    };
    std::vector<test_case> corners;
    const auto add = [&](int n, int hidden_dim, int tokens, jit::dtype type, bool is_strided) {
        choice made{};
        const auto set = [&](factor f, int value) {
            if (value < value_count(group, f)) made[static_cast<std::size_t>(f)] = value;
        };
        set(factor::n_streams, position(n_streams_values, n));
        set(factor::hidden_dim, position(hidden_dim_values, hidden_dim));
        set(factor::tokens, position(tokens_values, tokens));
        set(factor::dtype, position(dtype_values, type));
        if (is_strided) {
            set(factor::x_strides, static_cast<int>(stride_kind::padded_stream));
            set(factor::out_strides, static_cast<int>(stride_kind::interleaved));
        }
        const test_case corner = make_case(group, made);
        if (corner.spec.hidden_dim > limits.hidden_dim_max || corner.tokens > limits.tokens_max) return;
        if (is_gradient(group.op) && work_of(group, made) > limits.work_max) return;
        corners.push_back(corner);
    };
    for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp32}) {
        add(32, 1280, 2, type, false);
        add(4, 7168, 320, type, false);
        add(4, 127, 33, type, true);
    }
    add(4, 1280, 0, jit::dtype::bf16, false);
    return corners;
}

std::vector<test_case> all_cases(const case_group& group, const case_limits& limits, bool full_product)
{
    std::vector<test_case> cases;
    for (const choice& of : full_product ? product_choices(group, limits) : pairwise_choices(group, limits)) {
        cases.push_back(make_case(group, of));
    }
    for (test_case& corner : named_corners(group, limits)) cases.push_back(std::move(corner));
    std::set<std::string> seen;
    std::erase_if(cases, [&](const test_case& of) { return !seen.insert(of.name).second; });
    return cases;
}

std::int64_t row_alignment(const jit::layer_spec& spec)
{
    std::int64_t bytes = spec.alignment_bytes;
    while (spec.hidden_dim * jit::size_of(spec.dtype) % bytes != 0) bytes /= 2;
    return bytes;
}

jit::strides strides_of(stride_kind kind, const jit::layer_spec& spec, std::int64_t tokens)
{
    const std::int64_t n = spec.n_streams;
    const std::int64_t c = spec.hidden_dim;
    const std::int64_t gap = 3 * std::max<std::int64_t>(1, row_alignment(spec) / jit::size_of(spec.dtype));
    switch (kind) {
        case stride_kind::dense:
            return {n * c, c};
        case stride_kind::padded_token:
            return {n * c + gap, c};
        case stride_kind::padded_stream:
            return {n * (c + gap) + gap, c + gap};
        case stride_kind::interleaved:
            return {c, std::max<std::int64_t>(tokens, 1) * c};
        case stride_kind::repeated_token:
            return {0, c};
        case stride_kind::repeated_stream:
            return {c, 0};
    }
    return {n * c, c};
}

}  // namespace mhc::testing
