// tests/support/cases.cpp -- the values of every factor, what they mean in a spec and a launch, and the names of cases.
#include "tests/support/cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

namespace mhc::testing {
namespace {

using jit::operation;

constexpr int n_streams_values[] = {1, 2, 3, 4, 5, 8, 16, 32};
constexpr int hidden_dim_values[] = {1, 7, 64, 127, 1280, 1920, 4096, 7168};
constexpr int tokens_values[] = {0, 1, 2, 33, 320};
constexpr jit::dtype dtype_values[] = {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32};
constexpr jit::dtype weight_dtype_values[] = {jit::dtype::fp32, jit::dtype::bf16, jit::dtype::fp16};
constexpr jit::mix_layout layout_values[] = {jit::mix_layout::out_in, jit::mix_layout::src_dst};
// The preset most people use comes first, and mhc_cu where a layer is its own.
constexpr jit::preset preset_values[] = {jit::preset::mhc_cu, jit::preset::paper, jit::preset::deepseek, jit::preset::liger,
                                         jit::preset::aiter_triton};
constexpr stride_kind stride_values[] = {stride_kind::dense,          stride_kind::padded_token,
                                         stride_kind::padded_stream,  stride_kind::interleaved,
                                         stride_kind::repeated_token, stride_kind::repeated_stream};
constexpr coefficient_kind coefficient_values[] = {coefficient_kind::per_token, coefficient_kind::all_static,
                                                   coefficient_kind::post_static, coefficient_kind::mix_static};
constexpr int alignment_values[] = {16, 4, 2};
constexpr jit::projection projection_values[] = {jit::projection::split, jit::projection::strict, jit::projection::tf32};
constexpr int splits_values[] = {1, 2, 3};
constexpr int layers_values[] = {1, 3};
/// Rows of fn: all n*n + 2n, or the n of a head, or one.
enum class row_kind : std::uint8_t { all, head, one };
/// Weights of norms, and the order of fn. Of operators without fn the first two.
enum class weight_kind : std::uint8_t { norm, none, both, fn_phi, phi };
/// Of the weight of rmsnorm_matmul_fwd and its gradient: tiles and a part of one, a tile, one.
constexpr std::int64_t matmul_rows(row_kind kind) { return kind == row_kind::all ? 37 : kind == row_kind::head ? 8 : 1; }
constexpr float spread_values[] = {1.0F, 0.1F, 6.0F};
/// A start, an order and an eps mode that go together: all of them, since each combination is an algorithm of its own.
struct sinkhorn_kind {
    jit::sinkhorn_start start;
    jit::sinkhorn_order order;
    jit::sinkhorn_eps_mode eps_mode;
};
constexpr int sinkhorn_kind_count = 28;  // 4 starts x 2 orders x 4 eps modes; softmax is a row step, so it needs row_col

constexpr sinkhorn_kind sinkhorn_kind_at(int index)
{
    using enum jit::sinkhorn_start;
    const auto eps_mode = static_cast<jit::sinkhorn_eps_mode>(index % 4);
    if (index >= 24) return {softmax, jit::sinkhorn_order::row_col, eps_mode};
    constexpr jit::sinkhorn_start starts[] = {jit::sinkhorn_start::exp, log, identity};
    return {starts[index / 8], static_cast<jit::sinkhorn_order>(index / 4 % 2), eps_mode};
}
// Large ones too: an eps that is added in the wrong place, or not at all, must show.
constexpr float eps_values[] = {1e-6F, 0.0F, 0.02F};
constexpr int iters_values[] = {20, 0, 1, 2, 7};

constexpr const char* const dtype_names[] = {"fp32", "fp16", "bf16"};
constexpr const char* const layout_names[] = {"out_in", "src_dst"};
constexpr const char* const preset_names[] = {"paper", "mhc_cu", "deepseek", "liger", "aiter_triton"};
constexpr const char* const coefficient_names[] = {"per_token", "static", "post_static", "mix_static"};
constexpr const char* const projection_names[] = {"split", "strict", "tf32"};
constexpr const char* const weight_names[] = {"weight", "no_weight", "both_weights", "fn_weight phi", "phi"};
constexpr const char* const row_names[] = {"all_rows", "head_rows", "one_row"};
constexpr const char* const quant_names[] = {"unquantised", "fp8_row", "fp8_block128"};  // as the enum has them
constexpr const char* const start_names[] = {"exp", "log", "softmax", "identity"};
constexpr const char* const order_names[] = {"row_col", "col_row"};
constexpr const char* const eps_mode_names[] = {"none", "add", "add_both", "thresh"};

template <class Enum, std::size_t Size>
const char* named(const char* const (&names)[Size], Enum value)
{
    return names[static_cast<std::size_t>(value)];
}

using jit::operations;

constexpr operations layers = {operation::static_layer_fwd, operation::dynamic_layer_fwd};
constexpr operations with_projection = {
    operation::pre_fwd,         operation::dynamic_layer_fwd, operation::post_pre_fwd,    operation::head_fwd,
    operation::pre_project_fwd, operation::broadcast_pre_fwd, operation::delayed_pre_fwd, operation::post_head_fwd};
constexpr operations with_splits = {operation::pre_project_fwd, operation::split_mixes_fwd, operation::coeffs_fwd,
                                    operation::pre_big_fuse};
constexpr operations with_post = {operation::post_fwd, operation::post_pre_fwd, operation::post_head_fwd,
                                  operation::multilayer_recompute};
constexpr operations row_norms = {operation::rmsnorm_fwd, operation::rmsnorm_matmul_fwd};
constexpr operations heads = {operation::head_fwd, operation::post_head_fwd};
constexpr operations with_sinkhorn =
    layers | operations{operation::sinkhorn_fwd,   operation::pre_fwd,      operation::post_pre_fwd,
                        operation::coeffs_fwd,     operation::pre_big_fuse, operation::broadcast_pre_fwd,
                        operation::delayed_pre_fwd};
constexpr operations with_options = with_sinkhorn | heads | row_norms | operations{operation::split_mixes_fwd};
constexpr operations without_data = {operation::sinkhorn_fwd, operation::split_mixes_fwd, operation::coeffs_fwd};

bool is_layer(operation op) { return layers.contains(op); }
bool projects(operation op) { return with_projection.contains(op); }
bool reads_streams(operation op)
{
    if (op == operation::broadcast_pre_fwd) return false;
    return op == operation::apply_mix_fwd || op == operation::pre_big_fuse || with_post.contains(op) || projects(op) ||
           is_layer(op);
}
bool writes_streams(operation op)
{
    if (op == operation::post_head_fwd) return false;
    return op == operation::expand_fwd || with_post.contains(op) || is_layer(op);
}
bool takes_norm_weight(operation op) { return jit::operations_with_norm_weight.contains(op); }

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

std::string_view name_of(operation op)
{
    static constexpr std::string_view names[] = {"sinkhorn_fwd",
                                                 "rmsnorm_fwd",
                                                 "apply_mix_fwd",
                                                 "expand_fwd",
                                                 "post_fwd",
                                                 "pre_fwd",
                                                 "static_layer_fwd",
                                                 "dynamic_layer_fwd",
                                                 "post_pre_fwd",
                                                 "head_fwd",
                                                 "pre_project_fwd",
                                                 "split_mixes_fwd",
                                                 "coeffs_fwd",
                                                 "pre_big_fuse",
                                                 "sinkhorn_bwd",
                                                 "rmsnorm_bwd",
                                                 "apply_mix_bwd",
                                                 "expand_bwd",
                                                 "post_bwd",
                                                 "pre_bwd",
                                                 "static_layer_bwd",
                                                 "dynamic_layer_bwd",
                                                 "post_pre_bwd",
                                                 "head_bwd",
                                                 "pre_project_bwd",
                                                 "split_mixes_bwd",
                                                 "coeffs_bwd",
                                                 "broadcast_pre_fwd",
                                                 "delayed_pre_fwd",
                                                 "post_head_fwd",
                                                 "multilayer_recompute",
                                                 "rmsnorm_matmul_fwd",
                                                 "rmsnorm_matmul_bwd",
                                                 "post_head_bwd"};
    return names[static_cast<std::size_t>(op)];
}

operation forward_of(operation op)
{
    const std::string_view name = name_of(op);
    if (!name.ends_with("_bwd")) return op;
    const std::string forward = std::string(name.substr(0, name.size() - 4)) + "_fwd";
    int found = 0;
    while (name_of(static_cast<operation>(found)) != forward) ++found;
    return static_cast<operation>(found);
}

bool is_gradient(operation op) { return forward_of(op) != op; }

std::string_view name_of(stride_kind kind)
{
    static constexpr std::string_view names[] = {"dense",       "padded_token",   "padded_stream",
                                                 "interleaved", "repeated_token", "repeated_stream"};
    return names[static_cast<std::size_t>(kind)];
}

std::string case_group::name() const { return std::string(name_of(op)) + (sweeps_sinkhorn ? " options" : ""); }

std::vector<case_group> case_groups()
{
    std::vector<case_group> groups;
    for (int op = 0; op < jit::operation_count; ++op) groups.push_back({.op = static_cast<operation>(op)});
    groups.push_back({.op = operation::sinkhorn_fwd, .sweeps_sinkhorn = true});
    groups.push_back({.op = operation::sinkhorn_bwd, .sweeps_sinkhorn = true});
    return groups;
}

int value_count(const case_group& group, factor of)
{
    const operation op = forward_of(group.op);
    const auto all_if = [](bool meaningful, const auto& values) {
        return meaningful ? static_cast<int>(std::size(values)) : 1;
    };
    const bool takes_bias = with_post.contains(op);
    const bool has_weights = takes_bias || row_norms.contains(op) || takes_norm_weight(op) || projects(op) || is_layer(op);
    const bool sweeps = group.sweeps_sinkhorn;
    switch (of) {
        case factor::n_streams:
            return all_if(true, n_streams_values);
        case factor::hidden_dim:
            return all_if(!sweeps, hidden_dim_values);
        case factor::tokens:
            return all_if(true, tokens_values);
        case factor::dtype:
            return all_if(!sweeps, dtype_values);
        case factor::layout:
            return all_if(!sweeps, layout_values);
        case factor::preset:
            return all_if(!sweeps, preset_values);
        case factor::options:
            return !sweeps && with_options.contains(op) ? 2 : 1;
        case factor::x_strides:
            return all_if(reads_streams(op), stride_values);
        case factor::out_strides:
            return writes_streams(op) ? 4 : 1;  // an output's rows may not repeat
        case factor::coefficients:
            return with_post.contains(op) ? 4 : op == operation::apply_mix_fwd || op == operation::delayed_pre_fwd ? 2 : 1;
        case factor::weight_dtype:
            return all_if(has_weights, weight_dtype_values);
        case factor::weight:
            return jit::operations_with_fn.contains(op) ? 5 : row_norms.contains(op) || takes_norm_weight(op) ? 2 : 1;
        case factor::alignment:
            return all_if(!without_data.contains(op), alignment_values);
        case factor::rounding:
            return is_layer(op) && !is_gradient(group.op) ? 2 : 1;
        case factor::projection:
            return all_if(projects(op), projection_values);
        case factor::splits:
            return all_if(with_splits.contains(op), splits_values);
        case factor::rows:
            return op == operation::pre_project_fwd || op == operation::rmsnorm_matmul_fwd ? 3 : 1;
        case factor::spread:
            return all_if(op == operation::sinkhorn_fwd, spread_values);
        case factor::sinkhorn:
            return sweeps ? sinkhorn_kind_count : 1;
        case factor::eps:
            return all_if(sweeps, eps_values);
        case factor::iters:
            return all_if(sweeps, iters_values);
        case factor::bias:
            return takes_bias ? 2 : 1;
        case factor::padding:
            return sweeps ? 1 : 2;
        case factor::gradient:
            return group.op == operation::sinkhorn_bwd && !sweeps ? 2 : 1;
        case factor::layers:
            return all_if(op == operation::multilayer_recompute, layers_values);
        case factor::quant:
            return all_if(jit::operations_with_layer_input_quant.contains(group.op) && !is_gradient(group.op), quant_names);
    }
    return 1;
}

std::string value_name(factor of, int value)
{
    const auto i = static_cast<std::size_t>(value);
    switch (of) {
        case factor::n_streams:
            return fmt::format("n={}", n_streams_values[i]);
        case factor::hidden_dim:
            return fmt::format("C={}", hidden_dim_values[i]);
        case factor::tokens:
            return fmt::format("T={}", tokens_values[i]);
        case factor::dtype:
            return named(dtype_names, dtype_values[i]);
        case factor::layout:
            return named(layout_names, layout_values[i]);
        case factor::preset:
            return named(preset_names, preset_values[i]);
        case factor::options:
            return value == 0 ? "preset_options" : "changed_options";
        case factor::x_strides:
            return fmt::format("x={}", name_of(stride_values[i]));
        case factor::out_strides:
            return fmt::format("out={}", name_of(stride_values[i]));
        case factor::coefficients:
            return fmt::format("coef={}", named(coefficient_names, coefficient_values[i]));
        case factor::weight_dtype:
            return fmt::format("w={}", named(dtype_names, weight_dtype_values[i]));
        case factor::weight:
            return named(weight_names, static_cast<weight_kind>(value));
        case factor::alignment:
            return fmt::format("align={}", alignment_values[i]);
        case factor::rounding:
            return value == 0 ? "exact" : "reference_rounding";
        case factor::projection:
            return named(projection_names, projection_values[i]);
        case factor::splits:
            return fmt::format("S={}", splits_values[i]);
        case factor::rows:
            return named(row_names, static_cast<row_kind>(value));
        case factor::spread:
            return fmt::format("spread={}", spread_values[i]);
        case factor::sinkhorn: {
            const sinkhorn_kind kind = sinkhorn_kind_at(value);
            return fmt::format("{} {} {}", named(start_names, kind.start), named(order_names, kind.order),
                               named(eps_mode_names, kind.eps_mode));
        }
        case factor::eps:
            return fmt::format("eps={}", eps_values[i]);
        case factor::iters:
            return fmt::format("iters={}", iters_values[i]);
        case factor::bias:
            return value == 0 ? "no_bias" : "bias";
        case factor::padding:
            return value == 0 ? "all_tokens" : "padded";
        case factor::gradient:
            return value == 0 ? "of_steps" : "of_limit";
        case factor::layers:
            return fmt::format("L={}", layers_values[i]);
        case factor::quant:
            return quant_names[i];
    }
    return "?";
}

bool is_within(const choice& of, const case_limits& limits)
{
    const int hidden_dim = of[static_cast<std::size_t>(factor::hidden_dim)];
    const int tokens = of[static_cast<std::size_t>(factor::tokens)];
    const int n_streams = of[static_cast<std::size_t>(factor::n_streams)];
    const auto is_one_of = [](int value, std::initializer_list<int> values) {
        return std::find(values.begin(), values.end(), value) != values.end();
    };
    if (hidden_dim >= 0 && limits.sizes != size_set::every && hidden_dim_values[hidden_dim] == 1920) return false;
    if (tokens == 0 && limits.sizes == size_set::listed) return false;
    if (limits.sizes == size_set::few) {
        if (n_streams >= 0 && !is_one_of(n_streams_values[n_streams], {1, 3, 4, 8, 32})) return false;
        if (hidden_dim >= 0 && is_one_of(hidden_dim_values[hidden_dim], {64, 7168})) return false;
    }
    return (hidden_dim < 0 || hidden_dim_values[hidden_dim] <= limits.hidden_dim_max) &&
           (tokens < 0 || tokens_values[tokens] <= limits.tokens_max);
}

std::int64_t work_of(const case_group& group, const choice& of)
{
    const auto index = [&](factor f) { return static_cast<std::size_t>(of[static_cast<std::size_t>(f)]); };
    const std::int64_t n = n_streams_values[index(factor::n_streams)];
    const operation op = forward_of(group.op);
    const bool mixes =
        op == operation::post_fwd || op == operation::static_layer_fwd || op == operation::multilayer_recompute;
    const bool copies = op == operation::expand_fwd || op == operation::apply_mix_fwd;
    std::int64_t m = mixes || copies || op == operation::pre_big_fuse || heads.contains(op) ? n : 1;
    if (projects(op) && !heads.contains(op)) m = n * n + 2 * n;
    if (op == operation::post_pre_fwd || op == operation::post_head_fwd) m += n;
    if (op == operation::rmsnorm_matmul_fwd) m = matmul_rows(static_cast<row_kind>(index(factor::rows)));
    const int layers = of[static_cast<std::size_t>(factor::layers)];
    if (layers >= 0) m *= layers_values[layers];
    return m * n * hidden_dim_values[index(factor::hidden_dim)] * tokens_values[index(factor::tokens)];
}

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
    if (forward_of(group.op) == operation::rmsnorm_matmul_fwd) made.rows = matmul_rows(rows);
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
    spec.norm_weight = takes_norm_weight(forward_of(group.op)) && made.has_weight;
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
