// emulator/scratch.cpp -- the lanes' own memory: scratch_ instructions, and gfx9's buffers where they are scratch.
//
// Sources: AMDGPUUsage, "Private Segment Buffer", "Flat Scratch"; the MI200 and MI300 ISA documents, "Buffer addressing"
// with add_tid_enable and swizzle_enable.
#include "emulator/scratch.hpp"

#include <fmt/format.h>

#include <type_traits>

#include "emulator/buffer_memory.hpp"
#include "emulator/handlers.hpp"

namespace mhc::emulator {
namespace {

/// The part of an address that all lanes share, in bytes of a lane.
u32 shared_offset(const wave& w, const operation& op, u32 address)
{
    const auto own = static_cast<u32>(op.offset);
    const operand& descriptor = op.from[address + 1U];
    const bool is_buffer = descriptor.kind == operand_kind::scalar && descriptor.words == 4;
    if (!is_buffer) {  // behind the address, or behind the data that a store has there
        const operand& last = op.from[op.from_count - 1U];
        const bool has_register = op.from_count > address + 1U && last.kind == operand_kind::scalar;
        const u64 base = joined(w.s[102], w.s[103]);
        if (!w.group->has_architected_scratch && base != reinterpret_cast<std::uintptr_t>(w.scratch))
            throw fault(fmt::format("flat_scratch is {:#x}, where this wave has no scratch memory", base));
        return own + (has_register ? scalar_word(w, last) : 0);
    }
    // The base and the scalar offset are addresses of the wave's memory: `lanes` times what a lane has.
    const u64 base = joined(w.s[descriptor.index], w.s[descriptor.index + 1U] & 0xFFFFU);
    const u64 whole = base + scalar_word(w, op.from[address + 2U]) - reinterpret_cast<std::uintptr_t>(w.scratch);
    if (whole % w.lanes != 0 || whole / w.lanes > w.scratch_bytes)
        throw fault(fmt::format("a buffer at {:#x}, where this wave has no scratch memory", base));
    return own + static_cast<u32>(whole / w.lanes);
}

template <u32 Words>
void load_words(wave& w, const operation& op)
{
    row offsets, results[Words];
    scratch_offsets(w, op, 0, Words * 4, offsets);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        for (u32 byte = 0; byte < Words * 4; ++byte) {
            const u32 value = w.scratch[scratch_place(w, lane, offsets[lane] + byte)];
            u32& word = results[byte / 4][lane];
            word = byte % 4 == 0 ? value : word | value << (byte % 4 * 8);
        }
    }
    for (u32 word = 0; word < Words; ++word) write(w, op, results[word], word);
}

/// `Bytes` of the data, from bit `Shift` on. A buffer's data is before its address.
template <u32 Bytes, bool IsBuffer, u32 Shift = 0>
void store(wave& w, const operation& op)
{
    row offsets;
    scratch_offsets(w, op, IsBuffer ? 1 : 0, Bytes, offsets);
    const u32* const data = w.vector(op.from[IsBuffer ? 0 : 1].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        for (u32 byte = 0; byte < Bytes; ++byte) {
            const u32 value = data[byte / 4 * w.lanes + lane] >> (Shift + byte % 4 * 8);
            w.scratch[scratch_place(w, lane, offsets[lane] + byte)] = static_cast<u8>(value);
        }
    }
}

template <class T, into Where>
void load_part(wave& w, const operation& op)
{
    row offsets, result;
    scratch_offsets(w, op, 0, sizeof(T), offsets);
    const u32* const before = w.vector(op.to[0].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        u32 value = 0;
        for (u32 byte = 0; byte < sizeof(T); ++byte)
            value |= u32{w.scratch[scratch_place(w, lane, offsets[lane] + byte)]} << (byte * 8);
        const auto bits = static_cast<u32>(static_cast<i32>(static_cast<T>(value)));
        result[lane] = Where == into::whole      ? bits
                       : Where == into::low_half ? (before[lane] & 0xFFFF0000U) | (bits & 0xFFFFU)
                                                 : (before[lane] & 0xFFFFU) | bits << 16;
    }
    write(w, op, result);
}

// A buffer is memory where its descriptor says so, which is seen when the instruction is executed.
template <u32 Words, bool IsBuffer>
void load_words_of_either(wave& w, const operation& op)
{
    if (IsBuffer && is_memory_buffer(w, op, 0)) return load_words_of_buffer(w, op, Words);
    load_words<Words>(w, op);
}
template <class T, into Where, bool IsBuffer>
void load_part_of_either(wave& w, const operation& op)
{
    if (IsBuffer && is_memory_buffer(w, op, 0)) return load_part_of_buffer(w, op, sizeof(T), std::is_signed_v<T>, Where);
    load_part<T, Where>(w, op);
}
template <u32 Bytes, bool IsBuffer, u32 Shift = 0>
void store_either(wave& w, const operation& op)
{
    if (IsBuffer && is_memory_buffer(w, op, 1)) return store_to_buffer(w, op, Bytes, Shift);
    store<Bytes, IsBuffer, Shift>(w, op);
}

#define MHC_SCRATCH(kind, is_buffer)                                                                                      \
    {kind "_load_dword", load_words_of_either<1, is_buffer>}, {kind "_load_dwordx2", load_words_of_either<2, is_buffer>}, \
        {kind "_load_dwordx3", load_words_of_either<3, is_buffer>},                                                       \
        {kind "_load_dwordx4", load_words_of_either<4, is_buffer>},                                                       \
        {kind "_load_ubyte", load_part_of_either<u8, into::whole, is_buffer>},                                            \
        {kind "_load_sbyte", load_part_of_either<i8, into::whole, is_buffer>},                                            \
        {kind "_load_ushort", load_part_of_either<u16, into::whole, is_buffer>},                                          \
        {kind "_load_sshort", load_part_of_either<i16, into::whole, is_buffer>},                                          \
        {kind "_load_short_d16", load_part_of_either<u16, into::low_half, is_buffer>},                                    \
        {kind "_load_short_d16_hi", load_part_of_either<u16, into::high_half, is_buffer>},                                \
        {kind "_load_ubyte_d16", load_part_of_either<u8, into::low_half, is_buffer>},                                     \
        {kind "_load_sbyte_d16", load_part_of_either<i8, into::low_half, is_buffer>},                                     \
        {kind "_load_ubyte_d16_hi", load_part_of_either<u8, into::high_half, is_buffer>},                                 \
        {kind "_load_sbyte_d16_hi", load_part_of_either<i8, into::high_half, is_buffer>},                                 \
        {kind "_store_dword", store_either<4, is_buffer>, 0}, {kind "_store_dwordx2", store_either<8, is_buffer>, 0},     \
        {kind "_store_dwordx3", store_either<12, is_buffer>, 0}, {kind "_store_dwordx4", store_either<16, is_buffer>, 0}, \
        {kind "_store_byte", store_either<1, is_buffer>, 0}, {kind "_store_short", store_either<2, is_buffer>, 0},        \
        {kind "_store_byte_d16_hi", store_either<1, is_buffer, 16>, 0},                                                   \
    {                                                                                                                     \
        kind "_store_short_d16_hi", store_either<2, is_buffer, 16>, 0                                                     \
    }

const handler_entry entries[] = {MHC_SCRATCH("scratch", false), MHC_SCRATCH("buffer", true)};

}  // namespace

void scratch_offsets(const wave& w, const operation& op, u32 address, u32 bytes, row& into)
{
    if (w.exec() == 0) return;
    const u32 shared = shared_offset(w, op, address);
    const operand& own = op.from[address];
    const u32* const offsets = own.kind == operand_kind::vector ? w.vector(own.index) : nullptr;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const u32 offset = shared + (offsets == nullptr ? 0 : offsets[lane]);
        if (offset > w.scratch_bytes || w.scratch_bytes - offset < bytes)
            throw fault(fmt::format("lane {}: scratch bytes {} to {}, of {} that a work-item has", lane, offset,
                                    u64{offset} + bytes - 1, w.scratch_bytes),
                        static_cast<int>(lane));
        into[lane] = offset;
    }
}

handler_family scratch_family() { return entries; }

}  // namespace mhc::emulator
