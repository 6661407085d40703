// emulator/address_range.hpp -- a stretch of the device's memory.
#pragma once

#include "emulator/integers.hpp"

namespace mhc::emulator {

struct address_range {
    u64 begin = 0, size = 0;

    bool holds(u64 address) const { return address - begin < size; }
};

}  // namespace mhc::emulator
