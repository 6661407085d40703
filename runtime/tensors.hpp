// runtime/tensors.hpp -- sizes of the operators' tensors.
#pragma once

#include <cstdint>
#include <string_view>

#include <mhc/jit/spec.hpp>

namespace mhc::runtime {

/// Bytes of a dense tensor of `op`, per-token where a shape offers a choice, with one split and
/// all n*n + 2n rows; 0 for an unknown name.
std::int64_t tensor_bytes(jit::operation op, std::string_view name, const jit::layer_spec& spec, std::int64_t tokens);

}  // namespace mhc::runtime
