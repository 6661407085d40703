// emulator/scratch.hpp -- where in its scratch memory each lane's access goes.
#pragma once

#include "emulator/lanes.hpp"

namespace mhc::emulator {

/// A word of a lane's scratch memory is beside the same word of the other lanes.
inline std::size_t scratch_place(const wave& w, u32 lane, u32 offset)
{
    return (std::size_t{offset / 4} * w.lanes + lane) * 4 + offset % 4;
}

/// The first byte of each active lane's access in the lane's own memory. `address`: number of the operand with the lanes'
/// part. Throws fault where `bytes` do not fit.
void scratch_offsets(const wave& w, const operation& op, u32 address, u32 bytes, row& into);

}  // namespace mhc::emulator
