// mhc/jit/describe.hpp -- what a layer's operator is made of: kernels, sources, arguments, geometry, code objects.
//
// Enough to launch the code objects with a loader of your own. This is what mhc-show prints.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <mhc/jit/engine.hpp>

namespace mhc::jit {

/// One kernel argument, in the order of the kernel's parameters.
struct argument_description {
    std::string name;          ///< the operator's tensor name; `workspace`; or a scalar such as `tokens`, `x_token_stride`
    std::string kind;          ///< "in", "out", "workspace" or "scalar"
    std::string type;          ///< "bf16", "fp16", "fp32", "i32", "i64"
    std::uint32_t size = 0;    ///< bytes in the kernel argument block
    std::uint32_t offset = 0;  ///< bytes from its start
    bool optional = false;     ///< the pointer may be null
    std::optional<std::int64_t> value;  ///< of a scalar
    std::int64_t bytes = 0;             ///< of a buffer, for the described token count and dense strides
    std::int64_t workspace_offset = 0;  ///< of a workspace: the argument points so many bytes behind its start
};

/// What the machine code uses; 0 where the target has no such thing.
struct resource_description {
    std::uint32_t vgprs = 0, agprs = 0, sgprs = 0, lds_bytes = 0, scratch_bytes = 0;
    std::uint32_t vgpr_spills = 0, sgpr_spills = 0, wave_size = 0, waves_per_simd = 0, kernarg_bytes = 0;
    std::uint32_t max_workgroup = 0;
};

struct launch_description {
    std::string symbol;
    std::string key;         ///< 64 hex digits; with the toolchain when the object was compiled
    std::int64_t grid = 0;   ///< work-groups; 0 where nothing is launched because tokens is 0
    std::int32_t block = 0;  ///< work-items of a work-group
    std::int32_t lds_bytes_dynamic = 0;
    std::vector<argument_description> args;
    /// Tensors of which at least one must be given, not null, for this launch to be made; empty: it always is.
    std::vector<std::string> only_for;
    std::string plan;         ///< one line: the choices made
    std::string source;       ///< the text the compiler sees
    std::string code_object;  ///< empty unless compiled
    std::string compiler;
    double compile_ms = 0;
    origin from = origin::compiled;
    resource_description resources;  ///< of `code_object`
};

struct operator_description {
    std::string target;
    std::vector<launch_description> launches;  ///< in order
    std::int64_t workspace_bytes = 0;
    /// The library launches all kernels over so many tokens, then over the next: what they move stays in the last-level
    /// cache. `launches` have the geometry of all tokens at once, with the same result.
    std::int64_t chunk_tokens = 0;
};

/// The launches of one operator for `tokens` tokens (dense strides, per-token coefficients, one layer, one split, all rows)
/// on a target that need not be here. With `compile` the code objects are looked up or compiled as `layer` would; else
/// sources only. Errors: bad_spec, unsupported_target, not_prebuilt, compile_failed.
result<operator_description> describe(operation op, const layer_spec& spec, std::string_view target, std::int64_t tokens,
                                      bool compile, const engine_options& options = {});

/// The assembly of a code object (AMD targets and host), as the compiler that made it would print it.
/// Errors: unsupported_target where no disassembler is here.
result<std::string> disassemble(std::string_view target, std::string_view code_object, const engine_options& options = {});

/// An operator's interface, for tools that take arrays by name.
struct tensor_description {
    std::string name;
    bool is_output = false, optional = false;
    std::string shape;  ///< such as "[T,n,C]", or "[T,n] or [n]"; S: splits of a projection, R: its rows, L: layers
    std::string type;   ///< "data", "weight", "fp32", "int32" or "fp8"
};
std::vector<tensor_description> tensors_of(operation op);                          ///< fn in the order fn, no fp8
std::vector<tensor_description> tensors_of(operation op, const layer_spec& spec);  ///< as the spec has them

/// The operator that a gradient is one of: post_fwd of post_bwd. Empty for an operator that is no gradient.
std::optional<operation> operator_of_gradient(operation gradient);

}  // namespace mhc::jit
