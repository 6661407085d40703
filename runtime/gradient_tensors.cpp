// runtime/gradient_tensors.cpp -- the gradients' tensors, from those of the operators that they are gradients of.
//
// A gradient takes the operator's inputs and d_NAME for each output, and gives d_NAME for each input.
#include <algorithm>
#include <array>
#include <string>

#include "runtime/tensors.hpp"

namespace mhc::jit {
namespace {

struct pair {
    operation gradient, of;
};
constexpr pair pairs[] = {{operation::sinkhorn_bwd, operation::sinkhorn_fwd},
                          {operation::rmsnorm_bwd, operation::rmsnorm_fwd},
                          {operation::apply_mix_bwd, operation::apply_mix_fwd},
                          {operation::expand_bwd, operation::expand_fwd},
                          {operation::post_bwd, operation::post_fwd},
                          {operation::pre_bwd, operation::pre_fwd},
                          {operation::static_layer_bwd, operation::static_layer_fwd},
                          {operation::dynamic_layer_bwd, operation::dynamic_layer_fwd},
                          {operation::post_pre_bwd, operation::post_pre_fwd},
                          {operation::head_bwd, operation::head_fwd},
                          {operation::pre_project_bwd, operation::pre_project_fwd},
                          {operation::split_mixes_bwd, operation::split_mixes_fwd},
                          {operation::coeffs_bwd, operation::coeffs_fwd},
                          {operation::post_head_bwd, operation::post_head_fwd},
                          {operation::rmsnorm_matmul_bwd, operation::rmsnorm_matmul_fwd}};

/// Gradients of outputs that count as zeros where they are not given.
bool may_be_missing(operation of, const std::string& output)
{
    constexpr std::array<std::string_view, 8> coefficients{"rms",    "pre",      "post",      "mix",
                                                           "logits", "next_pre", "next_post", "next_mix"};
    const bool is_coefficient = std::find(coefficients.begin(), coefficients.end(), output) != coefficients.end();
    return (is_coefficient && of != operation::sinkhorn_fwd) || (of == operation::post_pre_fwd && output == "out");
}

/// Gradients of parameters that are not computed where they are null.
bool may_be_unwanted(const std::string& parameter)
{
    constexpr std::array<std::string_view, 7> parameters{"fn",          "scale",          "base", "weight",
                                                         "norm_weight", "fn_norm_weight", "bias"};
    return std::find(parameters.begin(), parameters.end(), parameter) != parameters.end();
}

}  // namespace

std::optional<operation> operator_of_gradient(operation gradient)
{
    for (const pair& each : pairs)
        if (each.gradient == gradient) return each.of;
    return std::nullopt;
}

std::vector<tensor_description> gradient_tensors(operation of)
{
    const std::vector<tensor_description> forward = tensors_of(of);
    std::vector<tensor_description> list;
    for (tensor_description tensor : forward) {
        if (tensor.is_output) continue;
        if (of == operation::expand_fwd) tensor.optional = true;  // a copy's gradient does not depend on what is copied
        list.push_back(std::move(tensor));
    }
    for (tensor_description tensor : forward) {
        if (!tensor.is_output) continue;
        tensor.optional = may_be_missing(of, tensor.name);
        tensor.is_output = false;
        tensor.name = "d_" + tensor.name;
        list.push_back(std::move(tensor));
    }
    for (tensor_description tensor : forward) {
        if (tensor.is_output || tensor.name == "num_valid_tokens") continue;  // a number of tokens has no gradient
        tensor.is_output = true;
        tensor.optional = may_be_unwanted(tensor.name);
        tensor.name = "d_" + tensor.name;
        list.push_back(std::move(tensor));
    }
    return list;
}

}  // namespace mhc::jit
