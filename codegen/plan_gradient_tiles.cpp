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

namespace {

bool is_of_layer(const std::string& family) { return family.starts_with("dynamic_"); }

/// gradient_tile of templates/device/gradient_factors.hpp, which checks it; words are of 16 bytes.
struct tile_room {
    std::int64_t waves, channels, chunk, scalars, fn_words, d_proj_words;

    tile_room(const facts& f, const std::string& family, std::int64_t rows_max)
        : waves(gradient_waves(f, !is_arranged(family))),
          channels(waves * 8 * f.units.gradient_columns),
          chunk(f.units.gradient_tokens),
          scalars(is_of_layer(family) ? 2 + f.n : 2),
          fn_words(octets(rows_max) * (channels + 2)),
          d_proj_words(octets(rows_max) * (chunk + 2) + (rows_max / 16 * 2 + 1) * 2 * chunk)
    {
    }

    /// By a kernel before: of all but the caller's gradients, whose splits only a launch knows.
    static bool is_arranged(const std::string& family) { return family != "project_tiles_bwd"; }
    /// Of rows, in two parts.
    static std::int64_t octets(std::int64_t rows_max) { return 2 * ceil_div(rows_max, 8); }
    /// Octets of fn, of d_proj by token and by row, scalars, and two tiles of x in lane_queue.
    std::int64_t words(const facts& f) const
    {
        return fn_words + d_proj_words + ceil_div(chunk * scalars, 4) + (f.units.has_overlap ? 2 * 8 * waves * f.wave : 0);
    }
    /// Places that work-groups have in the channels of all streams.
    std::int64_t places(const facts& f) const { return ceil_div(f.C, channels) * f.n; }
};

void add_tile(const facts& f, kernel_plan& k, const tile_room& room, std::int64_t rows_max)
{
    add(k, rows_of(f, round_up(f.C, f.vector)));
    k.bindings["slice"] = fmt::to_string(f.project_slice);  // whose split a gradient belongs to
    add(k, {{"matrix", f.units.header},
            {"rows_max", fmt::to_string(rows_max)},
            {"channels", fmt::to_string(room.channels)},
            {"scalars", fmt::to_string(room.scalars)},
            {"chunk_tokens", fmt::to_string(room.chunk)}});
}

void add_weights(const facts& f, kernel_plan& k)
{
    k.bindings["weight_align"] = fmt::to_string(weight_alignment_bytes(f.spec));
    if (is_of_layer(k.family))
        k.bindings["weight_dtype"] = to_string(f.spec.weight_dtype);
    else
        k.bindings["fn_dtype"] = to_string(f.arranges_fn() ? jit::dtype::fp32 : f.spec.weight_dtype);
}

}  // namespace

factor_bytes tile_factor_bytes(const facts& f, std::int64_t rows_max)
{
    const tile_room room(f, "tile_factors", rows_max);
    return {room.places(f) * room.fn_words * 16, room.d_proj_words * 16, room.chunk};
}

kernel_plan plan_tile_factors(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room(f, family, rows_max);
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(room.waves * f.wave));
    // As many groups as 256 tokens are some times: of fn and of few tokens a group has several items.
    k.grid.tokens_per_unit = 256;
    k.grid.items_per_unit = 16;
    add_tile(f, k, room, rows_max);
    add_weights(f, k);
    finish(f, k, true);
    return k;
}

kernel_plan plan_gradient_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room(f, family, rows_max);
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(room.waves * f.wave));
    k.grid.tokens_per_unit = tokens_of_matrix_sum;
    k.grid.items_per_unit = room.places(f);
    const std::int64_t words = room.words(f);
    if (f.units.has_overlap) k.lds_bytes = static_cast<std::int32_t>(words * 16);
    add_tile(f, k, room, rows_max);
    // Two of four waves fit a multiprocessor by their LDS. On an H200 three with d_proj of 64 tokens at a time took 3 %
    // longer in pre_bwd at 8192 x 4096 and 14 % at 2048 x 4096, 5 % less and 5 % longer in post_pre_bwd.
    const int resident = room.waves > 6 ? 1 : 2;
    add(k, {{"resident", fmt::to_string(resident)},
            {"lds_words", fmt::to_string(words)},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    if (family == "project_tiles_bwd") add_weights(f, k);
    if (is_of_layer(family)) k.bindings["layout"] = to_string(f.spec.options.layout);
    finish(f, k, true);
    return k;
}

}  // namespace mhc::codegen
