// codegen/arguments.hpp -- what each kernel family takes, in order, and how the argument block is laid out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/plan.hpp"

namespace mhc::codegen {

/// Where a parameter's value comes from, if not from the operand of its name.
struct feed {
    slot parameter{}, what{};
    std::int64_t bytes_per_token = 0;
};

/// The parameters of templates/<family>.in; `feeds` are of a whole operator: those of other kernels are passed over.
std::vector<argument> arguments_of(std::string_view family, const std::vector<feed>& feeds = {});

/// Gives each argument its offset, naturally aligned, and returns the block's bytes.
std::uint32_t lay_out(std::vector<argument>& args);

/// The parameter list as C++ text.
std::string parameters(const std::vector<argument>& args, const jit::layer_spec& spec);

/// The C++ type of a parameter: "const mhc::bf16* __restrict__", "mhc::i64".
std::string parameter_type(const argument& arg, const jit::layer_spec& spec);

}  // namespace mhc::codegen
