// tests/host/expected_gradients.hpp -- the float64 gradients of a launch's operands.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/host/operands.hpp"
#include "tests/reference/tensors.hpp"

namespace mhc::testing {

/// fn as [rows, K], whatever its order; empty without.
std::vector<float> fn_in_rows(const jit::layer_spec& spec, const operands& of);

/// Every gradient that the launch makes, by name. Of `outputs` post_pre_bwd and post_head_bwd need post_fwd's `out`, which
/// they make again.
std::map<std::string, reference::tensor> expected_gradients(const jit::layer_spec& spec, const operands& of,
                                                            const std::map<std::string, std::vector<float>>& outputs);

}  // namespace mhc::testing
