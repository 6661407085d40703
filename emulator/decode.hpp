// emulator/decode.hpp -- machine code to operations, by LLVM's disassembler.
#pragma once

#include <memory>
#include <string_view>

#include <mhc/jit/result.hpp>

#include "emulator/operation.hpp"

namespace mhc::emulator {

/// All instructions of `code`, which begins at `address`, for a processor such as "gfx942". What is no instruction, or is
/// not known here, becomes an operation that fails when it is executed: padding and data are never reached.
jit::result<std::unique_ptr<program>> decode(std::string_view processor, std::string_view code, u64 address, u32 wave_size);

}  // namespace mhc::emulator
