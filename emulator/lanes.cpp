// emulator/lanes.cpp -- the rarer ways to read and write lanes: SDWA's parts, DPP's moves, names that are computed.
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

/// Where a part lies in its word.
struct bit_range {
    u32 shift, width;
};
bit_range range_of(part which)
{
    const u32 number = static_cast<u32>(which);
    if (which == part::dword) return {0, 32};
    if (number < 4) return {number * 8, 8};
    return {(number - 4) * 16, 16};
}

/// The lane that `lane` reads, or none. Rows have 16 lanes.
constexpr u32 nowhere = ~0U;
u32 source_lane(const lane_move& by, u32 lane, u32 lanes)
{
    using kind = lane_move::kind;
    const u32 row_begin = lane & ~15U, in_row = lane & 15U, amount = by.amount;
    switch (by.how) {
        case kind::quad_perm:
            return (lane & ~3U) + by.selected[lane & 3U];
        case kind::dpp8:
            return (lane & ~7U) + by.selected[lane & 7U];
        case kind::row_shl:
            return in_row + amount < 16 ? lane + amount : nowhere;
        case kind::row_shr:
            return in_row >= amount ? lane - amount : nowhere;
        case kind::row_ror:
            return row_begin + ((in_row + 16 - amount) & 15U);
        case kind::row_mirror:
            return row_begin + 15 - in_row;
        case kind::row_half_mirror:
            return (lane & ~7U) + 7 - (lane & 7U);
        case kind::row_share:
        case kind::row_newbcast:
            return row_begin + amount;
        case kind::row_xmask:
            return row_begin + (in_row ^ amount);
        case kind::row_bcast15:  // the last lane of a row goes to all of the next
            return lane >= 16 ? row_begin - 1 : nowhere;
        case kind::row_bcast31:
            return lane >= 32 ? 31 : nowhere;
        case kind::wave_shl:
            return lane + 1 < lanes ? lane + 1 : nowhere;
        case kind::wave_shr:
            return lane >= 1 ? lane - 1 : nowhere;
        case kind::wave_rol:
            return (lane + 1) % lanes;
        case kind::wave_ror:
            return (lane + lanes - 1) % lanes;
        case kind::none:
            break;
    }
    return lane;
}

bool may_write(const lane_move& by, u32 lane)
{
    return (by.row_mask >> (lane / 16 % 4) & 1) != 0 && (by.bank_mask >> (lane % 16 / 4) & 1) != 0;
}

}  // namespace

u32 read_special(const wave& w, u32 index)
{
    switch (index) {
        case scalar::scc:
            return w.scc ? 1 : 0;
        case scalar::vccz:
            return w.vcc() == 0 ? 1 : 0;
        default:
            return w.exec() == 0 ? 1 : 0;
    }
}

u32 scalar_part(const wave& w, const operand& from)
{
    const auto [shift, width] = range_of(from.selected);
    const u32 bits = scalar_word(w, from) >> shift << (32 - width);
    return from.is_sign_extended ? static_cast<u32>(static_cast<i32>(bits) >> (32 - width)) : bits >> (32 - width);
}

u64 move_lanes(const wave& w, const lane_move& by, const u32* from, row& into)
{
    row moved;
    u64 writable = 0;
    const u64 active = w.exec();
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        const u32 source = source_lane(by, lane, w.lanes);
        // A lane that is not active has nothing to give, like one outside the row.
        const bool has_source = source != nowhere && (active >> source & 1) != 0;
        moved[lane] = has_source ? from[source] : 0;
        if (may_write(by, lane) && (has_source || by.is_zero_outside)) writable |= u64{1} << lane;
    }
    into = moved;
    return writable;
}

const u32* read_modified(const wave& w, const operation& op, const operand& from, u32 word, row& buffer)
{
    const u32* words = w.vector(from.index + word);
    if (from.is_moved) {
        move_lanes(w, op.move, words, buffer);
        words = buffer.at;
    }
    const auto [shift, width] = range_of(from.selected);
    const u32 above = 32 - width;
    if (from.is_sign_extended)
        each_lane(w, [&, shift = shift](u32 lane) {
            buffer[lane] = static_cast<u32>(static_cast<i32>(words[lane] >> shift << above) >> above);
        });
    else
        each_lane(w, [&, shift = shift](u32 lane) { buffer[lane] = words[lane] >> shift << above >> above; });
    return buffer.at;
}

void write_modified(wave& w, const operation& op, u32 word, const row& result)
{
    u32* const to = w.vector(op.to[0].index + word);
    u64 mask = w.exec();
    if (op.move.how != lane_move::kind::none) {
        row unused;
        mask &= move_lanes(w, op.move, result.at, unused);
    }
    const auto [shift, width] = range_of(op.written);
    const u32 field = width == 32 ? ~0U : ((1U << width) - 1) << shift;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        const u32 value = result[lane] << shift & field;
        u32 rest = op.keeps_unused ? to[lane] & ~field : 0;
        const bool is_negative = (result[lane] >> (width - 1) & 1) != 0;
        if (op.sign_extends_unused && is_negative) rest = shift + width == 32 ? 0 : ~0U << (shift + width);
        to[lane] = value | rest;
    }
}

}  // namespace mhc::emulator
