// tools/mhc-eval/operands.hpp -- an operator's tensors matched with the arrays given for them, and the sizes that follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/spec.hpp>

#include "tools/common/npy.hpp"
#include "tools/common/problem.hpp"
#include "tools/common/settings.hpp"
#include "tools/common/shape_rule.hpp"

namespace mhc::tools {

/// Reads the arrays (NAME=FILE each) and checks every name and shape; sizes come from the arrays, or from `spec` where
/// `settings` names them. Writes hidden_dim, n_streams and norm_weight into `spec`. Fails with exit code 2, naming the
/// tensor, its shape, the expected one and where that came from.
problem read_problem(jit::operation op, const std::vector<setting>& inputs, const std::vector<setting>& settings,
                     jit::layer_spec& spec);

}  // namespace mhc::tools
