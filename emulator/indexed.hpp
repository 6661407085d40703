// emulator/indexed.hpp -- gfx9's indexed registers: between s_set_gpr_idx_on and s_set_gpr_idx_off M0 is added to the
// numbers of vector registers.
#pragma once

#include "emulator/effects.hpp"
#include "emulator/operation.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

/// Bits of M0 that the mode reads: the index, and to which operands it is added.
inline constexpr u32 index_bits = 0xF0FF;

/// Marks the vector instructions that stand between the two, in the program's order. A branch between them is not
/// modelled: it becomes an unknown instruction.
void mark_indexed(program& code);

/// The instruction with the registers that M0 says now. Throws fault: there is no such register.
operation indexed(const wave& w, const operation& op);

/// What that one reads and writes, from what the instruction as it is written does.
effects indexed_effects(const wave& w, const operation& op, const effects& of);

}  // namespace mhc::emulator
