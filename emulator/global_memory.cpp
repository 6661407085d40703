// emulator/global_memory.cpp -- loads and stores of the device's memory, each lane within one live allocation.
//
// A flat access is one of memory: LDS and scratch are not reached through it, and an address in theirs is a fault.
#include "emulator/handlers.hpp"
#include "emulator/lane_addresses.hpp"
#include "emulator/lanes.hpp"

namespace mhc::emulator {
namespace {

template <u32 Words>
void load_words(wave& w, const operation& op)
{
    addresses all;
    if (!addresses_of(w, op, 0, 1, all)) return;
    check(w, all, Words * 4, false);
    row results[Words];
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        u32 words[Words];
        std::memcpy(words, host(all.at[lane]), sizeof(words));
        for (u32 word = 0; word < Words; ++word) results[word].at[lane] = words[word];
    }
    for (u32 word = 0; word < Words; ++word) write(w, op, results[word], word);
}

template <u32 Words>
void store_words(wave& w, const operation& op)
{
    addresses all;
    if (!addresses_of(w, op, 0, 2, all)) return;
    check(w, all, Words * 4, true);
    const u32* data = w.vector(op.from[1].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        u32 words[Words];
        for (u32 word = 0; word < Words; ++word) words[word] = data[word * w.lanes + lane];
        std::memcpy(host_to_write(all.at[lane]), words, sizeof(words));
    }
}

enum class into { whole, low_half, high_half };

template <class T, into Where>
void load_part(wave& w, const operation& op)
{
    addresses all;
    if (!addresses_of(w, op, 0, 1, all)) return;
    check(w, all, sizeof(T), false);
    row result;
    const u32* before = w.vector(op.to[0].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        T value{};
        std::memcpy(&value, host(all.at[lane]), sizeof(T));
        const auto bits = static_cast<u32>(static_cast<i32>(value));
        result[lane] = Where == into::whole      ? bits
                       : Where == into::low_half ? (before[lane] & 0xFFFF0000U) | (bits & 0xFFFFU)
                                                 : (before[lane] & 0xFFFFU) | bits << 16;
    }
    write(w, op, result);
}

template <class T, u32 Shift>
void store_part(wave& w, const operation& op)
{
    addresses all;
    if (!addresses_of(w, op, 0, 2, all)) return;
    check(w, all, sizeof(T), true);
    const u32* data = w.vector(op.from[1].index);
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const auto value = static_cast<T>(data[lane] >> Shift);
        std::memcpy(host_to_write(all.at[lane]), &value, sizeof(T));
    }
}

#define MHC_MEMORY(kind)                                                                                               \
    {kind "_load_dword", load_words<1>}, {kind "_load_dwordx2", load_words<2>}, {kind "_load_dwordx3", load_words<3>}, \
        {kind "_load_dwordx4", load_words<4>}, {kind "_load_ubyte", load_part<u8, into::whole>},                       \
        {kind "_load_sbyte", load_part<i8, into::whole>}, {kind "_load_ushort", load_part<u16, into::whole>},          \
        {kind "_load_sshort", load_part<i16, into::whole>}, {kind "_load_short_d16", load_part<u16, into::low_half>},  \
        {kind "_load_short_d16_hi", load_part<u16, into::high_half>},                                                  \
        {kind "_load_ubyte_d16", load_part<u8, into::low_half>},                                                       \
        {kind "_load_ubyte_d16_hi", load_part<u8, into::high_half>},                                                   \
        {kind "_load_sbyte_d16", load_part<i8, into::low_half>},                                                       \
        {kind "_load_sbyte_d16_hi", load_part<i8, into::high_half>}, {kind "_store_dword", store_words<1>, 0},         \
        {kind "_store_dwordx2", store_words<2>, 0}, {kind "_store_dwordx3", store_words<3>, 0},                        \
        {kind "_store_dwordx4", store_words<4>, 0}, {kind "_store_byte", store_part<u8, 0>, 0},                        \
        {kind "_store_short", store_part<u16, 0>, 0}, {kind "_store_byte_d16_hi", store_part<u8, 16>, 0},              \
    {                                                                                                                  \
        kind "_store_short_d16_hi", store_part<u16, 16>, 0                                                             \
    }

const handler_entry entries[] = {MHC_MEMORY("global"), MHC_MEMORY("flat")};

}  // namespace

handler_family global_family() { return entries; }

}  // namespace mhc::emulator
