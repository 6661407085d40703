// tools/common/problem.cpp -- an operator with the sizes and tensors of one run.
#include "tools/common/problem.hpp"

#include <algorithm>

#include <mhc/jit/describe.hpp>

#include "tools/common/shape_rule.hpp"

namespace mhc::tools {

bool has_weight(jit::operation op, const jit::layer_spec& spec, std::string_view name) noexcept
{
    if (name == "norm_weight" || name == "d_norm_weight")
        return spec.norm_weight || !jit::operations_with_norm_weight.contains(op);
    if (name == "fn_norm_weight" || name == "d_fn_norm_weight") return spec.fn_norm_weight;
    return true;
}

problem problem_of(jit::operation op, const jit::layer_spec& spec, std::int64_t tokens)
{
    constexpr jit::operations products = {jit::operation::rmsnorm_matmul_fwd, jit::operation::rmsnorm_matmul_bwd};
    const std::int64_t n = spec.n_streams, rows = products.contains(op) ? spec.hidden_dim : n * n + 2 * n;
    const sizes known = {tokens, n, spec.hidden_dim, 1, rows, usual_layers};
    problem result{op, tokens, spec.hidden_dim, spec.n_streams, 1, rows, {}, usual_layers};
    for (const jit::tensor_description& tensor : jit::tensors_of(op, spec)) {
        if (!has_weight(op, spec, tensor.name)) continue;
        // not in the usual call
        if (tensor.name == "bias" || tensor.name == "d_bias" || tensor.name == "num_valid_tokens") continue;
        const shape_rule rule = parse_shape_rules(tensor.shape).front();
        const auto has_tokens = [](const size_rule& dim) { return dim.mentions(symbol::T); };
        operand one;
        one.name = tensor.name;
        one.is_output = tensor.is_output;
        one.is_strided = rule.is("[T,n,C]");
        one.type = tensor.type;
        one.shape = rule.shape(known);
        one.has_tokens = std::any_of(rule.dims.begin(), rule.dims.end(), has_tokens);
        result.operands.push_back(std::move(one));
    }
    return result;
}

std::int64_t element_bytes_of(const operand& what, const jit::layer_spec& spec) noexcept
{
    return what.type == "fp8" ? 1 : jit::size_of(type_of(what, spec));
}

jit::dtype type_of(const operand& what, const jit::layer_spec& spec) noexcept
{
    if (what.type == "data") return spec.dtype;
    return what.type == "weight" ? spec.weight_dtype : jit::dtype::fp32;
}

}  // namespace mhc::tools
