// emulator/read_swizzle.hpp -- the pattern of ds_swizzle_b32 from the words that LLVM prints for it.
#pragma once

#include <string_view>
#include <vector>

#include "emulator/integers.hpp"

namespace mhc::emulator {

/// Of swizzle(QUAD_PERM,1,0,3,2), (BITMASK_PERM,"01pip"), (SWAP,16), (REVERSE,8), (BROADCAST,4,1): `name` and what follows
/// it. -1: not known.
i32 swizzle_pattern(std::string_view name, const std::vector<std::string_view>& arguments);

}  // namespace mhc::emulator
