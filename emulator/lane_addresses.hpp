// emulator/lane_addresses.hpp -- where the lanes of one instruction reach into memory, checked.
#pragma once

#include "emulator/lanes.hpp"

namespace mhc::emulator {

/// Addresses of the active lanes; the others' are those of one that is active, so that loops need no masks.
struct addresses {
    u64 at[lanes_max];
};

/// False when no lane is active. `from`: the operand that holds the lanes' part; the one behind `base` is the wave's.
bool addresses_of(const wave& w, const operation& op, u32 from, u32 base, addresses& into);

/// Every lane's range must be inside one region; counted, those of `lanes`. Throws fault.
void check(const wave& w, const addresses& all, u32 bytes, bool is_write, u64 lanes);
inline void check(const wave& w, const addresses& all, u32 bytes, bool is_write)
{
    check(w, all, bytes, is_write, w.exec());
}

inline const void* host(u64 address) { return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address)); }
inline void* host_to_write(u64 address) { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)); }

}  // namespace mhc::emulator
