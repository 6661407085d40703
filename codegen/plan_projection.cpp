// codegen/plan_projection.cpp -- projections: by matrix units or by hand, alone or with all that follows in one pass.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

namespace {

struct row_of_units {
    std::string_view processor;
    matrix_units units;
};

// NVIDIA: LDS and overlap from the CUDA C++ Programming Guide, "Compute Capabilities"; an H200 has 132 multiprocessors, and
// another GPU takes the groups in turns. AMD: compute units from the ROCm documentation, "AMD GPU specifications", of a die
// of MI250X, of MI300X, MI355X, RX 7900 XTX, RX 7800 XT, RX 9060 XT and RX 9070 XT; each has two work-groups, by their LDS.
// A walk over tiles begins with weights that are split, which takes as many instructions as four tiles do.
constexpr matrix_units hopper(bool is_exact)
{
    return {.header = "cuda_matrix",
            .waves = 8,
            .compute_units = 132,
            .gradient_columns = 8,
            .gradient_tokens = 256,
            .has_wide = true,
            .has_fp16 = true,
            .has_fp32 = true,
            .has_overlap = true,
            .has_clusters = is_exact,
            .has_group_products = is_exact};
}
constexpr matrix_units amd(const char* header, std::int64_t waves, std::int64_t compute_units)
{
    return {.header = header, .waves = waves, .compute_units = compute_units, .groups_each = 2, .tiles = 2};
}
constexpr matrix_units cdna(std::int64_t compute_units)
{
    matrix_units units = amd("amdgpu_mfma", 8, compute_units);
    units.gradient_columns = 16;
    units.gradient_tokens = 32;
    units.has_wide = units.has_fp32 = true;
    return units;
}
constexpr std::array units_table{
    row_of_units{"sm_90", hopper(false)},
    row_of_units{"sm_90a", hopper(true)},
    row_of_units{"sm_100", hopper(false)},
    row_of_units{"gfx90a", cdna(110)},
    row_of_units{"gfx942", cdna(304)},
    row_of_units{"gfx950", cdna(256)},
    row_of_units{"gfx1100", amd("amdgpu_wmma_twice", 16, 96)},
    row_of_units{"gfx1101", amd("amdgpu_wmma_twice", 16, 60)},
    row_of_units{"gfx1200", amd("amdgpu_wmma", 8, 32)},
    row_of_units{"gfx1201", amd("amdgpu_wmma", 8, 64)},
};

matrix_units units_of_largest(const target& on)
{
    for (const row_of_units& row : units_table)
        if (row.processor == on.processor) return row.units;
    return {};
}

}  // namespace

matrix_units matrix_units_of(const target& on)
{
    matrix_units units = units_of_largest(on);
    if (on.compute_units > 0) units.compute_units = on.compute_units;
    return units;
}

std::int64_t partitions_of(const target& on)
{
    const std::int64_t all = units_of_largest(on).compute_units, own = on.compute_units;
    return all > 0 && own > 0 && all % own == 0 ? all / own : 1;
}

std::int64_t channels_of_ranks(std::int64_t n, std::int64_t hidden_dim)
{
    const std::int64_t unit = 256 / n;  // eight waves have 32 channels each
    for (std::int64_t ranks = 1; ranks <= 16; ranks *= 2)
        if (const std::int64_t slice = round_up(ceil_div(hidden_dim, ranks), unit); slice * n <= 1536) return slice;
    const bool needs_more = n == 4 && hidden_dim * n > 16 * 1792 && hidden_dim * n <= 16 * 2048;
    return (needs_more ? 2048 : 1792) / n;
}

std::int64_t channels_of_split(std::int64_t n, std::int64_t hidden_dim)
{
    const std::int64_t all = hidden_dim * n;
    const bool needs_more = n == 4 && all > 16 * channels_of_fp32 && all <= 16 * channels_in_registers;
    const std::int64_t most = (needs_more ? channels_in_registers : n == 4 ? channels_of_fp32 : 1024) / n;
    for (std::int64_t ranks = 1; ranks <= 16; ranks *= 2)
        if (const std::int64_t slice = round_up(ceil_div(hidden_dim, ranks), 256 / n); slice <= most) return slice;
    return most;
}

struct tile {
    std::int64_t tokens, rows;
};

/// Sums of a tile live in registers, beside its operands. 32 vector registers of a CPU hold 4 x 4, 16 hold 2 x 2. A GPU's
/// lane has 4 x 4 or 2 x 8 of them, vectors all: Clang keeps the second in 222 registers on AMD GPUs and the first in 260,
/// NVRTC both in 255; on an H200 they take the same time within 6 %. Rows that end within a vector need registers for the
/// end, which 8 rows do not leave on waves of 32: there Clang 19 spilled, and what it restored was not what it had spilled.
tile tile_of_rows(const facts& f, std::int64_t rows)
{
    const auto has = [&](const char* feature) {
        return std::find(f.on.features.begin(), f.on.features.end(), feature) != f.on.features.end();
    };
    if (f.is_host && !has("avx512f") && f.on.processor == "x86-64") return {2, 2};
    // What Clang 19 makes of 8 rows for gfx1030 spills a few registers.
    const bool fits = f.C % f.vector == 0 && f.on.processor != "gfx1030";
    if (f.on.kind == target_kind::amdgpu) return {2, std::min<std::int64_t>(fits ? 8 : 4, rows)};
    return {4, 4};
}

