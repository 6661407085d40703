// emulator/lane_moves.cpp -- values from lane to lane, and between lanes and scalars.
#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

void read_first_lane(wave& w, const operation& op)
{
    const operand& from = op.from[0];
    const u64 active = w.exec();
    const auto lane = active == 0 ? 0U : static_cast<u32>(std::countr_zero(active));
    w.set_scalar(op.to[0].index, from.kind == operand_kind::vector ? w.vector(from.index)[lane] : scalar_word(w, from));
}

void read_lane(wave& w, const operation& op)
{
    const u32 lane = scalar_word(w, op.from[1]) & (w.lanes - 1);
    w.set_scalar(op.to[0].index, w.vector(op.from[0].index)[lane]);
}

/// Whether the lane is active makes no difference.
void write_lane(wave& w, const operation& op)
{
    const u32 lane = scalar_word(w, op.from[1]) & (w.lanes - 1);
    w.vector(op.to[0].index)[lane] = scalar_word(w, op.from[0]);
}

/// Each lane reads the source of the lane that byte address / 4 names; what is not active gives 0.
void backward_permute(wave& w, const operation& op)
{
    row buffer, result, given;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    const u32* value = w.vector(op.from[1].index);
    each_lane(w, [&](u32 i) { given[i] = value[i] & w.active[i]; });
    const auto offset = static_cast<u32>(op.offset);
    const u32 last = w.lanes - 1;
    each_lane(w, [&](u32 i) { result[i] = given[(address[i] + offset) >> 2 & last]; });
    write(w, op, result);
}

/// Each active lane sends; of two to one lane the higher wins, and lanes that get nothing get 0.
void forward_permute(wave& w, const operation& op)
{
    row buffer, result;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    const u32* value = w.vector(op.from[1].index);
    for (u32& each : result.at) each = 0;
    for (u32 i = 0; i < w.lanes; ++i)
        if (w.active[i] != 0) result[(address[i] + static_cast<u32>(op.offset)) >> 2 & (w.lanes - 1)] = value[i];
    write(w, op, result);
}

void swap(wave& w, const operation& op)
{
    u32* a = w.vector(op.to[0].index);
    u32* b = w.vector(op.to[1].index);
    for (u32 i = 0; i < w.lanes; ++i)
        if (w.active[i] != 0) std::swap(a[i], b[i]);
}

/// How many of the mask's bits are below this lane, plus the second source: half the wave a step.
template <bool IsHigh>
void count_below(wave& w, const operation& op)
{
    row buffer_a, buffer_b, result;
    const u32* mask = read(w, op, op.from[0], 0, buffer_a);
    const u32* add = read(w, op, op.from[1], 0, buffer_b);
    for (u32 i = 0; i < w.lanes; ++i) {
        const u64 below = (u64{1} << i) - 1;
        const auto here = static_cast<u32>(IsHigh ? below >> 32 : below);
        result[i] = static_cast<u32>(std::popcount(mask[i] & here)) + add[i];
    }
    write(w, op, result);
}

/// Rows of 16 lanes exchanged, or a lane of each chosen by 4-bit numbers in two scalars.
template <bool IsOtherRow>
void permute_rows(wave& w, const operation& op)
{
    row result;
    const u32* value = w.vector(op.from[0].index);
    const u64 choice = joined(scalar_word(w, op.from[1]), scalar_word(w, op.from[2]));
    const u32* before = w.vector(op.to[0].index);
    const bool reads_inactive = (op.op_sel & 1U) != 0, is_zero_outside = (op.op_sel & 2U) != 0;
    for (u32 i = 0; i < w.lanes; ++i) {
        const u32 source = ((IsOtherRow ? i ^ 16U : i) & ~15U) + static_cast<u32>(choice >> (i % 16 * 4) & 15U);
        if (w.active[source] != 0 || reads_inactive)
            result[i] = value[source];
        else
            result[i] = is_zero_outside ? 0 : before[i];
    }
    write(w, op, result);
}

const handler_entry entries[] = {
    {"v_readfirstlane_b32", read_first_lane},
    {"v_readlane_b32", read_lane},
    {"v_writelane_b32", write_lane},
    {"ds_bpermute_b32", backward_permute},
    {"ds_permute_b32", forward_permute},
    {"v_swap_b32", swap, 2},
    {"v_mbcnt_lo_u32_b32", count_below<false>},
    {"v_mbcnt_hi_u32_b32", count_below<true>},
    {"v_permlane16_b32", permute_rows<false>},
    {"v_permlanex16_b32", permute_rows<true>},
};

}  // namespace

handler_family lane_family() { return entries; }

}  // namespace mhc::emulator
