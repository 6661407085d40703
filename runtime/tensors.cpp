// runtime/tensors.cpp -- the operators' tensors: the table that tools, descriptions and tests read.
#include "runtime/tensors.hpp"

#include <algorithm>
#include <map>
#include <string>

#include <mhc/jit/describe.hpp>

namespace mhc::jit {

namespace {

/// Without what every forward operator may be given besides.
std::vector<tensor_description> own_tensors_of(operation op)
{
    const auto in = [](const char* name, const char* shape, const char* type) {
        return tensor_description{name, false, false, shape, type};
    };
    const auto may = [](const char* name, const char* shape, const char* type) {
        return tensor_description{name, false, true, shape, type};
    };
    const auto out = [](const char* name, const char* shape, const char* type) {
        return tensor_description{name, true, false, shape, type};
    };
    switch (op) {
        case operation::sinkhorn_fwd:
            return {in("logits", "[T,n,n]", "fp32"), out("mix", "[T,n,n]", "fp32")};
        case operation::rmsnorm_fwd:
            return {in("x", "[T,C]", "data"), may("weight", "[C]", "weight"), out("y", "[T,C]", "data"),
                    out("rms", "[T]", "fp32")};
        case operation::rmsnorm_matmul_fwd:
            return {in("x", "[T,C]", "data"), may("norm_weight", "[C]", "weight"), in("weight", "[R,C]", "weight"),
                    out("y", "[T,R]", "data"), out("rms", "[T]", "fp32")};
        case operation::apply_mix_fwd:
            return {in("x", "[T,n,C]", "data"), in("pre", "[T,n] or [n]", "fp32"), out("layer_input", "[T,C]", "data")};
        case operation::expand_fwd:
            return {in("h", "[T,C]", "data"), out("x", "[T,n,C]", "data")};
        case operation::post_fwd:
            return {in("y", "[T,C]", "data"),           in("x", "[T,n,C]", "data"),
                    in("post", "[T,n] or [n]", "fp32"), in("mix", "[T,n,n] or [n,n]", "fp32"),
                    may("bias", "[C]", "weight"),       out("out", "[T,n,C]", "data")};
        case operation::pre_fwd:
            return {in("x", "[T,n,C]", "data"),          in("fn", "[n*n+2n,n*C]", "weight"),
                    in("scale", "[3]", "fp32"),          in("base", "[n*n+2n]", "fp32"),
                    may("norm_weight", "[C]", "weight"), may("fn_norm_weight", "[n*C]", "weight"),
                    out("layer_input", "[T,C]", "data"), out("pre", "[T,n]", "fp32"),
                    out("post", "[T,n]", "fp32"),        out("mix", "[T,n,n]", "fp32")};
        case operation::broadcast_pre_fwd:
            return {in("x", "[T,C]", "data"),
                    in("fn", "[n*n+2n,n*C]", "weight"),
                    in("scale", "[3]", "fp32"),
                    in("base", "[n*n+2n]", "fp32"),
                    may("norm_weight", "[C]", "weight"),
                    may("fn_norm_weight", "[n*C]", "weight"),
                    out("layer_input", "[T,C]", "data"),
                    out("pre", "[T,n]", "fp32"),
                    out("post", "[T,n]", "fp32"),
                    out("mix", "[T,n,n]", "fp32")};
        case operation::delayed_pre_fwd:
            return {in("x", "[T,n,C]", "data"),
                    in("previous_pre", "[T,n] or [n]", "fp32"),
                    in("fn", "[n*n+2n,n*C]", "weight"),
                    in("scale", "[3]", "fp32"),
                    in("base", "[n*n+2n]", "fp32"),
                    may("norm_weight", "[C]", "weight"),
                    may("fn_norm_weight", "[n*C]", "weight"),
                    out("layer_input", "[T,C]", "data"),
                    out("pre", "[T,n]", "fp32"),
                    out("post", "[T,n]", "fp32"),
                    out("mix", "[T,n,n]", "fp32")};
        case operation::static_layer_fwd:
            return {in("x", "[T,n,C]", "data"),   in("h_pre", "[n]", "fp32"),    in("h_post", "[n]", "fp32"),
                    in("h_res", "[n,n]", "fp32"), in("weight", "[C]", "weight"), out("out", "[T,n,C]", "data")};
        case operation::dynamic_layer_fwd:
            return {in("x", "[T,n,C]", "data"),          in("phi_pre", "[n,n*C]", "weight"),
                    in("phi_post", "[n,n*C]", "weight"), in("phi_res", "[n*n,n*C]", "weight"),
                    in("alpha_pre", "[1]", "fp32"),      in("alpha_post", "[1]", "fp32"),
                    in("alpha_res", "[1]", "fp32"),      in("b_pre", "[n]", "fp32"),
                    in("b_post", "[n]", "fp32"),         in("b_res", "[n,n]", "fp32"),
                    in("weight", "[C]", "weight"),       out("out", "[T,n,C]", "data")};
        case operation::post_pre_fwd:
            return {in("y", "[T,C]", "data"),
                    in("x", "[T,n,C]", "data"),
                    in("post", "[T,n] or [n]", "fp32"),
                    in("mix", "[T,n,n] or [n,n]", "fp32"),
                    in("fn", "[n*n+2n,n*C]", "weight"),
                    in("scale", "[3]", "fp32"),
                    in("base", "[n*n+2n]", "fp32"),
                    may("norm_weight", "[C]", "weight"),
                    may("fn_norm_weight", "[n*C]", "weight"),
                    may("bias", "[C]", "weight"),
                    out("out", "[T,n,C]", "data"),
                    out("layer_input", "[T,C]", "data"),
                    out("next_pre", "[T,n]", "fp32"),
                    out("next_post", "[T,n]", "fp32"),
                    out("next_mix", "[T,n,n]", "fp32")};
        case operation::head_fwd:
            return {in("x", "[T,n,C]", "data"),          in("fn", "[n,n*C]", "weight"),
                    in("scale", "[1]", "fp32"),          in("base", "[n]", "fp32"),
                    may("norm_weight", "[C]", "weight"), may("fn_norm_weight", "[n*C]", "weight"),
                    out("layer_input", "[T,C]", "data")};
        case operation::multilayer_recompute:
            return {in("x", "[T,n,C]", "data"),
                    in("pre", "[L,T,n]", "fp32"),
                    in("y", "[L,T,C]", "data"),
                    in("post", "[L,T,n]", "fp32"),
                    in("mix", "[L,T,n,n]", "fp32"),
                    may("bias", "[L,C]", "weight"),
                    out("layer_input", "[L,T,C]", "data"),
                    out("out", "[L,T,n,C]", "data")};
        case operation::post_head_fwd:
            return {in("y", "[T,C]", "data"),           in("x", "[T,n,C]", "data"),
                    in("post", "[T,n] or [n]", "fp32"), in("mix", "[T,n,n] or [n,n]", "fp32"),
                    in("fn", "[n,n*C]", "weight"),      in("scale", "[1]", "fp32"),
                    in("base", "[n]", "fp32"),          may("norm_weight", "[C]", "weight"),
                    may("bias", "[C]", "weight"),       may("fn_norm_weight", "[n*C]", "weight"),
                    out("layer_input", "[T,C]", "data")};
        case operation::pre_project_fwd:
            return {in("x", "[T,n,C]", "data"), in("fn", "[R,n*C]", "weight"), may("fn_norm_weight", "[n*C]", "weight"),
                    out("proj", "[S,T,R]", "fp32"), out("sqsum", "[S,T]", "fp32")};
        case operation::split_mixes_fwd:
            return {in("proj", "[S,T,n*n+2n]", "fp32"), in("sqsum", "[S,T]", "fp32"), in("scale", "[3]", "fp32"),
                    in("base", "[n*n+2n]", "fp32"),     out("pre", "[T,n]", "fp32"),  out("post", "[T,n]", "fp32"),
                    out("logits", "[T,n,n]", "fp32")};
        case operation::coeffs_fwd:
            return {in("proj", "[S,T,n*n+2n]", "fp32"), in("sqsum", "[S,T]", "fp32"), in("scale", "[3]", "fp32"),
                    in("base", "[n*n+2n]", "fp32"),     out("pre", "[T,n]", "fp32"),  out("post", "[T,n]", "fp32"),
                    out("mix", "[T,n,n]", "fp32")};
        case operation::pre_big_fuse:
            return {in("proj", "[S,T,n*n+2n]", "fp32"),  in("sqsum", "[S,T]", "fp32"),   in("x", "[T,n,C]", "data"),
                    in("scale", "[3]", "fp32"),          in("base", "[n*n+2n]", "fp32"), may("norm_weight", "[C]", "weight"),
                    out("layer_input", "[T,C]", "data"), out("pre", "[T,n]", "fp32"),    out("post", "[T,n]", "fp32"),
                    out("mix", "[T,n,n]", "fp32")};
        default:
            return {};
    }
}

/// layer_input in fp8, and its scales behind it.
void quantise_layer_input(std::vector<tensor_description>& list, const layer_spec& spec)
{
    const auto layer_input = std::find_if(list.begin(), list.end(),
                                          [](const tensor_description& tensor) { return tensor.name == "layer_input"; });
    if (layer_input == list.end()) return;  // of a gradient
    layer_input->type = "fp8";
    constexpr std::int64_t block = 128;
    const std::string blocks = std::to_string((spec.hidden_dim + block - 1) / block);
    const bool is_by_row = spec.layer_input_quant == layer_input_quant::fp8_row;
    list.insert(layer_input + 1, {"layer_input_scale", true, false, is_by_row ? "[T]" : "[T," + blocks + "]", "fp32"});
}

}  // namespace

std::vector<tensor_description> tensors_of(operation op, const layer_spec& spec)
{
    std::vector<tensor_description> list = tensors_of(op);
    if (spec.layer_input_quant != layer_input_quant::none && operations_with_layer_input_quant.contains(op))
        quantise_layer_input(list, spec);
    for (tensor_description& tensor : list) {
        if (spec.fn_order == fn_order::fn || (tensor.name != "fn" && tensor.name != "d_fn")) continue;
        const std::size_t comma = tensor.shape.find(',');
        const std::string rows = tensor.shape.substr(1, comma - 1),
                          columns = tensor.shape.substr(comma + 1, tensor.shape.size() - comma - 2);
        tensor.shape = "[" + columns + "," + rows + "]";
    }
    return list;
}

std::vector<tensor_description> tensors_of(operation op)
{
    if (const auto of = operator_of_gradient(op)) return gradient_tensors(*of);
    std::vector<tensor_description> list = own_tensors_of(op);
    const auto first_output =
        std::find_if(list.begin(), list.end(), [](const tensor_description& tensor) { return tensor.is_output; });
    list.insert(first_output, {"num_valid_tokens", false, true, "[1]", "int32"});
    return list;
}

}  // namespace mhc::jit

