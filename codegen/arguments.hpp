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
    std::int64_t bytes_per_token = 0,
                 bytes_fixed = 0;  ///< added: of a workspace, where it begins; of slot::zero, a constant
    bool is_f32 = false;           ///< data that another kernel left unrounded
};

/// The parameters of templates/<family>.in, and of <family>_tiles.in where that is there; `feeds` are of a whole operator:
/// those of other kernels are passed over.
std::vector<argument> arguments_of(std::string_view family, const std::vector<feed>& feeds = {});

/// The table of the forward's kernels, and that of the gradients'.
struct family_row {
    std::string_view name;
    std::vector<argument> args;
};
const std::vector<family_row>& forward_families();
const std::vector<family_row>& gradient_families();

/// Rows of these tables.
inline constexpr element data = element::data, f32 = element::f32, of_weight = element::weight;

inline argument pointer(slot what, access how, element type, bool optional = false)
{
    return {.parameter = what, .what = what, .access = how, .element = type, .optional = optional, .size = 8};
}
inline argument reads(slot what, element type) { return pointer(what, access::in, type); }
inline argument may_read(slot what, element type) { return pointer(what, access::in, type, true); }
inline argument writes(slot what, element type) { return pointer(what, access::out, type); }
inline argument may_write(slot what, element type) { return pointer(what, access::out, type, true); }
/// Of two tensors that may be one.
inline argument in_place(argument arg)
{
    arg.may_alias = true;
    return arg;
}
inline argument scratch(access how) { return pointer(slot::workspace, how, element::bytes); }
inline argument number(slot what)
{
    return {.parameter = what, .what = what, .access = access::scalar, .element = element::i64, .size = 8};
}
inline argument number_32(slot what)
{
    return {.parameter = what, .what = what, .access = access::scalar, .element = element::i32, .size = 4};
}
/// Told to the copy engine: `what` is where the streams are.
inline argument map_of(slot parameter, slot what)
{
    return {.parameter = parameter, .what = what, .access = access::in, .element = element::tensor_map, .size = 128};
}
inline argument valid_tokens() { return may_read(slot::num_valid_tokens, element::i32); }
inline argument grid_groups() { return number_32(slot::groups); }

/// Gives each argument its offset, naturally aligned, and returns the block's bytes.
std::uint32_t lay_out(std::vector<argument>& args);

/// The parameter list as C++ text.
std::string parameters(const std::vector<argument>& args, const jit::layer_spec& spec);

/// The C++ type of a parameter: "const mhc::bf16* __restrict__", "mhc::i64".
std::string parameter_type(const argument& arg, const jit::layer_spec& spec);

}  // namespace mhc::codegen
