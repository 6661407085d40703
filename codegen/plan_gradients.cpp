// codegen/plan_gradients.cpp -- the kernels of the gradients: tile sizes, blocks and grids.
#include "codegen/plan_gradients.hpp"

#include <fmt/format.h>

#include "codegen/plan_parts.hpp"

namespace mhc::codegen {
namespace {

std::string flag(bool v) { return v ? "true" : "false"; }

void add_weight(const facts& f, kernel_plan& k)
{
    k.bindings["weight_align"] = fmt::to_string(weight_alignment_bytes(f.spec));
}

/// A work item is some tokens and a chunk of channels.
kernel_plan plan_slices(const facts& f, const std::string& family, const feeds& from, std::int64_t tokens)
{
    kernel_plan k = plan_chunks(f, family, arguments_of(family, from));
    k.bindings["slice"] = fmt::to_string(f.project_slice);  // whose split a gradient belongs to
    k.grid.tokens_per_unit = tokens;
    return k;
}

/// A limit's gradient keeps no step.
bool is_implicit(const facts& f) { return f.spec.options.gradient == jit::sinkhorn_gradient::implicit; }

}  // namespace

std::int64_t gradient_floats(const facts& f) { return balance_floats(f) + f.n * f.n + f.m; }

std::int64_t history_room(const facts& f, std::int64_t floats)
{
    constexpr std::int64_t floats_max = 10240;  // of a work-group, which may declare 48 KB
    const std::int64_t lanes = matrix_lanes(f);
    std::int64_t room = history_floats(f);
    if (f.is_host || room == 0) return 0;
    // Lanes that share a matrix follow those of the one before in LDS' 32 banks.
    while ((floats + room) % 32 != lanes % 32) ++room;
    return 64 / lanes * (floats + room) <= floats_max ? room : 0;
}

std::int64_t product_slice(const facts& f)
{
    return f.is_host ? f.slice : std::max<std::int64_t>(512, round_up(ceil_div(f.C, 64), 512));
}

kernel_plan plan_products(const facts& f, const std::string& family, const feeds& from, std::int64_t sums)
{
    kernel_plan k = start(f, family, arguments_of(family, from), f.row_block());
    bindings rows = rows_of(f, round_up(f.C, f.vector));
    const std::int64_t slice = product_slice(f);
    rows["slice"] = fmt::to_string(slice);
    add(k, rows);
    constexpr std::int64_t totals = 20;  // channel_sums_max in templates/device/products.hpp
    k.bindings["lds_floats"] = fmt::to_string(totals + ceil_div(f.C, slice) * sums);
    return k;
}

std::int64_t history_floats(const facts& f)
{
    if (is_implicit(f)) return 0;
    const jit::layer_options& o = f.spec.options;
    using jit::sinkhorn_eps_mode, jit::sinkhorn_start;
    // As sinkhorn_steps in templates/device/sinkhorn_steps.hpp counts them.
    const bool adds = o.eps_mode == sinkhorn_eps_mode::add || o.eps_mode == sinkhorn_eps_mode::add_both;
    const bool is_softmax = o.start == sinkhorn_start::softmax;
    const bool stays_in_logs = o.start == sinkhorn_start::log || (o.start == sinkhorn_start::exp && adds);
    const bool starts_with_entries = o.start == sinkhorn_start::identity || (is_softmax && adds);
    const std::int64_t iterations = o.sinkhorn_iters, first = std::min<std::int64_t>(iterations, 1);
    const std::int64_t on_logits = starts_with_entries ? 0
                                   : is_softmax        ? 1 + first
                                                       : 2 * (stays_in_logs ? iterations : first);
    const std::int64_t all = is_softmax ? (iterations == 0 ? 0 : 2 * iterations - 1) + (adds ? 0 : 1) : 2 * iterations;
    return on_logits * 3 * f.n + (all - on_logits) * f.n;
}

kernel_plan plan_expand_bwd(const facts& f)
{
    kernel_plan k = plan_chunks(f, "expand_bwd", arguments_of("expand_bwd"));
    finish(f, k, true);
    return k;
}

kernel_plan plan_apply_mix_bwd(const facts& f, const feeds& from)
{
    kernel_plan k = plan_products(f, "apply_mix_bwd", from, std::min<std::int64_t>(f.n, 8));
    finish(f, k, true);
    return k;
}

/// As product_tile in templates/device/mix_gradient.hpp.
static std::int64_t mix_products(const facts& f)
{
    return std::min<std::int64_t>(f.n, 4) * std::min<std::int64_t>(f.n + 1, 5);
}

/// As norm_products in templates/device/norm_gradient.hpp.
static std::int64_t norm_products(const facts& f) { return 2 + 2 * std::min<std::int64_t>(f.n, 4); }

kernel_plan plan_post_bwd(const facts& f, const feeds& from)
{
    kernel_plan k = plan_products(f, "post_bwd", from, mix_products(f));
    add_weight(f, k);
    k.bindings["layout"] = to_string(f.spec.options.layout);
    finish(f, k, true);
    return k;
}

kernel_plan plan_bias_sums(const facts& f, const feeds& from)
{
    kernel_plan k = plan_slices(f, "bias_sums", from, tokens_of_weight_sum);
    const bool is_f32 = std::any_of(k.args.begin(), k.args.end(), [](const argument& arg) {
        return arg.parameter == slot::d_out && arg.element == element::f32;
    });
    finish(f, k, true, true, is_f32 ? jit::dtype::fp32 : f.spec.dtype);
    return k;
}

kernel_plan plan_sinkhorn_bwd(const facts& f, const feeds& from)
{
    const std::int64_t floats = balance_floats(f) + (is_implicit(f) ? 2 : 1) * f.n * f.n;
    const std::int64_t room = history_room(f, floats);
    kernel_plan k = plan_matrices(f, "sinkhorn_bwd", arguments_of("sinkhorn_bwd", from), floats + room);
    k.bindings["history_room"] = fmt::to_string(room);
    add_sinkhorn_gradient(f, k.bindings);
    finish(f, k, false);
    return k;
}

kernel_plan plan_rmsnorm_terms(const facts& f, const feeds& from)
{
    kernel_plan k = plan_products(f, "rmsnorm_terms", from, 2);
    add_weight(f, k);
    k.bindings["norm_eps"] = real(f.norm_eps());
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_rmsnorm_bwd(const facts& f, const feeds& from)
{
    kernel_plan k = plan_slices(f, "rmsnorm_bwd", from, tokens_of_weight_sum);
    add_weight(f, k);
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_matmul_input_bwd(const facts& f, const feeds& from)
{
    constexpr std::int64_t tokens = 4;
    kernel_plan k = plan_slices(f, "matmul_input_bwd", from, tokens);
    add_weight(f, k);
    add(k, {{"tile_tokens", fmt::to_string(tokens)}, {"rows_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_matmul_weight_bwd(const facts& f, const feeds& from)
{
    constexpr std::int64_t rows = 4;
    kernel_plan k = plan_chunks(f, "matmul_weight_bwd", arguments_of("matmul_weight_bwd", from));
    // As many groups as a square weight has use for: how many rows it has only a launch knows.
    k.grid.ignores_tokens = k.runs_without_tokens = true;
    k.grid.items_per_unit *= ceil_div(f.C, rows);
    add_weight(f, k);
    add(k, {{"tile_rows", fmt::to_string(rows)}, {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_pre_products(const facts& f, const feeds& from)
{
    const bool has_norm = f.spec.norm_weight;
    kernel_plan k = plan_products(f, "pre_products", from, has_norm ? norm_products(f) : std::min<std::int64_t>(f.n, 8));
    add_weight(f, k);
    add(k, {{"norm_eps", real(f.norm_eps())}, {"has_norm", flag(has_norm)}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_layer_products(const facts& f, const feeds& from)
{
    kernel_plan k = plan_products(f, "layer_products", from, std::max(norm_products(f), mix_products(f)));
    add_weight(f, k);
    add(k, {{"norm_eps", real(f.norm_eps())}, {"layout", std::string(to_string(f.spec.options.layout))}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_coefficients_bwd(const facts& f, const std::string& family, const feeds& from, bool is_stage)
{
    const bool has_history = family == "coefficients_bwd" || family == "dynamic_coefficients_bwd";
    // The projection, and what scale's and base's gradients are sums of.
    const bool is_head = family == "head_coefficients_bwd";
    const std::int64_t rows = is_head ? f.n : f.m, affine = rows + scales_of(is_head);
    const std::int64_t floats = gradient_floats(f) + rows + affine;
    const std::int64_t room = has_history ? history_room(f, floats) : 0;
    kernel_plan k = plan_matrices(f, family, arguments_of(family, from), floats + room);
    if (has_history) k.bindings["history_room"] = fmt::to_string(room);
    add_sigmoids(f, k, !is_head);
    k.bindings.erase("pre_eps");  // a constant has no gradient
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"rms_eps", real(f.spec.options.rms_eps)},
            {"d_splits", is_stage ? "splits" : "1"}});
    if (has_history) add_sinkhorn_gradient(f, k.bindings);
    finish(f, k, false);
    k.hidden_dim = f.C;
    return k;
}

kernel_plan plan_static_coefficients_bwd(const facts& f, const feeds& from)
{
    kernel_plan k =
        plan_matrices(f, "static_coefficients_bwd", arguments_of("static_coefficients_bwd", from), gradient_floats(f));
    k.grid.ignores_tokens = k.runs_without_tokens = true;
    add_sigmoids(f, k, true);
    k.bindings.erase("pre_eps");
    add_sinkhorn_gradient(f, k.bindings);
    k.bindings["tokens_per_row"] = fmt::to_string(tokens_of_sum);
    finish(f, k, false);
    return k;
}

kernel_plan plan_input_bwd(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_slices(f, family, from, tokens_of_weight_sum);
    add_weight(f, k);
    // Clang 19 unrolls the loops over 8 streams and asks for all of a tile's at once: too much for waves of 32.
    const bool is_full = f.wave == 32 && f.n == 8;
    k.bindings["tile_tokens"] = family == "static_input_bwd" || is_full ? "1" : f.is_host ? "2" : "4";
    if (family == "pre_input_bwd" || family == "post_pre_input_bwd") k.bindings["has_norm"] = flag(f.spec.norm_weight);
    const bool is_layer = family == "static_input_bwd" || family == "dynamic_input_bwd";
    if (!is_layer) k.bindings["fn_dtype"] = to_string(f.arranges_fn() ? jit::dtype::fp32 : f.spec.weight_dtype);
    if (is_layer) k.bindings["layout"] = to_string(f.spec.options.layout);
    add(k, {{"dtype", std::string(to_string(f.spec.dtype))}, {"weight_dtype", std::string(to_string(f.spec.weight_dtype))}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_matrix_sums(const facts& f, const feeds& from, std::int64_t rows_max)
{
    kernel_plan k = plan_slices(f, "matrix_sums", from, tokens_of_matrix_sum);
    const std::int64_t tile = std::min<std::int64_t>(8, rows_max);
    k.grid.items_per_unit *= f.n * ceil_div(rows_max, tile);
    add(k, {{"tile_rows", fmt::to_string(tile)},
            {"rows_max", fmt::to_string(rows_max)},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_row_bwd(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_slices(f, family, from, tokens_of_weight_sum);
    add_weight(f, k);
    add(k, {{"dtype", std::string(to_string(f.spec.dtype))}, {"weight_dtype", std::string(to_string(f.spec.weight_dtype))}});
    finish(f, k, true);
    return k;
}

}  // namespace mhc::codegen
