// emulator/start_state.hpp -- what registers and arguments hold when a kernel begins.
#pragma once

#include <vector>

#include "emulator/effects.hpp"
#include "emulator/launch.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

/// What a register holds that nothing was written to: a signalling NaN that is easily known.
inline constexpr u32 unwritten = 0x7FADBEEFU;

/// The kernel's arguments, hidden ones too, as the runtime lays them down: at a multiple of 64 bytes, with zeros up to the
/// next 16, because compilers load three words as four. The dispatch packet is further on, with a gap between.
class argument_block {
public:
    explicit argument_block(const launch_request& of);

    u64 address() const { return address_; }
    u64 bytes() const { return bytes_; }
    u64 packet_address() const { return packet_address_; }

    static constexpr u64 packet_bytes = 64;

private:
    std::vector<u8> memory_;
    u64 address_ = 0, bytes_ = 0, packet_address_ = 0;
};

/// Scalars, exec and work-item numbers of a wave that has its registers and scratch memory already. Returns the scalars that
/// a kernel may read: the machine or the runtime has set them.
scalar_set start(wave& w, const launch_request& of, const argument_block& block);

}  // namespace mhc::emulator
