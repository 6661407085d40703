// codegen/plan_backward.hpp -- the kernels of gradients, an operator each.
#pragma once

#include "codegen/plan_kernels.hpp"

namespace mhc::codegen {

/// Adds the kernels of a gradient; false, and nothing added, where the operator is none.
bool add_gradient_kernels(const facts& f, operator_plan& made);

}  // namespace mhc::codegen
