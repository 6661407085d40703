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
/// Factors are made by a kernel before: of all but the caller's gradients, whose splits only a launch knows.
bool is_arranged(const std::string& family) { return family != "project_tiles_bwd"; }
/// Of rows, in two parts.
std::int64_t octets(std::int64_t rows_max) { return 2 * ceil_div(rows_max, 8); }

/// What a work-group has; words of LDS and of factors are of 16 bytes.
struct tile_room {
    std::int64_t waves, channels, chunk, fn_words, d_proj_words, words;
    std::int64_t resident;  ///< work-groups of a multiprocessor
    /// Of the device headers: the tile's, with what it is made of besides, and the names of functions.
    std::string factors, tile, sizes, arrange, gradient;

    /// Places that work-groups have in the channels of all streams.
    std::int64_t places(const facts& f) const { return ceil_div(f.C, channels) * f.n; }
};

/// gradient_tile of templates/device/gradient_factors.hpp, which checks it: octets of fn, of d_proj by token and by row,
/// scalars, and two tiles of x in lane_queue.
tile_room room_of_tiles(const facts& f, const std::string& family, std::int64_t rows_max)
{
    tile_room r;
    r.waves = gradient_waves(f, !is_arranged(family));
    r.channels = r.waves * 8 * f.units.gradient_columns;
    r.chunk = f.units.gradient_tokens;
    const std::int64_t scalars = is_of_layer(family) ? 2 + f.n : 2;
    r.fn_words = octets(rows_max) * (r.channels + 2);
    r.d_proj_words = octets(rows_max) * (r.chunk + 2) + (rows_max / 16 * 2 + 1) * 2 * r.chunk;
    r.words =
        r.fn_words + r.d_proj_words + ceil_div(r.chunk * scalars, 4) + (f.units.has_overlap ? 2 * 8 * r.waves * f.wave : 0);
    // Two of four waves fit a multiprocessor by their LDS. On an H200 three with d_proj of 64 tokens at a time took 3 %
    // longer in pre_bwd at 8192 x 4096 and 14 % at 2048 x 4096, 5 % less and 5 % longer in post_pre_bwd.
    r.resident = r.waves > 6 ? 1 : 2;
    r.factors = "gradient_factors";
    r.tile = "gradient_tile";
    r.sizes = fmt::format("{}, {}, mhc::grid<{}, {}>", r.chunk, scalars, r.waves * f.wave, f.wave);
    r.arrange = "arrange_factors";
    r.gradient = "gradient_tiles";
    return r;
}

/// gradient_group of templates/device/group_factors.hpp, which checks it: of each tile of 64 tokens on its way x, d_x's row,
/// the gradient of out, and d_proj; fn of two work items; and 8 bytes to wait at.
tile_room room_of_groups(const facts& f, const std::string& family, std::int64_t rows_max)
{
    constexpr std::int64_t quads = 4, columns = 64, tokens = 64, quad_words = tokens * columns / 8, words_max = 14200;
    const std::int64_t of_stream = quads / f.n;
    // Through a norm the row is in float.
    const std::int64_t row_bytes = is_of_layer(family) || f.spec.norm_weight ? 4 : 2;
    const bool has_out = family != "pre_tiles_bwd";
    tile_room r;
    r.waves = 4 * quads;
    r.channels = of_stream * columns;
    r.chunk = tokens;
    r.fn_words = octets(rows_max) * r.channels;
    r.d_proj_words = octets(rows_max) * tokens;
    const std::int64_t stage =
        quads * quad_words + row_bytes / 2 * of_stream * quad_words + (has_out ? quads * quad_words : 0) + r.d_proj_words;
    const std::int64_t fn = 2 * f.n * r.fn_words, stages = std::min<std::int64_t>((words_max - fn) / stage, 4);
    r.words = stages * stage + fn + ceil_div(stages, 2);
    r.resident = 1;
    r.factors = "group_factors";
    r.tile = "gradient_group";
    r.sizes = fmt::format("{}, {}, {}", stages, row_bytes, has_out);
    r.arrange = "arrange_group_factors";
    r.gradient = "gradient_groups";
    return r;
}

/// One stream's tiles would take more LDS than there is.
bool has_groups(const facts& f, const std::string& family)
{
    return f.units.has_group_products && is_arranged(family) && f.n > 1;
}

tile_room room_of(const facts& f, const std::string& family, std::int64_t rows_max)
{
    return has_groups(f, family) ? room_of_groups(f, family, rows_max) : room_of_tiles(f, family, rows_max);
}

