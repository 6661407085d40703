// emulator/assembly.hpp -- reads one instruction as LLVM prints it: name, operands, modifiers.
//
// The printed form is what AMD documents and what LLVM keeps stable; the order of operands inside LLVM's own instructions
// is neither.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "emulator/operation.hpp"

namespace mhc::emulator {

/// A text that was not understood; the message says which part of it.
struct unreadable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Fills operands and modifiers of `made`; `made.run` is null where no handler has the name, and the name is returned.
/// Throws unreadable.
std::string read_instruction(std::string_view text, operation& made);

}  // namespace mhc::emulator
