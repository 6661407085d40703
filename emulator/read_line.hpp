// emulator/read_line.hpp -- a line of disassembly to an operation, with what depends on the generation of the processor.
#pragma once

#include <string_view>

#include "emulator/operation.hpp"

namespace mhc::emulator {

/// Fills `op`, whose address and text are set, from a line; the halves of a dual issue go to `into`. What is not known or not
/// understood gets run_unknown. `generation`: 9 of gfx942, 11 of gfx1100.
void read_line(std::string_view line, int generation, program& into, operation& op);

}  // namespace mhc::emulator
