// emulator/lds.cpp -- the work-group's own memory: reads and writes of it, a part or several words a lane.
#include <fmt/format.h>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

/// The byte range of one lane's access, which must be inside and aligned.
u8* place(const wave& w, u32 lane, u32 address, u32 bytes, u32 alignment)
{
    std::vector<u8>& lds = w.group->lds;
    if (address > lds.size() || lds.size() - address < bytes)
        throw fault(fmt::format("lane {}: LDS bytes {} to {}, of {} that the kernel has", lane, address,
                                u64{address} + bytes - 1, lds.size()),
                    static_cast<int>(lane));
    if (address % alignment != 0)
        throw fault(fmt::format("lane {}: LDS address {} is no multiple of {}", lane, address, alignment),
                    static_cast<int>(lane));
    return lds.data() + address;
}

/// Whole words. ds_read_b96 and b128 want 16 bytes' alignment, or the machine splits them; here 4 will do.
template <u32 Words>
void read_words(wave& w, const operation& op)
{
    row buffer, results[Words];
    const u32* address = read(w, op, op.from[0], 0, buffer);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const u8* from = place(w, lane, address[lane] + static_cast<u32>(op.offset), Words * 4, 4);
        for (u32 word = 0; word < Words; ++word) std::memcpy(&results[word].at[lane], from + word * 4, 4);
    }
    for (u32 word = 0; word < Words; ++word) write(w, op, results[word], word);
}

template <u32 Words>
void write_words(wave& w, const operation& op)
{
    row buffer;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    const u32* data = w.vector(op.from[1].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        u8* to = place(w, lane, address[lane] + static_cast<u32>(op.offset), Words * 4, 4);
        for (u32 word = 0; word < Words; ++word) std::memcpy(to + word * 4, data + word * w.lanes + lane, 4);
    }
}

/// Two places, offsets counted in elements times Stride.
template <u32 Words, u32 Stride>
void read_pair(wave& w, const operation& op)
{
    row buffer, results[2 * Words];
    const u32* address = read(w, op, op.from[0], 0, buffer);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        for (u32 half = 0; half < 2; ++half) {
            const auto offset = static_cast<u32>(half == 0 ? op.offset : op.offset_1) * Words * 4 * Stride;
            const u8* from = place(w, lane, address[lane] + offset, Words * 4, Words * 4);
            for (u32 word = 0; word < Words; ++word) std::memcpy(&results[half * Words + word].at[lane], from + word * 4, 4);
        }
    }
    for (u32 word = 0; word < 2 * Words; ++word) write(w, op, results[word], word);
}

template <u32 Words, u32 Stride>
void write_pair(wave& w, const operation& op)
{
    row buffer;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        for (u32 half = 0; half < 2; ++half) {
            const auto offset = static_cast<u32>(half == 0 ? op.offset : op.offset_1) * Words * 4 * Stride;
            const u32* data = w.vector(op.from[1 + half].index);
            u8* to = place(w, lane, address[lane] + offset, Words * 4, Words * 4);
            for (u32 word = 0; word < Words; ++word) std::memcpy(to + word * 4, data + word * w.lanes + lane, 4);
        }
    }
}

enum class into { whole, low_half, high_half };

/// A byte or a 16-bit half, extended, or into one half of the destination.
template <class T, into Where>
void read_part(wave& w, const operation& op)
{
    row buffer, result;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    const u32* before = w.vector(op.to[0].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        T value{};
        std::memcpy(&value, place(w, lane, address[lane] + static_cast<u32>(op.offset), sizeof(T), sizeof(T)), sizeof(T));
        const auto bits = static_cast<u32>(static_cast<i32>(value));
        result[lane] = Where == into::whole      ? bits
                       : Where == into::low_half ? (before[lane] & 0xFFFF0000U) | (bits & 0xFFFFU)
                                                 : (before[lane] & 0xFFFFU) | bits << 16;
    }
    write(w, op, result);
}

template <class T, u32 Shift>
void write_part(wave& w, const operation& op)
{
    row buffer;
    const u32* address = read(w, op, op.from[0], 0, buffer);
    const u32* data = w.vector(op.from[1].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const auto value = static_cast<T>(data[lane] >> Shift);
        std::memcpy(place(w, lane, address[lane] + static_cast<u32>(op.offset), sizeof(T), sizeof(T)), &value, sizeof(T));
    }
}

/// ds_swizzle_b32: four lanes permuted, or masks over the lane number in groups of 32.
void swizzle(wave& w, const operation& op)
{
    const auto pattern = static_cast<u32>(op.offset);
    const u32* value = w.vector(op.from[0].index);
    row result;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        const u32 in_group = lane & 31U;
        u32 source = 0;
        if ((pattern & 0x8000U) != 0)
            source = (lane & ~3U) + (pattern >> ((lane & 3U) * 2) & 3U);
        else
            source = (lane & ~31U) + ((((in_group & (pattern & 31U)) | (pattern >> 5 & 31U)) ^ (pattern >> 10 & 31U)) & 31U);
        result[lane] = w.active[source] != 0 ? value[source] : 0;
    }
    write(w, op, result);
}

const handler_entry entries[] = {
    {"ds_read_b32", read_words<1>},
    {"ds_read_b64", read_words<2>},
    {"ds_read_b96", read_words<3>},
    {"ds_read_b128", read_words<4>},
    {"ds_write_b32", write_words<1>, 0},
    {"ds_write_b64", write_words<2>, 0},
    {"ds_write_b96", write_words<3>, 0},
    {"ds_write_b128", write_words<4>, 0},
    {"ds_read2_b32", read_pair<1, 1>},
    {"ds_read2_b64", read_pair<2, 1>},
    {"ds_read2st64_b32", read_pair<1, 64>},
    {"ds_read2st64_b64", read_pair<2, 64>},
    {"ds_write2_b32", write_pair<1, 1>, 0},
    {"ds_write2_b64", write_pair<2, 1>, 0},
    {"ds_write2st64_b32", write_pair<1, 64>, 0},
    {"ds_write2st64_b64", write_pair<2, 64>, 0},
    {"ds_read_u8", read_part<u8, into::whole>},
    {"ds_read_i8", read_part<i8, into::whole>},
    {"ds_read_u16", read_part<u16, into::whole>},
    {"ds_read_i16", read_part<i16, into::whole>},
    {"ds_read_u16_d16", read_part<u16, into::low_half>},
    {"ds_read_u16_d16_hi", read_part<u16, into::high_half>},
    {"ds_read_u8_d16", read_part<u8, into::low_half>},
    {"ds_read_u8_d16_hi", read_part<u8, into::high_half>},
    {"ds_read_i8_d16", read_part<i8, into::low_half>},
    {"ds_read_i8_d16_hi", read_part<i8, into::high_half>},
    {"ds_write_b8", write_part<u8, 0>, 0},
    {"ds_write_b8_d16_hi", write_part<u8, 16>, 0},
    {"ds_write_b16", write_part<u16, 0>, 0},
    {"ds_write_b16_d16_hi", write_part<u16, 16>, 0},
    {"ds_swizzle_b32", swizzle},
};

}  // namespace

handler_family lds_family() { return entries; }

}  // namespace mhc::emulator
