// emulator/instruction_names.hpp -- one name for an operation, whatever its encoding and generation call it.
#pragma once

#include <string>
#include <string_view>

namespace mhc::emulator {

/// What the constants of an instruction are: it decides what an inline 1.0, or the upper half of -1, is.
enum class number_type { bits_32, signed_64, unsigned_64, half, single, double_ };

/// "v_add_f32_e64" and "v_dual_add_f32" are v_add_f32; "global_load_b128" is global_load_dwordx4.
std::string canonical_name(std::string_view mnemonic);

/// The type of a canonical name's constants: of its sources, which its last type names.
number_type constant_type(std::string_view name);

}  // namespace mhc::emulator
