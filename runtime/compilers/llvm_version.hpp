// runtime/compilers/llvm_version.hpp -- what changed between LLVM 17 and 22 and concerns more than one line.
#pragma once

#include <llvm/Config/llvm-config.h>
#include <llvm/TargetParser/Triple.h>

#include <string>

namespace mhc::runtime::compilers {

/// What LLVM's target registry is asked with: a text until 21, then the triple itself.
#if LLVM_VERSION_MAJOR >= 22
inline const llvm::Triple& registry_name(const llvm::Triple& triple) { return triple; }
#else
inline std::string registry_name(const llvm::Triple& triple) { return triple.str(); }
#endif

}  // namespace mhc::runtime::compilers