kernel_plan plan_project_tiles(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k =
        start(f, family + "_tiles", arguments_of(family, from), static_cast<std::int32_t>(f.units.waves * f.wave));
    const std::int64_t slices = f.project_slices();
    k.grid = {.tokens_per_unit = 16 * f.units.tiles,
              .items_per_unit = slices,
              .items_per_group = 1,
              .groups_max = std::max(f.units.groups() / slices, std::int64_t{1}) * slices};
    add(k, rows_of(f, f.vector));
    k.bindings["matrix"] = f.units.header;
    k.bindings["slice"] = fmt::to_string(f.project_slice);
    k.bindings["dtype"] = to_string(f.spec.dtype);
    // What the kernel cannot declare: tiles of 16 tokens in lane_queue; four times tile_floats, every row of fn in blocks of
    // 8, and the squares; weights that registers do not hold, 5 of 24 pieces, 7 of 21 of fp32.
    const std::int64_t bytes = size_of(f.spec.dtype);
    const bool has_weights = f.project_slice * f.n > (f.splits_data() ? channels_of_fp32 : channels_in_registers);
    const std::int64_t stages = 3 - (bytes == 4 ? 1 : 0) - (has_weights ? 1 : 0);
    if (f.units.has_overlap)
        k.lds_bytes = static_cast<std::int32_t>(stages * 16 * f.project_slice * f.n * bytes +
                                                4 * f.units.waves * 16 * (round_up(f.m, 8) + 1) * 4 +
                                                (has_weights ? (bytes == 4 ? 7 : 5) * weight_piece_bytes : 0));
    k.may_overlap = f.units.has_overlap ? overlap::with_any : overlap::none;
    return k;
}

/// Eight waves of 32 tokens, and at most `tiles_max` tiles of 16 rows.
kernel_plan plan_project_wide(const facts& f, const std::string& family, const feeds& from, std::int64_t rows,
                              std::int64_t tiles_max)
{
    constexpr std::int64_t waves = 8, tokens = 32 * waves;
    kernel_plan k = start(f, family + "_wide", arguments_of(family, from), static_cast<std::int32_t>(waves * f.wave));
    const std::int64_t all_tiles = ceil_div(rows, 16), blocks = ceil_div(all_tiles, tiles_max),
                       tiles = ceil_div(all_tiles, blocks);
    // Of x in lane_queue, 64 channels each. Two groups of few rows fit a multiprocessor.
    const std::int64_t bytes = size_of(f.spec.dtype), resident = tiles <= 2 && f.spec.dtype == jit::dtype::bf16 ? 2 : 1;
    const std::int64_t stages = bytes == 4 ? 2 : resident == 2 ? 3 : 4;
    k.grid = {.tokens_per_unit = tokens,
              .items_per_unit = f.project_slices() * blocks,
              .items_per_group = 1,
              .groups_max = f.groups_max()};
    add(k, rows_of(f, f.vector));
    k.bindings["matrix"] = f.units.header;
    k.bindings["slice"] = fmt::to_string(f.project_slice);
    add(k, {{"rows_max", fmt::to_string(rows)},
            {"row_tiles", fmt::to_string(tiles)},
            {"stages", fmt::to_string(stages)},
            {"resident", fmt::to_string(resident)},
            {"dtype", std::string(to_string(f.spec.dtype))}});
    // What the kernel cannot declare: wide_room of templates/device/project_wide.hpp.
    if (f.units.has_overlap) k.lds_bytes = static_cast<std::int32_t>(stages * tokens * 64 * bytes + 2 * tiles * 16 * 64 * 4);
    return k;
}

kernel_plan plan_project_waves(const facts& f, const std::string& family, const feeds& from)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, family, arguments_of(family, from), block);
    tile of = tile_of_rows(f, f.m);
    const bool makes_streams = family == "project_post";
    // A head has n rows, and the streams that are made want registers: with 8 rows of 8 streams waves of 32 spilled.
    if (makes_streams) of = {f.is_host ? of.tokens : 2, std::min<std::int64_t>({of.rows, f.n, 4})};
    const std::int64_t waves = block / f.wave;
    // A wave has a tile of tokens and of all m rows of fn, and a split; those that a launch does not ask for are passed
    // over.
    k.grid = {.tokens_per_unit = of.tokens,
              .items_per_unit = f.project_slices() * ceil_div(f.m, of.rows),
              .items_per_group = waves,
              .groups_max = f.groups_max()};
    add(k, rows_of(f, f.vector));
    k.bindings["slice"] = fmt::to_string(f.project_slice);
    add(k, {{"tile_tokens", fmt::to_string(of.tokens)}, {"tile_rows", fmt::to_string(of.rows)}});
    if (makes_streams) add_post(f, k);
    return k;
}

