// codegen/plan_gradient_tiles.cpp -- the gradients of projections by matrix units: work-groups and their LDS.
#include <fmt/format.h>

#include <algorithm>

#include "codegen/plan_gradients.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

bool has_gradient_tiles(const facts& f)
{
    return f.has_tiles && f.spec.dtype == jit::dtype::bf16 && f.units.gradient_columns != 0;
}

/// Waves of a work-group that has one stream. Of the caller's splits, which are whole slices, it has one.
static std::int64_t gradient_waves(const facts& f, bool has_splits)
{
    const std::int64_t slice = f.project_slice / (8 * f.units.gradient_columns);
    for (const std::int64_t waves : {4, 5, 6, 7, 3, 2})
        if (!has_splits || slice % waves == 0) return waves;
    return 1;
}

kernel_plan plan_gradient_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const bool has_splits =
        std::none_of(from.begin(), from.end(), [](const feed& one) { return one.parameter == slot::splits; });
    const std::int64_t waves = gradient_waves(f, has_splits), channels = waves * 8 * f.units.gradient_columns;
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(waves * f.wave));
    k.grid.tokens_per_unit = tokens_of_matrix_sum;
    k.grid.items_per_unit = ceil_div(f.C, channels) * f.n;
    // gradient_tile of templates/device/gradient_factors.hpp, which checks it: octets of fn, of d_proj by token and by row,
    // scalars, and two tiles of x in lane_queue.
    const std::int64_t octets = 2 * ceil_div(rows_max, 8), chunk = f.units.gradient_tokens;
    const std::int64_t scalars = family == "dynamic_tiles_bwd" ? 2 + f.n : 2;
    const std::int64_t left_factors = rows_max / 16 * 2 + 1;
    const std::int64_t words = octets * (channels + 2) + octets * (chunk + 2) + left_factors * 2 * chunk +
                               ceil_div(chunk * scalars, 4) + (f.units.has_overlap ? 2 * 8 * k.block : 0);
    if (f.units.has_overlap) k.lds_bytes = static_cast<std::int32_t>(words * 16);
    add(k, rows_of(f, round_up(f.C, f.vector)));
    k.bindings["slice"] = fmt::to_string(f.project_slice);  // whose split a gradient belongs to
    // Two of four waves fit a multiprocessor by their LDS. On an H200 three that split d_proj of 64 tokens at a time took 10
    // % longer at 8192 x 4096, and 23 % at 2048 x 4096.
    const int resident = waves > 6 ? 1 : 2;
    add(k, {{"matrix", f.units.header},
            {"resident", fmt::to_string(resident)},
            {"rows_max", fmt::to_string(rows_max)},
            {"channels", fmt::to_string(channels)},
            {"scalars", fmt::to_string(scalars)},
            {"chunk_tokens", fmt::to_string(chunk)},
            {"lds_words", fmt::to_string(words)},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    k.bindings["weight_align"] = fmt::to_string(weight_alignment_bytes(f.spec));
    if (family == "dynamic_tiles_bwd")
        add(k, {{"layout", std::string(to_string(f.spec.options.layout))},
                {"weight_dtype", std::string(to_string(f.spec.weight_dtype))}});
    else
        k.bindings["fn_dtype"] = to_string(f.arranges_fn() ? jit::dtype::fp32 : f.spec.weight_dtype);
    finish(f, k, true);
    return k;
}

}  // namespace mhc::codegen
