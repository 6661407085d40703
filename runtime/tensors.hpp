// runtime/tensors.hpp -- sizes of the operators' tensors.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <mhc/jit/describe.hpp>

namespace mhc::jit {

/// Tensors of the gradient of an operator.
std::vector<tensor_description> gradient_tensors(operation of);

}  // namespace mhc::jit

namespace mhc::runtime {

/// Bytes of a dense tensor of `op`, per-token where a shape offers a choice, with one split and
/// all n*n + 2n rows; 0 for an unknown name.
std::int64_t tensor_bytes(jit::operation op, std::string_view name, const jit::layer_spec& spec, std::int64_t tokens);

}  // namespace mhc::runtime
