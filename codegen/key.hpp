// codegen/key.hpp -- the cache key: every fact that decides the bytes of a code object, as canonical text.
//
// Hashing is the caller's (SHA-256 of `canonical`). Not in the key: paths, host names, times, the library's version.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/plan.hpp"

namespace mhc::codegen {

/// Changes when the argument block or the entry's calling convention does.
inline constexpr int abi_version = 1;

struct key_text {
    std::map<std::string, std::string> fields;
    /// Domain string, then each (field, value) in field order, both length-prefixed: no two maps give the same bytes.
    std::string canonical() const;
};

/// All fields but `toolchain`, which names the compiler that was chosen. The options of every compiler for the target are
/// in, so that this part is the same whichever compiles. `source_digest` covers texts_of(k).
key_text key_of(const kernel_plan& k, const target& on, std::string_view source_digest);

}  // namespace mhc::codegen
