// tools/common/problem.hpp -- an operator with the sizes and tensors of one run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/spec.hpp>

namespace mhc::tools {

/// A tensor of the operator that takes part in this run.
struct operand {
    std::string name;
    bool is_output = false;
    bool is_static = false;   ///< without the token index that the operator would also take
    bool is_strided = false;  ///< [T,n,C]
    std::string type;         ///< "data", "weight", "fp32", "int32" or, of an output, "fp8"
    std::vector<std::int64_t> shape;
    std::vector<float> values;  ///< of an input, where the run has any; of an output that is added to
    bool has_tokens = false;    ///< one for each set of tokens; without, a parameter that all tokens share
};

struct problem {
    jit::operation op = jit::operation::pre_fwd;
    std::int64_t tokens = 0, hidden_dim = 0;
    std::int32_t n_streams = 0;
    std::int64_t splits = 1, rows = 0;  ///< of a projection in the operator's tensors
    std::vector<operand> operands;      ///< in the operator's order; mhc-eval has inputs before outputs
    std::int64_t layers = 1;            ///< of multilayer_recompute
};

/// False for the weight of a norm, and its gradient, that the spec would have to set and has not.
bool has_weight(jit::operation op, const jit::layer_spec& spec, std::string_view name) noexcept;

/// Layers of a multilayer_recompute whose caller does not say how many.
inline constexpr std::int64_t usual_layers = 4;

/// The operator for `tokens` tokens with every tensor it can take, per-token where a shape offers a choice; weights of norms
/// and their gradients as the spec has them. No values.
problem problem_of(jit::operation op, const jit::layer_spec& spec, std::int64_t tokens);

/// Bytes of an element of an operand.
std::int64_t element_bytes_of(const operand& what, const jit::layer_spec& spec) noexcept;

/// The data type that an operand has in a layer of this spec, but for fp8, which is none.
jit::dtype type_of(const operand& what, const jit::layer_spec& spec) noexcept;

}  // namespace mhc::tools
