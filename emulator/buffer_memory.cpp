// emulator/buffer_memory.cpp -- addresses of a raw buffer, its range, and what is outside.
//
// Source: the MI300 ISA document, "Vector Memory Buffer Instructions": buffer addressing, range checking ("raw buffers"),
// and "Memory Buffer Load to LDS".
#include "emulator/buffer_memory.hpp"

#include <fmt/format.h>

#include "emulator/lane_addresses.hpp"
#include "emulator/recorder.hpp"

namespace mhc::emulator {
namespace {

/// One access of every active lane: where it is, and how many of its bytes are inside the buffer.
struct buffer_access {
    u64 at[lanes_max];
    u32 inside[lanes_max];
};

/// `unit`: the bytes that are inside or outside together.
buffer_access access_of(const wave& w, const operation& op, u32 address, u32 bytes, u32 unit)
{
    const u32* const descriptor = w.s + op.from[address + 1U].index;
    if ((descriptor[1] >> 16 & 0x3FFFU) != 0 || descriptor[1] >> 31 != 0)
        throw fault("a buffer with a stride or swizzled; raw ones alone are modelled");
    const u64 base = joined(descriptor[0], descriptor[1] & 0xFFFFU), size = descriptor[2];
    const u64 of_wave = scalar_word(w, op.from[address + 2U]);
    const operand& own = op.from[address];
    const u32* const of_lane = own.kind == operand_kind::vector ? w.vector(own.index) : nullptr;
    buffer_access made;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        const u64 offset = u64{of_lane == nullptr ? 0 : of_lane[lane]} + static_cast<u32>(op.offset) + of_wave;
        made.at[lane] = base + offset;
        made.inside[lane] = 0;
        if (w.active[lane] == 0) continue;
        while (made.inside[lane] < bytes && offset + made.inside[lane] + unit <= size) made.inside[lane] += unit;
    }
    return made;
}

/// What is inside must be memory; counted, lanes of as many bytes together.
void check(const wave& w, const buffer_access& all, u32 bytes, u32 unit, bool is_write)
{
    for (u32 inside = unit; inside <= bytes; inside += unit) {
        addresses same;
        u64 lanes = 0;
        for (u32 lane = 0; lane < w.lanes; ++lane)
            if (w.active[lane] != 0 && all.inside[lane] == inside) lanes |= u64{1} << lane;
        if (lanes == 0) continue;
        const u64 any = all.at[std::countr_zero(lanes)];
        for (u32 lane = 0; lane < w.lanes; ++lane) same.at[lane] = (lanes >> lane & 1) != 0 ? all.at[lane] : any;
        check(w, same, inside, is_write, lanes);
    }
}

}  // namespace

bool is_memory_buffer(const wave& w, const operation& op, u32 address)
{
    constexpr u32 adds_lane_number = 1U << 23;
    return (w.s[op.from[address + 1U].index + 3U] & adds_lane_number) == 0;
}

u32 lds_place_of_load(const wave& w, const operation& op, u32 lane)
{
    return (w.s[scalar::m0] & 0xFFFFU) + static_cast<u32>(op.offset) + lane * 4;
}

void load_words_of_buffer(wave& w, const operation& op, u32 words)
{
    if (w.exec() == 0) return;
    const buffer_access all = access_of(w, op, 0, words * 4, 4);
    check(w, all, words * 4, 4, false);
    row results[4] = {};
    for (u32 lane = 0; lane < w.lanes; ++lane)
        for (u32 word = 0; word * 4 < all.inside[lane]; ++word)
            std::memcpy(&results[word].at[lane], host(all.at[lane] + u64{word} * 4), 4);
    if (!op.goes_to_lds) {
        for (u32 word = 0; word < words; ++word) write(w, op, results[word], word);
        return;
    }
    if (words != 1) throw fault("a load of several words to LDS, which this processor has not");
    std::vector<u8>& lds = w.group->lds;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const u32 place = lds_place_of_load(w, op, lane);
        if (place > lds.size() || lds.size() - place < 4 || place % 4 != 0)
            throw fault(fmt::format("lane {}: a load to LDS byte {}, of {} that the kernel has", lane, place, lds.size()),
                        static_cast<int>(lane));
        std::memcpy(lds.data() + place, &results[0].at[lane], 4);
    }
}

void load_part_of_buffer(wave& w, const operation& op, u32 bytes, bool is_signed, into where)
{
    if (op.goes_to_lds) throw fault("a load of less than a word to LDS, which is not modelled");
    if (w.exec() == 0) return;
    const buffer_access all = access_of(w, op, 0, bytes, bytes);
    check(w, all, bytes, bytes, false);
    const u32* const before = w.vector(op.to[0].index);
    const u32 unused = 32 - bytes * 8;
    row result;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        u32 value = 0;
        if (all.inside[lane] != 0) std::memcpy(&value, host(all.at[lane]), bytes);
        if (is_signed) value = static_cast<u32>(static_cast<i32>(value << unused) >> unused);
        result[lane] = where == into::whole      ? value
                       : where == into::low_half ? (before[lane] & 0xFFFF0000U) | (value & 0xFFFFU)
                                                 : (before[lane] & 0xFFFFU) | value << 16;
    }
    write(w, op, result);
}

void store_to_buffer(const wave& w, const operation& op, u32 bytes, u32 shift)
{
    if (w.exec() == 0) return;
    const u32 unit = bytes < 4 ? bytes : 4;
    const buffer_access all = access_of(w, op, 1, bytes, unit);
    check(w, all, bytes, unit, true);
    const u32* const data = w.vector(op.from[0].index);
    for (u32 lane = 0; lane < w.lanes; ++lane)
        for (u32 at = 0; at < all.inside[lane]; at += unit) {
            const u32 value = data[at / 4 * w.lanes + lane] >> shift;
            std::memcpy(host_to_write(all.at[lane] + at), &value, unit);
        }
}

}  // namespace mhc::emulator
