// emulator/lane_addresses.cpp -- addresses of lanes, and what may be wrong with them.
#include "emulator/lane_addresses.hpp"

#include <fmt/format.h>

#include "emulator/recorder.hpp"

namespace mhc::emulator {
namespace {

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

}  // namespace

void check(const wave& w, const addresses& all, u32 bytes, bool is_write, u64 lanes)
{
    if (w.group->counts != nullptr) w.group->counts->accesses_memory(lanes, all.at, bytes, is_write);
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

}  // namespace mhc::emulator
