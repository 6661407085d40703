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

/// Rows of fn, or of a weight whose rows are the caller's: all n*n + 2n, or as many as channels.
std::int64_t rows_when_described(jit::operation op, const jit::layer_spec& spec);

/// Bytes of a dense tensor of `op`, per-token where a shape offers a choice, with one layer, one split and
/// `rows_when_described`; 0 for an unknown name.
std::int64_t tensor_bytes(jit::operation op, std::string_view name, const jit::layer_spec& spec, std::int64_t tokens);

}  // namespace mhc::runtime
