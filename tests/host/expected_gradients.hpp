// tests/host/expected_gradients.hpp -- the float64 gradients of a launch's operands.
#pragma once

#include <map>
#include <string>

#include "tests/host/operands.hpp"
#include "tests/reference/tensors.hpp"

namespace mhc::testing {

/// Every gradient that the launch makes, by name.
std::map<std::string, reference::tensor> expected_gradients(const jit::layer_spec& spec, const operands& of);

}  // namespace mhc::testing
