// emulator/counting_rule.hpp -- how an instruction is counted: decided once, when a code object is decoded.
#pragma once

#include <string_view>

#include "emulator/integers.hpp"

namespace mhc::emulator {

/// The parts of a compute unit that execute instructions; one instruction is of one class.
enum class instruction_class : u8 { vector, transcendental, scalar, scalar_memory, global, lds, matrix, other };
inline constexpr u32 instruction_class_count = 8;

struct counting_rule {
    instruction_class of = instruction_class::other;
    bool is_barrier = false;  ///< a wave arrives at one
    u8 lds_passes = 0;        ///< cycles of LDS or its crossbar for 32 lanes, without conflicts
    // Of an access to LDS:
    u8 lds_bytes = 0;   ///< a lane and place; 0: it touches no LDS
    u8 lds_places = 0;  ///< 2 for read2 and write2
    u8 lds_stride = 1;  ///< of the second kind of pairs, in elements
    bool is_lds_read = false;
};

/// `name` is canonical. What no class fits is `other`.
counting_rule counting_rule_of(std::string_view name);

}  // namespace mhc::emulator
