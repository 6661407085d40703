// tools/mhc-eval/operands.hpp -- an operator's tensors matched with the arrays given for them, and the sizes that follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/spec.hpp>

#include "tools/common/npy.hpp"
#include "tools/common/settings.hpp"
#include "tools/mhc-eval/shape_rule.hpp"

namespace mhc::tools {

/// A tensor of the operator that takes part in this run.
struct operand {
    std::string name;
    bool is_output = false;
    bool is_static = false;   ///< without the token index that the operator would also take
    bool is_strided = false;  ///< [T,n,C]
    std::string type;         ///< "data", "weight" or "fp32"
    std::vector<std::int64_t> shape;
    std::vector<float> values;  ///< of an input
};

struct problem {
    jit::operation op = jit::operation::pre_fwd;
    std::int64_t tokens = 0, hidden_dim = 0;
    std::int32_t n_streams = 0;
    std::int64_t splits = 1, rows = 0;  ///< of a projection in the operator's tensors
    std::vector<operand> operands;      ///< inputs and outputs, in the operator's order
};

/// Reads the arrays (NAME=FILE each) and checks every name and shape; sizes come from the arrays, or from `spec` where
/// `settings` names them. Writes hidden_dim, n_streams and norm_weight into `spec`. Fails with exit code 2, naming the
/// tensor, its shape, the expected one and where that came from.
problem read_problem(jit::operation op, const std::vector<setting>& inputs, const std::vector<setting>& settings,
                     jit::layer_spec& spec);

}  // namespace mhc::tools
