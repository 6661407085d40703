// emulator/memory_map.cpp -- finds the region of an address, and the nearest one to a stray address.
#include "emulator/memory_map.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mhc::emulator {
namespace {

/// The first region that begins behind `address`.
auto behind(const std::vector<memory_region>& regions, u64 address)
{
    return std::upper_bound(regions.begin(), regions.end(), address,
                            [](u64 wanted, const memory_region& each) { return wanted < each.begin; });
}

}  // namespace

void memory_map::add(memory_region region) { regions_.insert(behind(regions_, region.begin), std::move(region)); }

void memory_map::remove(u64 begin)
{
    std::erase_if(regions_, [&](const memory_region& each) { return each.begin == begin; });
}

const memory_region* memory_map::find(u64 address, u64 bytes) const
{
    const auto next = behind(regions_, address);
    if (next == regions_.begin()) return nullptr;
    const memory_region& candidate = *(next - 1);
    return candidate.holds(address, bytes) ? &candidate : nullptr;
}

std::string memory_map::describe(u64 address) const
{
    const auto text = [](u64 distance, const char* where, const memory_region& of) {
        return fmt::format("{} bytes {} {} ({} bytes at {:#x}{})", distance, where, of.name, of.size, of.begin,
                           of.is_writable ? "" : ", read-only");
    };
    const auto next = behind(regions_, address);
    const u64 none = ~u64{0};
    const u64 after = next == regions_.end() ? none : next->begin - address;
    if (next != regions_.begin()) {
        const memory_region& before = *(next - 1);
        if (address - before.begin < before.size) return text(address - before.begin, "into", before);
        const u64 past = address - before.begin - before.size;
        if (past <= after) return text(past, "past the end of", before);
    }
    if (after == none) return "no memory is allocated";
    return text(after, "before the beginning of", *next);
}

}  // namespace mhc::emulator
