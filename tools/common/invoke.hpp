// tools/common/invoke.hpp -- calls an operator by name, with its tensors by name.
#pragma once

#include <map>
#include <string>

#include <mhc/jit/layer.hpp>

#include "tools/common/problem.hpp"

namespace mhc::tools {

/// A tensor's address on the target; absent for an optional one that was not given.
using pointers = std::map<std::string, void*, std::less<>>;

/// Enqueues the operator on `stream`, every [T,n,C] tensor with strides `given`. Errors: launch_failed.
jit::result<void> invoke(const jit::compiled_layer& layer, const problem& what, const pointers& tensors, void* workspace,
                         const jit::strides& given, void* stream = nullptr);

}  // namespace mhc::tools
