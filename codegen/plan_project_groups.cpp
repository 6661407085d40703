// codegen/plan_project_groups.cpp -- projections on many rows by four waves together, and fn in the order of their products.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "codegen/plan_parts.hpp"

namespace mhc::codegen {
namespace {

/// Rows of fn that products of templates/device/cuda_group_products.hpp are made of at once.
constexpr std::array<std::int64_t, 6> product_rows{16, 32, 48, 72, 80, 96};

std::int64_t tile_of(std::int64_t rows, std::int64_t tile_max)
{
    const std::int64_t each = ceil_div(rows, ceil_div(rows, tile_max));
    return *std::lower_bound(product_rows.begin(), product_rows.end(), each);
}

/// Words of 16 bytes that eight rows of fn take for 64 channels: of templates/device/group_wide.hpp.
constexpr std::int64_t octet_words = 128;

struct wide_groups {
    std::int64_t tokens_max;  ///< 0: any number
    std::int64_t groups;      ///< of 64 tokens a work-group
    std::int64_t blocks;      ///< of rows that each work-group has one of, where they are enough
    std::int64_t tile_max;    ///< rows of fn that it has, at most
};

/// Sixteen slices of 64, 128 or 256 tokens are a work-group each, and of few tokens some rows: so that as many as an H200
/// has multiprocessors share the work, and each weight is read for as many tokens as can be. Sums do not depend on it.
constexpr std::array ranges{wide_groups{128, 1, 3, 96}, wide_groups{256, 1, 2, 96}, wide_groups{512, 1, 1, 96},
                            wide_groups{1024, 2, 1, 96}, wide_groups{0, 4, 1, 96}};

void add_order(const facts& f, kernel_plan& k, std::int64_t rows)
{
    add(k, rows_of(f, f.vector));
    k.bindings["slice"] = fmt::to_string(f.project_slice);
    add(k, {{"rows_max", fmt::to_string(rows)}, {"has_low", f.spec.weight_dtype == jit::dtype::bf16 ? "false" : "true"}});
    finish(f, k, true);
}

kernel_plan plan_wide_factors(const facts& f, const feeds& from, std::int64_t rows)
{
    constexpr std::int64_t waves = 4;
    kernel_plan k = start(f, "wide_factors", arguments_of("wide_factors", from), static_cast<std::int32_t>(waves * f.wave));
    k.grid.ignores_tokens = true;
    k.grid.items_per_unit = ceil_div(wide_factor_bytes(f, rows) / (octet_words * 16), waves);
    add(k, {{"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"fn_dtype", std::string(to_string(f.spec.weight_dtype))}});
    add_order(f, k, rows);
    return k;
}

kernel_plan plan_project_groups(const facts& f, const feeds& from, std::int64_t rows, const wide_groups& sizes)
{
    const std::int64_t tile =
        tile_of(rows, sizes.blocks == 1 ? sizes.tile_max
                                        : std::clamp<std::int64_t>(ceil_div(rows, sizes.blocks), 32, sizes.tile_max));
    // Of few tokens up to four parts of the waves share the pieces of a slice, as many as LDS has room for.
    const std::int64_t parts = sizes.groups > 1 ? 1 : tile <= 32 ? 4 : 2;
    // Four waves for each 64 tokens of a part, and one that brings its factors; or four, whose registers the others take.
    const std::int64_t waves = 4 * sizes.groups * parts, others = sizes.groups == 4 ? 4 : parts,
                       block = (waves + others) * f.wave;
    // Two work-groups of a cluster share factors where these are much beside their tokens.
    const std::int64_t blocks = ceil_div(rows, tile), ranks = tile >= 48 ? 2 : 1;
    // Of 228 KB of an H200's multiprocessor a work-group takes 1 KB by itself. As wide_group of group_wide.hpp, which checks
    // it: stages of a lane's four words, buffers of a tile's factors with two signals each, a signal for each part, and each
    // lane's sums.
    constexpr std::int64_t words_max = (228 - 1) * 1024 / 16;
    // Octets of rows whose sums of pieces a lane keeps in registers: so many that these and a piece's are 64.
    const std::int64_t held = sizes.groups == 4 ? std::min((64 - tile / 2) / 4, tile / 8) : 0;
    const std::int64_t adders = waves * f.wave, stage_words = adders * 4, stages_min = sizes.groups == 4 ? 2 : 3,
                       buffer_words = parts * (tile / 8 * octet_words + 1),
                       sum_words = ceil_div(parts, std::int64_t{2}) + (tile / 8 - held) * adders + adders / 8,
                       buffers =
                           std::min<std::int64_t>((words_max - sum_words - stages_min * stage_words) / buffer_words, 5),
                       stages = std::min<std::int64_t>((words_max - sum_words - buffers * buffer_words) / stage_words, 6),
                       words = sum_words + buffers * buffer_words + stages * stage_words;
    kernel_plan k = start(f, "project_groups", arguments_of("project_groups", from), static_cast<std::int32_t>(block));
    k.cluster = static_cast<std::int32_t>(ranks);
    k.grid = {.tokens_per_unit = 64 * sizes.groups * ranks,
              .items_per_unit = f.project_slices() * blocks * ranks,
              .items_per_group = 1,
              .groups_max = std::max<std::int64_t>(f.units.groups() / ranks, 1) * ranks};
    add(k,
        {{"group_sizes", fmt::format("{}, {}, {}, {}, {}, {}, {}", tile, sizes.groups, parts, ranks, stages, buffers, held)},
         {"lds_words", fmt::to_string(words)}});
    k.lds_bytes = static_cast<std::int32_t>(words * 16);
    k.may_overlap = overlap::with_own;
    add_order(f, k, rows);
    return k;
}

}  // namespace

kernel_plan plan_sum_slices(const facts& f, const feeds& from)
{
    constexpr std::int64_t waves = 4;
    kernel_plan k = start(f, "sum_slices", arguments_of("sum_slices", from), static_cast<std::int32_t>(waves * f.wave));
    k.grid.tokens_per_unit = waves;
    k.bindings["slices"] = fmt::to_string(f.project_slices());
    finish(f, k, false);
    k.hidden_dim = f.C;
    return k;
}

std::int64_t wide_factor_bytes(const facts& f, std::int64_t rows)
{
    if (!f.has_wide_groups()) return 0;
    return f.project_slices() * f.n * (f.project_slice / 64) * ceil_div(rows, 8) * octet_words * 16;
}

void add_project_groups(const facts& f, operator_plan& made, feeds from, const feed& place, std::int64_t rows)
{
    from.push_back({slot::arranged_fn, slot::workspace, place.bytes_per_token, place.bytes_fixed});
    made.kernels.push_back(plan_wide_factors(f, from, rows));
    std::int64_t tokens_min = 0;
    for (const wide_groups& of : ranges) {
        made.kernels.push_back(plan_project_groups(f, from, rows, of));
        if (of.tokens_max > 0) made.kernels.back().tokens_max = of.tokens_max;
        made.kernels.back().tokens_min = tokens_min;
        tokens_min = of.tokens_max + 1;
    }
}

}  // namespace mhc::codegen
