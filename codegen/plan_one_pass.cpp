// codegen/plan_one_pass.cpp -- kernels of clusters that read the streams once, each work-group a slice of their channels.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

namespace {

constexpr std::int32_t tile_tokens = 8;

/// Of so many rows of a token.
std::int64_t tile_bytes(const facts& f, std::int64_t rows)
{
    return f.project_slice * rows * tile_tokens * size_of(f.spec.dtype);
}

/// Clusters of 2, 3, ... 16 groups that an H200 runs at once (cuOccupancyMaxActiveClusters). One more would wait until the
/// others have ended.
constexpr std::array<std::int64_t, 15> clusters_at_once{66, 39, 30, 22, 17, 15, 15, 9, 7, 7, 7, 7, 7, 7, 7};

/// Pieces of weights that LDS has: so many where registers do not hold all.
std::int64_t pieces_in_lds(const facts& f, std::int64_t pieces)
{
    return f.project_slice * f.n > channels_in_registers ? pieces : 0;
}

/// What a family has of LDS, and lanes of registers; a head has rows of fn for pre alone.
struct room {
    bool is_head = false;
    std::int64_t rows = 0;  ///< of a token, that are fetched; 0: its streams
    std::int64_t stages = 0, pieces = 0;
    std::int64_t lds_beside = 0;       ///< bytes of LDS besides pass::memory
    std::int64_t registers = 0;        ///< of a lane that multiplies, besides weights and fp16's scales
    std::int64_t registers_max = 208;  ///< of such a lane
};

std::int64_t fetched_rows(const facts& f, const room& has) { return has.rows != 0 ? has.rows : f.n; }

/// pass::memory of templates/device/one_pass_room.hpp, which the kernel checks: weights, tiles, sums of 8 waves of 2 tiles
/// or 4, sums of all ranks of as many tiles as are on their way, pre, matrices, and what they wait at; and what is beside.
std::int64_t bytes_of(const facts& f, const room& has)
{
    const std::int64_t ranks = f.project_slices(), rows = has.is_head ? f.n : f.m,
                       sums = tile_tokens * (round_up(rows, 8) + 4) * 4, slots = ceil_div(has.stages, ranks),
                       rooms = ranks < 8 ? 4 : 2, parts = has.rows == 1 ? 4 : 2;
    return has.stages * (tile_bytes(f, fetched_rows(f, has)) + tile_tokens * 16) + (parts * 8 + slots * ranks + 1) * sums +
           rooms * tile_tokens * balance_floats(f) * 4 + has.pieces * weight_piece_bytes + 1024 + has.lds_beside;
}

/// With all that its family's coefficients ask for.
kernel_plan start_one_pass(const facts& f, const std::string& family, const room& has)
{
    kernel_plan k = start(f, family, arguments_of(family), 512);
    const std::int64_t ranks = f.project_slices();
    k.lds_bytes = static_cast<std::int32_t>(bytes_of(f, has));
    const std::int64_t clusters = clusters_at_once[static_cast<std::size_t>(ranks - 2)];
    k.may_overlap = overlap::with_any;
    k.cluster = static_cast<std::int32_t>(ranks);
    k.grid = {.tokens_per_unit = tile_tokens, .items_per_unit = ranks, .items_per_group = 1, .groups_max = clusters * ranks};
    k.map = {.type = f.spec.dtype,
             .rows = static_cast<std::int32_t>(fetched_rows(f, has)),
             .box_channels = 8 * f.vector,
             .box_tokens = tile_tokens};
    // A lane that multiplies keeps 24 registers of weights for each 64 channels of a slice, 8 of a piece, a head's 8 alone.
    // Two lanes that have each other's place in their groups of waves share 256, begin with 128, and one may only get more
    // and one fewer.
    const std::int64_t weights = (has.is_head ? 8 : 24) * f.project_slice / 64 - 8 * has.pieces,
                       more = std::clamp<std::int64_t>(weights + has.registers, 136, has.registers_max);
    add(k, rows_of(f, f.vector));
    k.bindings["slice"] = fmt::to_string(f.project_slice);
    add(k, {{"stages", fmt::to_string(has.stages)},
            {"pieces_in_lds", fmt::to_string(has.pieces)},
            {"lds_bytes", fmt::to_string(k.lds_bytes)},
            {"more_registers", fmt::to_string(more)},
            {"fewer_registers", fmt::to_string(256 - more)},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"rms_eps", real(f.spec.options.rms_eps)}});
    add_sigmoids(f, k, !has.is_head);
    if (!has.is_head) add_sinkhorn(f, k.bindings);
    finish(f, k, true);
    return k;
}

