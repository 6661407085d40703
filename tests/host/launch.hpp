// tests/host/launch.hpp -- calls the operator's method with arguments found by name.
#pragma once

#include <functional>
#include <string_view>

#include <mhc/jit/layer.hpp>

#include "tests/host/operands.hpp"

namespace mhc::testing {

/// The pointer of an argument, such as "x" or "workspace"; null for one that is left out.
using pointer_by_name = std::function<void*(std::string_view)>;

/// Launches `of.op` with the tokens, strides and flags of `of`.
jit::result<void> launch(const jit::compiled_layer& layer, const operands& of, const pointer_by_name& pointer, void* stream);

/// The same for a gradient.
jit::result<void> launch_gradient(const jit::compiled_layer& layer, const operands& of, const pointer_by_name& pointer,
                                  void* stream);

/// Whether the operator takes a workspace argument.
bool takes_workspace(jit::operation op);

}  // namespace mhc::testing
