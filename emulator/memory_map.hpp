// emulator/memory_map.hpp -- which addresses a kernel may use: the live allocations of the device, and what a launch adds.
#pragma once

#include <string>
#include <vector>

#include "emulator/integers.hpp"

namespace mhc::emulator {

/// A range of this process's memory that kernels may use.
struct memory_region {
    u64 begin = 0, size = 0;
    std::string name;  ///< for messages: "buffer 3"
    bool is_writable = true;

    bool holds(u64 address, u64 bytes) const { return address - begin < size && size - (address - begin) >= bytes; }
};

/// Regions in the order of their addresses. Does not change while kernels run.
class memory_map {
public:
    void add(memory_region region);
    void remove(u64 begin);

    /// The region that holds all of [address, address + bytes); null: none.
    const memory_region* find(u64 address, u64 bytes) const;

    /// Where an address is that no region holds: "12 bytes past the end of buffer 3 (256 bytes at 0x...)".
    std::string describe(u64 address) const;

private:
    std::vector<memory_region> regions_;
};

}  // namespace mhc::emulator
