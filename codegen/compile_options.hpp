// codegen/compile_options.hpp -- the complete, ordered options each compiler gets for a target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/target.hpp"

namespace mhc::codegen {

/// "clang": cc1 arguments. "hiprtc": options of hiprtcCompileProgram.
std::vector<std::string> compile_options(std::string_view backend, const target& on);

}  // namespace mhc::codegen
