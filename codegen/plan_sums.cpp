// codegen/plan_sums.cpp -- what gradients sum up last: over parts of the channels, and over all tokens.
#include <fmt/format.h>

#include "codegen/plan_gradients.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {
namespace {

/// Lanes share single numbers.
kernel_plan plan_numbers(const facts& f, const std::string& family, const feeds& from)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, family, arguments_of(family, from), block);
    k.grid.items_per_group = f.is_host ? 4096 : block;
    return k;
}

feed constant(slot parameter, std::int64_t value)
{
    return {.parameter = parameter, .what = slot::zero, .bytes_fixed = value};
}

/// Of a kernel that knows neither streams nor channels: the name says no more than the key holds.
void name(kernel_plan& k, jit::dtype type)
{
    k.hidden_dim = k.n_streams = 0;
    k.dtype = to_string(type);
    k.symbol_base = "mhc_" + k.family + "_" + k.dtype;
}

/// Of parameters, which are stored without tokens too.
kernel_plan plan_parameters(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_numbers(f, family, from);
    k.grid.ignores_tokens = k.runs_without_tokens = true;
    return k;
}

/// Of tokens that a row of sums is of, by what it is for.
void add_tokens_of_rows(kernel_plan& k, std::int64_t affine_tokens)
{
    add(k, {{"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)},
            {"tokens_per_affine_sum", fmt::to_string(affine_tokens)}});
}

}  // namespace

kernel_plan plan_transition_sums(const facts& f, const feeds& from)
{
    kernel_plan k = plan_numbers(f, "transition_sums", from);
    k.grid.items_per_unit = f.n * (f.n + 1);
    add(k, {{"layout", std::string(to_string(f.spec.options.layout))}, {"parts", fmt::to_string(transition_parts(f))}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_sum_rows(const facts& f, feeds from, std::int64_t tokens_per_row, std::int64_t width)
{
    from.push_back(constant(slot::tokens_per_row, tokens_per_row));
    from.push_back(constant(slot::width, width));
    kernel_plan k = plan_numbers(f, "sum_rows", from);
    k.grid.tokens_per_unit = tokens_per_row * rows_of_sum;
    k.grid.items_per_unit = width;
    k.bindings["rows_of_sum"] = fmt::to_string(rows_of_sum);
    name(k, jit::dtype::fp32);
    return k;
}

kernel_plan plan_finish(const facts& f, feeds from, const vector_part& part)
{
    from.push_back(constant(slot::tokens_per_row, part.tokens_per_row));
    from.push_back(constant(slot::first, part.first));
    // A projection's rows are known at launch alone, where they are all that there is.
    const bool is_known = part.width != 0;
    from.push_back(is_known ? constant(slot::width, part.width) : feed{slot::width, slot::fn_size});
    from.push_back(is_known ? constant(slot::length, part.length) : feed{slot::length, slot::fn_size});
    kernel_plan k = plan_parameters(f, is_known ? "finish_vector" : "finish_weight", from);
    k.grid.items_per_unit = part.length;
    name(k, is_known ? jit::dtype::fp32 : f.spec.weight_dtype);
    return k;
}

kernel_plan plan_finish_columns(const facts& f, feeds from, std::int64_t tokens_per_row, std::int64_t width)
{
    from.push_back(constant(slot::tokens_per_row, tokens_per_row));
    from.push_back(constant(slot::width, width));
    kernel_plan k = plan_parameters(f, "finish_columns", from);
    k.grid.items_per_unit = width;
    if (!f.is_host) k.grid.items_per_group = f.wave;
    name(k, f.spec.weight_dtype);
    return k;
}

kernel_plan plan_finish_fn(const facts& f, const feeds& from)
{
    kernel_plan k = plan_parameters(f, "finish_fn", from);
    k.grid.items_per_unit = f.n * f.C;
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"fn_order", std::string(to_string(f.spec.fn_order))},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

kernel_plan plan_finish_affine(const facts& f, const feeds& from, const affine_part& part)
{
    kernel_plan k = plan_parameters(f, "finish_affine", from);
    k.grid.items_per_unit = part.rows + part.scales;
    if (!f.is_host) k.grid.items_per_group = f.wave;
    add(k, {{"rows", fmt::to_string(part.rows)},
            {"scales", fmt::to_string(part.scales)},
            {"tokens_per_affine_sum", fmt::to_string(part.tokens_per_row)}});
    name(k, jit::dtype::fp32);
    return k;
}

kernel_plan plan_finish_pre(const facts& f, const feeds& from, const affine_part& part)
{
    kernel_plan k = plan_parameters(f, "finish_pre", from);
    k.grid.items_per_unit = part.rows * f.n * f.C;
    add_tokens_of_rows(k, part.tokens_per_row);
    add(k,
        {{"hidden_dim", fmt::to_string(f.C)}, {"rows", fmt::to_string(part.rows)}, {"scales", fmt::to_string(part.scales)}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

kernel_plan plan_finish_layer(const facts& f, const feeds& from, std::int64_t weight_tokens, std::int64_t affine_tokens)
{
    kernel_plan k = plan_parameters(f, "finish_layer", from);
    k.grid.items_per_unit = f.m * f.n * f.C;
    add_tokens_of_rows(k, affine_tokens);
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"tokens_per_weight_sum", fmt::to_string(weight_tokens)}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

kernel_plan plan_finish_static(const facts& f, const feeds& from)
{
    constexpr std::int32_t block = 512;
    kernel_plan k = start(f, "finish_static", arguments_of("finish_static", from), block);
    k.grid.ignores_tokens = k.runs_without_tokens = true;
    k.grid.items_per_unit = 1 + ceil_div(f.C, f.wave);
    if (f.units.has_overlap) k.may_overlap = overlap::with_own;
    add(k, {{"hidden_dim", fmt::to_string(f.C)},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"tokens_per_row", fmt::to_string(tokens_of_weight_sum)},
            {"post_mult", real(f.spec.options.post_mult)}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

}  // namespace mhc::codegen