void add_rows(const facts& f, kernel_plan& k, std::int64_t rows_max)
{
    add(k, rows_of(f, round_up(f.C, f.vector)));
    k.bindings["slice"] = fmt::to_string(f.project_slice);  // whose split a gradient belongs to
    add(k, {{"matrix", f.units.header}, {"rows_max", fmt::to_string(rows_max)}});
}

void add_tile(const facts& f, kernel_plan& k, const tile_room& room, std::int64_t rows_max)
{
    add_rows(f, k, rows_max);
    add(k, {{"channels", fmt::to_string(room.channels)}, {"tile", room.tile}, {"tile_sizes", room.sizes}});
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
    const tile_room room = room_of(f, "tile_factors", rows_max);
    return {room.places(f) * room.fn_words * 16, room.d_proj_words * 16, room.chunk};
}

bool has_group_projection(const facts& f)
{
    return has_gradient_tiles(f) && has_groups(f, "pre_tiles_bwd") && !f.spec.norm_weight;
}

/// Channels of a stream whose fn a work-group of project_products keeps in LDS.
constexpr std::int64_t group_slice_channels = 256;

/// Channels of a stream that a work-group of plan_stream_tiles has.
constexpr std::int64_t stream_tile_channels = 64;

std::int64_t group_slices(const facts& f) { return ceil_div(f.C, group_slice_channels); }

kernel_plan plan_fn_factors(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room = room_of(f, "tile_factors", rows_max);
    kernel_plan k = start(f, family, arguments_of(family, from), 4 * f.wave);
    k.grid.ignores_tokens = true;
    k.grid.items_per_unit = room.places(f);
    add_tile(f, k, room, rows_max);
    add(k, {{"factors", room.factors}, {"arrange", "arrange_group_fn"}});
    add_weights(f, k);
    finish(f, k, true);
    return k;
}

kernel_plan plan_project_products(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    constexpr std::int64_t tokens = 128, block = 256;
    const bool makes_streams = family == "transition_products", is_layer = is_of_layer(family);
    const std::int64_t stages = makes_streams || is_layer ? 2 : 3, rows = f.n + (makes_streams ? 2 : is_layer ? f.n : 1);
    const tile_room room = room_of(f, "tile_factors", rows_max);
    kernel_plan k = start(f, family, arguments_of(family, from), block);
    k.grid.tokens_per_unit = tokens;
    k.grid.items_per_unit = group_slices(f);
    k.grid.groups_max = std::max<std::int64_t>(f.units.groups() / group_slices(f), 1) * group_slices(f);
    add_tile(f, k, room, rows_max);
    // group_projection of templates/device/group_project.hpp, which checks it: words of two tokens of each stream, of the
    // gradients and of what streams are made of besides, fn of a slice, and 8 bytes to wait at.
    const std::int64_t words = stages * 2 * rows * block + group_slice_channels / room.channels * f.n * room.fn_words + 1;
    k.lds_bytes = static_cast<std::int32_t>(words * 16);
    add(k, {{"resident", "1"},
            {"stages", fmt::to_string(stages)},
            {"slice_channels", fmt::to_string(group_slice_channels)},
            {"lds_words", fmt::to_string(words)}});
    if (makes_streams) add_post(f, k);
    if (is_layer) add_weights(f, k);
    finish(f, k, true);
    return k;
}