namespace mhc::runtime {

std::int64_t rows_when_described(jit::operation op, const jit::layer_spec& spec)
{
    constexpr jit::operations products = {jit::operation::rmsnorm_matmul_fwd, jit::operation::rmsnorm_matmul_bwd};
    if (products.contains(op)) return spec.hidden_dim;
    return std::int64_t{spec.n_streams} * (spec.n_streams + 2);
}

std::int64_t tensor_bytes(jit::operation op, std::string_view name, const jit::layer_spec& spec, std::int64_t tokens)
{
    const std::int64_t n = spec.n_streams, C = spec.hidden_dim;
    const std::map<std::string, std::int64_t, std::less<>> extents{{"L", 1},
                                                                   {"T", tokens},
                                                                   {"n", n},
                                                                   {"C", C},
                                                                   {"S", 1},
                                                                   {"R", rows_when_described(op, spec)},
                                                                   {"1", 1},
                                                                   {"3", 3},
                                                                   {"n*n", n * n},
                                                                   {"n*C", n * C},
                                                                   {"n*n+2n", n * n + 2 * n}};
    for (const jit::tensor_description& tensor : jit::tensors_of(op, spec)) {
        if (tensor.name != name) continue;
        const std::string shape = tensor.shape.substr(1, tensor.shape.find(']') - 1);  // the first of "[T,n] or [n]"
        std::int64_t count = 1;
        for (std::size_t at = 0; at <= shape.size();) {
            const std::size_t end = std::min(shape.find(',', at), shape.size());
            const std::string dim = shape.substr(at, end - at);
            const auto known = extents.find(dim);
            count *= known != extents.end() ? known->second : std::stoll(dim);  // a number of blocks
            at = end + 1;
        }
        return count * (tensor.type == "data"     ? size_of(spec.dtype)
                        : tensor.type == "weight" ? size_of(spec.weight_dtype)
                        : tensor.type == "fp8"    ? 1
                                                  : 4);
    }
    return 0;
}

}  // namespace mhc::runtime
