// emulator/relocations.hpp -- addresses in a code object's data, put right for where it was loaded.
#pragma once

#include <string_view>

#include <mhc/jit/result.hpp>

#include "emulator/integers.hpp"
#include "runtime/elf_object.hpp"

namespace mhc::emulator {

/// Applies the dynamic relocations of `elf`, whose image of `size` bytes begins at `base`. Errors: load_failed, naming a
/// kind that is not known, or a place or a symbol that is not in the object.
jit::result<void> relocate(std::string_view elf, const runtime::elf_object& object, u64 base, u64 size);

}  // namespace mhc::emulator
