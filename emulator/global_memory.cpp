// emulator/global_memory.cpp -- loads and stores of the device's memory, each lane within one live allocation.
#include <fmt/format.h>

#include "emulator/handlers.hpp"
#include "emulator/lanes.hpp"
#include "emulator/recorder.hpp"

namespace mhc::emulator {
namespace {

/// Addresses of the active lanes; the others' are those of one that is active, so that loops need no masks.
struct addresses {
    u64 at[lanes_max];
};

[[noreturn]] void stray(const wave& w, const addresses& all, u32 bytes, bool is_write)
{
    const memory_map& memory = *w.group->memory;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0) continue;
        const memory_region* region = memory.find(all.at[lane], bytes);
        if (region != nullptr && (region->is_writable || !is_write)) continue;
        throw fault(fmt::format("lane {}: {} of {} bytes at {:#x}, {}", lane, is_write ? "a write" : "a read", bytes,
                                all.at[lane], memory.describe(all.at[lane])),
                    static_cast<int>(lane));
    }
    throw fault("an access outside memory");
}

/// HSA sets the machine to allow any alignment, and compilers merge neighbours of 2 bytes into words at even addresses. Only
/// an odd address cannot come from types that are aligned as they should be.
void check_alignment(const wave& w, const addresses& all, u32 bytes)
{
    u64 low = 0;
    for (u32 lane = 0; lane < w.lanes; ++lane) low |= all.at[lane];
    if (bytes < 2 || (low & 1) == 0) return;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        if (w.active[lane] == 0 || (all.at[lane] & 1) == 0) continue;
        throw fault(fmt::format("lane {}: {} bytes at the odd address {:#x}, {}", lane, bytes, all.at[lane],
                                w.group->memory->describe(all.at[lane])),
                    static_cast<int>(lane));
    }
}

/// Every lane's range must be inside one region.
void check(const wave& w, const addresses& all, u32 bytes, bool is_write)
{
    if (w.group->counts != nullptr) w.group->counts->accesses_memory(w, all.at, bytes, is_write);
    if (w.group->checks != nullptr) check_alignment(w, all, bytes);
    u64 least = ~u64{0}, most = 0;
    for (u32 lane = 0; lane < w.lanes; ++lane) {
        least = all.at[lane] < least ? all.at[lane] : least;
        most = all.at[lane] > most ? all.at[lane] : most;
    }
    const memory_region* region = w.recent;
    if (region == nullptr || !region->holds(least, bytes)) region = w.group->memory->find(least, bytes);
    if (region != nullptr && region->holds(most, bytes) && (region->is_writable || !is_write)) {
        w.recent = region;
        return;
    }
    for (u32 lane = 0; lane < w.lanes; ++lane) {  // in several regions, perhaps
        region = w.group->memory->find(all.at[lane], bytes);
        if (region == nullptr || (is_write && !region->is_writable)) stray(w, all, bytes, is_write);
    }
}

/// False when no lane is active. `from`: the operand that holds the lanes' part; the one behind `base` is the wave's.
bool addresses_of(const wave& w, const operation& op, u32 from, u32 base, addresses& into)
{
    const u64 active = w.exec();
    if (active == 0) return false;
    const operand& own = op.from[from];
    const operand* shared = base < op.from_count ? &op.from[base] : nullptr;
    const auto offset = static_cast<u64>(i64{op.offset});
    if (shared != nullptr && shared->kind == operand_kind::scalar && shared->index != scalar::null) {
        const u64 begin = joined(w.s[shared->index], w.s[shared->index + 1]) + offset;
        const u32* low = own.kind == operand_kind::vector ? w.vector(own.index) : nullptr;
        for (u32 lane = 0; lane < w.lanes; ++lane) into.at[lane] = begin + (low == nullptr ? 0 : low[lane]);
    } else {
        const u32 *low = w.vector(own.index), *high = w.vector(own.index + 1U);
        for (u32 lane = 0; lane < w.lanes; ++lane) into.at[lane] = joined(low[lane], high[lane]) + offset;
    }
    if (w.is_full) return true;
    const u64 any = into.at[std::countr_zero(active)];
    for (u32 lane = 0; lane < w.lanes; ++lane) into.at[lane] = w.active[lane] != 0 ? into.at[lane] : any;
    return true;
}

const void* host(u64 address) { return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address)); }
void* host_to_write(u64 address) { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)); }

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
        {kind "_load_ubyte_d16_hi", load_part<u8, into::high_half>}, {kind "_store_dword", store_words<1>, 0},         \
        {kind "_store_dwordx2", store_words<2>, 0}, {kind "_store_dwordx3", store_words<3>, 0},                        \
        {kind "_store_dwordx4", store_words<4>, 0}, {kind "_store_byte", store_part<u8, 0>, 0},                        \
        {kind "_store_short", store_part<u16, 0>, 0}, {kind "_store_byte_d16_hi", store_part<u8, 16>, 0},              \
    {                                                                                                                  \
        kind "_store_short_d16_hi", store_part<u16, 16>, 0                                                             \
    }

const handler_entry entries[] = {MHC_MEMORY("global")};

}  // namespace

handler_family global_family() { return entries; }

}  // namespace mhc::emulator
