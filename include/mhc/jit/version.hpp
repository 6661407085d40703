// mhc/jit/version.hpp -- the library's version.
#pragma once

namespace mhc::jit {

/// "0.1.0"
const char* version() noexcept;

}  // namespace mhc::jit