kernel_plan plan_slices_bwd(const facts& f, const std::string& family, const feeds& from, std::int64_t rows)
{
    // Of so few tokens that 2048 keep all multiprocessors busy; four such groups find place on one.
    constexpr std::int64_t tokens = tokens_of_slices, block = 256;
    const bool is_layer = is_of_layer(family), has_matrix = family != "head_slices_bwd";
    // slices_room of templates/device/slices_gradient.hpp.
    const std::int64_t products = is_layer ? row_products(f) : f.n, coefficients = is_layer ? 2 * f.n : 0;
    const std::int64_t affine = rows + scales_of(!has_matrix);
    const std::int64_t floats = gradient_floats(f) + 2 * rows + 1 + products + coefficients + affine;
    const std::int64_t room = has_matrix ? history_room(f, floats) : 0;
    kernel_plan k = start(f, family, arguments_of(family, from), block);
    k.grid.tokens_per_unit = tokens;
    add_tile(f, k, room_of(f, "tile_factors", rows), rows);
    add_sigmoids(f, k, has_matrix);
    add(k, {{"together", fmt::to_string(tokens)},
            {"lds_floats", fmt::to_string(tokens * (floats + room) + affine)},
            {"rms_eps", real(f.spec.options.rms_eps)}});
    if (has_matrix) {
        add_sinkhorn_gradient(f, k.bindings);
        k.bindings["history_room"] = fmt::to_string(room);
    }
    if (is_layer) add(k, {{"layout", std::string(to_string(f.spec.options.layout))}, {"norm_eps", real(f.norm_eps())}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_tile_factors(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room = room_of(f, family, rows_max);
    const std::int64_t waves = has_groups(f, family) ? 4 : room.waves;
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(waves * f.wave));
    // As many groups as 256 tokens are some times: of fn and of few tokens a group has several items.
    k.grid.tokens_per_unit = 256;
    k.grid.items_per_unit = 16;
    add_tile(f, k, room, rows_max);
    add(k, {{"factors", room.factors}, {"arrange", room.arrange}});
    add_weights(f, k);
    finish(f, k, true);
    return k;
}

kernel_plan plan_gradient_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room = room_of(f, family, rows_max);
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(room.waves * f.wave));
    k.grid.tokens_per_unit = tokens_of_matrix_sum;
    k.grid.items_per_unit = room.places(f);
    if (has_groups(f, family)) {
        k.grid.items_per_unit /= f.n;          // of all streams
        k.grid.groups_max = f.units.groups();  // tiles on their way go on from item to item
    }
    if (f.units.has_overlap) k.lds_bytes = static_cast<std::int32_t>(room.words * 16);
    add_tile(f, k, room, rows_max);
    add(k, {{"gradient", room.gradient},
            {"resident", fmt::to_string(room.resident)},
            {"lds_words", fmt::to_string(room.words)},
            {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    if (family == "project_tiles_bwd") add_weights(f, k);
    if (is_of_layer(family)) k.bindings["layout"] = to_string(f.spec.options.layout);
    finish(f, k, true);
    return k;
}

bool makes_transition(const facts& f) { return has_group_projection(f) && f.n == 4; }

std::int64_t transition_parts(const facts& f) { return ceil_div(f.C, stream_tile_channels); }

bool has_layer_groups(const facts& f) { return has_gradient_tiles(f) && has_groups(f, "dynamic_row_tiles_bwd") && f.n == 4; }

std::int64_t row_products(const facts& f) { return f.n * (f.n + 1) / 2 + 2 * f.n * f.n; }

kernel_plan plan_stream_tiles(const facts& f, const std::string& family, const feeds& from, std::int64_t rows_max)
{
    const tile_room room = room_of(f, "tile_factors", rows_max);
    constexpr std::int64_t tokens = 64, waves_of_quad = 4, quads = 2, words_of_row = tokens * stream_tile_channels / 8;
    kernel_plan k = start(f, family, arguments_of(family, from), static_cast<std::int32_t>(quads * waves_of_quad * f.wave));
    k.grid.tokens_per_unit = tokens_of_matrix_sum;
    k.grid.items_per_unit = transition_parts(f);
    k.grid.groups_max = f.units.groups();  // tiles on their way go on from item to item
    // transition_tile and layer_tile of templates/device/transition_tiles.hpp and layer_tiles.hpp, which check it: of each
    // of two tiles x and out, of the first y and the gradient of layer_input, d_proj and numbers of the tokens; fn, sums of
    // a tile or of two items, and 24 bytes to wait at.
    const bool is_layer = is_of_layer(family);
    const std::int64_t numbers = round_up(f.m + (is_layer ? 3 : 1), 4);
    const std::int64_t sums =
        is_layer ? 2 * waves_of_quad * stream_tile_channels + 8 * k.block : quads * tokens * f.n * (f.n + 1);
    const std::int64_t stage = (2 * f.n + (is_layer ? 0 : 2)) * words_of_row + room.d_proj_words + tokens * numbers / 4;
    const std::int64_t words = 2 * stage + f.n * room.fn_words + sums / 4 + 2;
    k.lds_bytes = static_cast<std::int32_t>(words * 16);
    add_rows(f, k, rows_max);
    add_post(f, k);
    add(k, {{"lds_words", fmt::to_string(words)}, {"tokens_per_sum", fmt::to_string(tokens_of_matrix_sum)}});
    finish(f, k, true);
    return k;
}

}  // namespace mhc::codegen
