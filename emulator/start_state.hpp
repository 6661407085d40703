// emulator/start_state.hpp -- what registers and arguments hold when a kernel begins.
#pragma once

#include <vector>

#include "emulator/launch.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

/// What a register holds that nothing was written to: a signalling NaN that is easily known.
inline constexpr u32 unwritten = 0x7FADBEEFU;

/// The argument block with the hidden arguments that the metadata lists.
std::vector<u8> argument_block(const launch_request& of);

/// Scalars, exec and work-item numbers of a wave that has its registers already.
void start(wave& w, const launch_request& of, u64 arguments);

}  // namespace mhc::emulator
