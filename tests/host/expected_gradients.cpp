// tests/host/expected_gradients.cpp -- from operands by name to the references' gradients, and their names.
#include "tests/host/expected_gradients.hpp"

#include <stdexcept>

#include "tests/reference/gradients.hpp"

namespace mhc::testing {
namespace {

using jit::operation;
using gradients = std::map<std::string, reference::tensor>;

/// Operands as the references take them.
struct reader {
    const operands& of;

    const float* data(std::string_view name) const
    {
        const operand* found = of.find(name);
        return found == nullptr ? nullptr : found->values.data();
    }
    reference::strided_rows rows(std::string_view name) const
    {
        const operand& found = of.at(name);
        return {found.values.data(), found.place.token_stride, found.place.stream_stride};
    }
    reference::token_rows of_token(std::string_view name, bool is_static) const
    {
        const operand& found = of.at(name);
        return {found.values.data(), is_static ? 0 : found.place.width};
    }
    reference::split_projection splits() const { return {rows("proj"), rows("sqsum"), of.splits}; }
    reference::pre_outputs outputs(const std::string& prefix) const
    {
        return {.layer_input = data("d_layer_input"),
                .pre = data(prefix + "pre"),
                .post = data(prefix + "post"),
                .mix = data(prefix + "mix")};
    }
};

void put(gradients& expected, const char* name, reference::tensor found)
{
    if (!found.value.empty()) expected["d_" + std::string(name)] = std::move(found);
}

void put(gradients& expected, reference::pre_gradients found, bool has_x)
{
    if (has_x) put(expected, "x", std::move(found.x));
    put(expected, "fn", std::move(found.fn));
    put(expected, "scale", std::move(found.scale));
    put(expected, "base", std::move(found.base));
    put(expected, "norm_weight", std::move(found.norm_weight));
    put(expected, "fn_norm_weight", std::move(found.fn_norm_weight));
}

void put(gradients& expected, reference::post_gradients found)
{
    put(expected, "y", std::move(found.y));
    put(expected, "x", std::move(found.x));
    put(expected, "post", std::move(found.post));
    put(expected, "mix", std::move(found.mix));
    put(expected, "bias", std::move(found.bias));
}

void put(gradients& expected, reference::coefficients_gradients found)
{
    put(expected, "proj", std::move(found.proj));
    put(expected, "sqsum", std::move(found.sqsum));
    put(expected, "scale", std::move(found.scale));
    put(expected, "base", std::move(found.base));
}

void put_layer(gradients& expected, reference::static_layer_gradients found)
{
    put(expected, "x", std::move(found.x));
    put(expected, "h_pre", std::move(found.h_pre));
    put(expected, "h_post", std::move(found.h_post));
    put(expected, "h_res", std::move(found.h_res));
    put(expected, "weight", std::move(found.weight));
}

void put_layer(gradients& expected, reference::dynamic_layer_gradients found)
{
    put(expected, "x", std::move(found.x));
    put(expected, "phi_pre", std::move(found.phi_pre));
    put(expected, "phi_post", std::move(found.phi_post));
    put(expected, "phi_res", std::move(found.phi_res));
    put(expected, "alpha_pre", std::move(found.alpha_pre));
    put(expected, "alpha_post", std::move(found.alpha_post));
    put(expected, "alpha_res", std::move(found.alpha_res));
    put(expected, "b_pre", std::move(found.b_pre));
    put(expected, "b_post", std::move(found.b_post));
    put(expected, "b_res", std::move(found.b_res));
    put(expected, "weight", std::move(found.weight));
}

reference::dynamic_weights weights_of(const reader& in)
{
    return {.phi_pre = in.data("phi_pre"),
            .phi_post = in.data("phi_post"),
            .phi_res = in.data("phi_res"),
            .alpha_pre = in.data("alpha_pre"),
            .alpha_post = in.data("alpha_post"),
            .alpha_res = in.data("alpha_res"),
            .b_pre = in.data("b_pre"),
            .b_post = in.data("b_post"),
            .b_res = in.data("b_res"),
            .weight = in.data("weight")};
}

}  // namespace

std::vector<float> fn_in_rows(const jit::layer_spec& spec, const operands& of)
{
    const operand* fn = of.find("fn");
    if (fn == nullptr) return {};
    // Rows of a matrix that all tokens share are the tokens of its place.
    return spec.fn_order == jit::fn_order::phi ? reference::transposed(fn->values.data(), fn->place.tokens, fn->place.width)
                                               : fn->values;
}

gradients expected_gradients(const jit::layer_spec& spec, const operands& of,
                             const std::map<std::string, std::vector<float>>& outputs)
{
    const reference::shape shape{.tokens = of.tokens, .n_streams = spec.n_streams, .hidden_dim = spec.hidden_dim};
    const jit::layer_options& options = spec.options;
    const reader in{of};
    const std::vector<float> fn = fn_in_rows(spec, of);
    gradients expected;
    switch (of.op) {
        case operation::sinkhorn_bwd:
            put(expected, "logits",
                (options.gradient == jit::sinkhorn_gradient::implicit
                     ? reference::sinkhorn_bwd_implicit
                     : reference::sinkhorn_bwd)(options, shape, in.data("logits"), in.data("d_mix")));
            break;
        case operation::rmsnorm_bwd: {
            reference::rmsnorm_gradients found =
                reference::rmsnorm_bwd(options, shape, in.data("x"), in.data("weight"), in.data("d_y"), in.data("d_rms"));
            put(expected, "x", std::move(found.x));
            put(expected, "weight", std::move(found.weight));
            break;
        }
        case operation::apply_mix_bwd: {
            reference::apply_mix_gradients found = reference::apply_mix_bwd(
                shape, in.rows("x"), in.of_token("pre", of.pre_is_static), in.data("d_layer_input"));
            put(expected, "x", std::move(found.x));
            put(expected, "pre", std::move(found.pre));
            break;
        }
        case operation::expand_bwd:
            put(expected, "h", reference::expand_bwd(shape, in.rows("d_x")));
            break;
        case operation::post_bwd:
            put(expected, reference::post_bwd(options.layout, shape, in.data("y"), in.rows("x"),
                                              in.of_token("post", of.post_is_static), in.of_token("mix", of.mix_is_static),
                                              in.rows("d_out"), in.data("bias")));
            break;
        case operation::pre_bwd:
            put(expected,
                reference::pre_bwd(options, shape, in.rows("x"), fn.data(), in.data("scale"), in.data("base"),
                                   in.data("norm_weight"), in.outputs("d_"), in.data("fn_norm_weight")),
                true);
            break;
        case operation::head_bwd:
            put(expected,
                reference::head_bwd(options, shape, in.rows("x"), fn.data(), in.data("scale"), in.data("base"),
                                    in.data("norm_weight"), in.data("d_layer_input"), in.data("fn_norm_weight")),
                true);
            break;
        case operation::post_pre_bwd: {
            const std::vector<float>& out = outputs.at("out");
            reference::post_pre_gradients found = reference::post_pre_bwd(
                options, shape, in.data("y"), in.rows("x"), in.of_token("post", of.post_is_static),
                in.of_token("mix", of.mix_is_static), {out.data(), shape.flat_dim(), shape.hidden_dim}, fn.data(),
                in.data("scale"), in.data("base"), in.data("norm_weight"), in.rows("d_out"), in.outputs("d_next_"),
                in.data("bias"), in.data("fn_norm_weight"));
            put(expected, std::move(found.post));
            put(expected, std::move(found.next), false);
            break;
        }
        case operation::post_head_bwd: {
            const std::vector<float>& out = outputs.at("out");
            reference::post_pre_gradients found = reference::post_head_bwd(
                options, shape, in.data("y"), in.rows("x"), in.of_token("post", of.post_is_static),
                in.of_token("mix", of.mix_is_static), {out.data(), shape.flat_dim(), shape.hidden_dim}, fn.data(),
                in.data("scale"), in.data("base"), in.data("norm_weight"), in.data("d_layer_input"), in.data("bias"),
                in.data("fn_norm_weight"));
            put(expected, std::move(found.post));
            put(expected, std::move(found.next), false);
            break;
        }
        case operation::rmsnorm_matmul_bwd: {
            reference::rmsnorm_matmul_gradients found =
                reference::rmsnorm_matmul_bwd(options, shape, in.data("x"), in.data("norm_weight"), in.data("weight"),
                                              of.at("d_y").place.width, in.data("d_y"), in.data("d_rms"));
            put(expected, "x", std::move(found.x));
            put(expected, "norm_weight", std::move(found.norm_weight));
            put(expected, "weight", std::move(found.weight));
            break;
        }
        case operation::pre_project_bwd: {
            // The gradients of all splits are those of the first.
            std::vector<float> d_proj, d_sqsum;
            const operand &proj = of.at("d_proj"), &sqsum = of.at("d_sqsum");
            for (std::int64_t t = 0; t < of.tokens; ++t) {
                const auto row = proj.values.begin() + proj.place.row(t, 0);
                d_proj.insert(d_proj.end(), row, row + proj.place.width);
                d_sqsum.push_back(sqsum.values[static_cast<std::size_t>(sqsum.place.row(t, 0))]);
            }
            reference::pre_project_gradients found = reference::pre_project_bwd(
                shape, in.rows("x"), fn.data(), proj.place.width, d_proj.data(), d_sqsum.data(), in.data("fn_norm_weight"));
            put(expected, "x", std::move(found.x));
            put(expected, "fn", std::move(found.fn));
            put(expected, "fn_norm_weight", std::move(found.fn_norm_weight));
            break;
        }
        case operation::split_mixes_bwd:
            put(expected, reference::split_mixes_bwd(options, shape, in.splits(), in.data("scale"), in.data("base"),
                                                     in.data("d_pre"), in.data("d_post"), in.data("d_logits")));
            break;
        case operation::coeffs_bwd:
            put(expected, reference::coeffs_bwd(options, shape, in.splits(), in.data("scale"), in.data("base"),
                                                in.data("d_pre"), in.data("d_post"), in.data("d_mix")));
            break;
        case operation::static_layer_bwd:
            put_layer(expected,
                      reference::static_layer_bwd(options, shape, in.rows("x"), in.data("h_pre"), in.data("h_post"),
                                                  in.data("h_res"), in.data("weight"), in.rows("d_out")));
            break;
        case operation::dynamic_layer_bwd:
            put_layer(expected,
                      reference::dynamic_layer_bwd(options, shape, in.rows("x"), weights_of(in), in.rows("d_out")));
            break;
        default:
            throw std::logic_error("no reference is known for " + std::string(name_of(of.op)));
    }
    const auto d_fn = expected.find("d_fn");
    if (d_fn != expected.end() && spec.fn_order == jit::fn_order::phi)
        d_fn->second = reference::transposed(d_fn->second, of.at("fn").place.width, shape.flat_dim());
    return expected;
}

}  // namespace mhc::testing
