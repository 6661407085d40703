// codegen/compile_options.hpp -- the complete, ordered options each compiler gets for a target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/target.hpp"

namespace mhc::codegen {

/// The compilers that make code for a kind of target, in the order in which they are asked.
std::vector<std::string_view> compilers_of(target_kind kind);

/// "clang": cc1 arguments. "hiprtc", "nvrtc": options of hiprtcCompileProgram and nvrtcCompileProgram.
std::vector<std::string> compile_options(std::string_view backend, const target& on);

}  // namespace mhc::codegen