/// fp16 has scales, fp32 two parts of a number.
std::int64_t own_registers(const facts& f)
{
    return f.spec.dtype == jit::dtype::fp32 ? 80 : f.spec.dtype == jit::dtype::fp16 ? 64 : 56;
}

std::int64_t pre_stages(const facts& f) { return std::clamp<std::int64_t>(172 * 1024 / tile_bytes(f, f.n), 2, 10); }

/// post_room of templates/device/post_one_pass.hpp besides: rows of half of the tiles, which come while the others are used;
/// post and mix. Streams are made beside weights, too.
kernel_plan start_post_one_pass(const facts& f, const std::string& family, room has)
{
    const bool is_fp32 = f.spec.dtype == jit::dtype::fp32;
    has.stages = pre_stages(f) - (is_fp32 ? 0 : 1);
    has.registers = is_fp32 ? 88 : 64;
    const std::int64_t kept = has.stages / 2;
    has.lds_beside = kept * tile_bytes(f, 1) + tile_tokens * (f.n * f.n + f.n) * 4;
    kernel_plan k = start_one_pass(f, family, has);
    add_post(f, k);
    k.bindings["kept"] = fmt::to_string(kept);
    return k;
}

}  // namespace

kernel_plan plan_pre_one_pass(const facts& f, bool is_delayed)
{
    kernel_plan k = start_one_pass(f, is_delayed ? "delayed_one_pass" : "pre_one_pass",
                                   {.stages = pre_stages(f), .pieces = pieces_in_lds(f, 4), .registers = own_registers(f)});
    if (!is_delayed) k.bindings["layer"] = "a_layer";
    return k;
}

kernel_plan plan_broadcast_one_pass(const facts& f)
{
    // Waves that add one row want fewer registers than those that add four.
    room has = {.rows = 1, .stages = 16, .pieces = pieces_in_lds(f, 4), .registers = own_registers(f) + 40};
    while (bytes_of(f, has) > 226 * 1024) --has.stages;
    kernel_plan k = start_one_pass(f, "pre_one_pass", has);
    k.bindings["layer"] = "the_first_layer";
    return k;
}

kernel_plan plan_head_one_pass(const facts& f)
{
    return start_one_pass(f, "head_one_pass", {.is_head = true, .stages = pre_stages(f), .registers = own_registers(f)});
}

kernel_plan plan_post_pre_one_pass(const facts& f)
{
    return start_post_one_pass(f, "post_pre_one_pass",
                               {.pieces = pieces_in_lds(f, f.spec.dtype == jit::dtype::fp16 ? 6 : 5)});
}

kernel_plan plan_post_head_one_pass(const facts& f)
{
    return start_post_one_pass(f, "post_head_one_pass", {.is_head = true});
}

kernel_plan plan_layer_one_pass(const facts& f)
{
    // Of fp32 registers hold the most weights but for a piece. The waves that multiply leave the others 56, but beside the
    // scales of fp16.
    room has = {.pieces = f.splits_data() && f.project_slice * f.n > channels_of_fp32 ? 1 : 0,
                .registers = own_registers(f),
                .registers_max = f.spec.dtype == jit::dtype::fp16 ? 208 : 200};
    // layer_pass::memory of templates/device/layer_one_pass.hpp besides: the norm's weights, and of each tile post, mix,
    // squares, scales and their signals.
    const std::int64_t parts = f.project_slice / 64, ranks = f.project_slices();
    const std::int64_t of_tile = tile_tokens * (16 + f.n * 16 + parts * 4 + ranks * 4 + 4) + 3 * 8;
    const auto set_stages = [&](std::int64_t stages) {
        has.stages = stages;
        has.lds_beside = f.project_slice * 4 + stages * of_tile;
    };
    set_stages(12);
    while (bytes_of(f, has) > 226 * 1024) set_stages(has.stages - 1);
    kernel_plan k = start_one_pass(f, "layer_one_pass", has);
    add(k, {{"norm_eps", real(f.norm_eps())},
            {"layout", std::string(to_string(f.spec.options.layout))},
            {"reference_rounding", f.spec.options.reference_rounding ? "true" : "false"}});
    return k;
}

}  // namespace mhc::codegen