/// `tiles_max` of project_wide.
kernel_plan plan_project_rows(const facts& f, const std::string& family, const feeds& from, std::int64_t rows,
                              std::int64_t tiles_max)
{
    kernel_plan k = f.has_tiles  ? plan_project_tiles(f, family, from)
                    : f.has_wide ? plan_project_wide(f, family, from, rows, tiles_max)
                                 : plan_project_waves(f, family, from);
    const bool rounds = family == "project_three" && f.spec.options.reference_rounding;
    add(k, {{"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"reference_rounding", rounds ? "true" : "false"}});
    finish(f, k, true);
    return k;
}

/// Tiles of 16 rows that a work-group of project_wide has at most: the sums of each take 16 registers of an NVIDIA lane, and
/// data that are split take 16 too.
std::int64_t wide_tiles(const facts& f) { return f.spec.dtype == jit::dtype::bf16 ? 6 : 4; }

kernel_plan plan_project(const facts& f, const std::string& family, const feeds& from)
{
    return plan_project_rows(f, family, from, f.m, wide_tiles(f));
}

void add_project(const facts& f, operator_plan& made, const std::string& family, const feeds& from, std::int64_t rows)
{
    // Sixteen slices of up to 256 tokens are a group each. On an H200 one tile of rows a group takes less up to here.
    constexpr std::int64_t few_tokens = 512;
    const bool has_two = f.has_wide && f.units.has_overlap && rows > 16;
    if (has_two) {
        made.kernels.push_back(plan_project_rows(f, family, from, rows, 1));
        made.kernels.back().tokens_max = few_tokens;
    }
    made.kernels.push_back(plan_project_rows(f, family, from, rows, wide_tiles(f)));
    if (has_two) made.kernels.back().tokens_min = few_tokens + 1;
}

std::int64_t arranged_bytes(const facts& f, std::int64_t rows)
{
    return f.arranges_fn() ? round_up(rows * f.n * f.C * 4, 16) : 0;
}

kernel_plan plan_arrange_fn(const facts& f, const feeds& from)
{
    kernel_plan k = plan_chunks(f, "arrange_fn", arguments_of("arrange_fn", from));
    k.grid.ignores_tokens = true;
    k.grid.items_per_unit *= f.m * f.n;
    add(k, {{"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"fn_order", std::string(to_string(f.spec.fn_order))}});
    finish(f, k, true, true, f.spec.weight_dtype);
    return k;
}

std::int64_t projection_bytes(const facts& f, std::int64_t rows)
{
    return arranged_bytes(f, rows) + wide_factor_bytes(f, rows);
}

/// On fn as it is.
static void add_projection_on(const facts& f, operator_plan& made, const feeds& from, const feed& place, std::int64_t rows)
{
    if (f.has_wide_groups())
        add_project_groups(f, made, from, place, rows);
    else
        add_project(f, made, "project", from, rows);
}

void add_projection(const facts& f, operator_plan& made, feeds from, const feed& place, std::int64_t rows)
{
    if (!f.arranges_fn()) return add_projection_on(f, made, from, place, rows);
    made.kernels.push_back(
        plan_arrange_fn(f, {{slot::arranged_fn, slot::workspace, place.bytes_per_token, place.bytes_fixed}}));
    jit::layer_spec in_float = f.spec;
    in_float.weight_dtype = jit::dtype::fp32;
    from.push_back({slot::fn, slot::workspace, place.bytes_per_token, place.bytes_fixed});
    const std::size_t first = made.kernels.size();
    feed factors = place;
    factors.bytes_fixed += arranged_bytes(f, rows);
    add_projection_on(facts(in_float, f.on, f.tuned), made, from, factors, rows);
    if (f.has_wide_groups()) return;
    for (std::size_t i = first; i < made.kernels.size(); ++i)
        made.kernels[i].may_overlap = overlap::none;  // it waits for x alone, after it has read fn
}

kernel_plan plan_rmsnorm_matmul(const facts& f)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, "rmsnorm_matmul", arguments_of("rmsnorm_matmul"), block);
    const tile of = tile_of_rows(f, 8);
    // As many groups as a square weight has use for: how many rows it has only a launch knows.
    k.grid = {.tokens_per_unit = of.tokens,
              .items_per_unit = ceil_div(f.C, of.rows),
              .items_per_group = block / f.wave,
              .groups_max = f.groups_max()};
    add(k, rows_of(f, f.vector));
    add(k, {{"tile_tokens", fmt::to_string(of.tokens)},
            {"tile_rows", fmt::to_string(of.rows)},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"norm_eps", real(f.norm_eps())}});
    finish(f, k, true, false);
    return k;
}

}  // namespace mhc::codegen
