// tests/host/expected.cpp -- from operands by name to the references' outputs, and their names.
#include <stdexcept>

#include "tests/host/driver.hpp"
#include "tests/host/expected_gradients.hpp"
#include "tests/reference/reference.hpp"
#include "tests/support/numeric.hpp"

namespace mhc::testing {

using jit::operation;

namespace {

void put(std::map<std::string, reference::tensor>& expected, reference::pre_result found, const std::string& prefix = "")
{
    expected["layer_input"] = std::move(found.layer_input);
    expected[prefix + "pre"] = std::move(found.pre);
    expected[prefix + "post"] = std::move(found.post);
    expected[prefix + "mix"] = std::move(found.mix);
}

}  // namespace

std::map<std::string, reference::tensor> expected_of(const jit::layer_spec& spec, const operands& of, const outcome& got)
{
    const reference::shape shape{.tokens = of.tokens, .n_streams = spec.n_streams, .hidden_dim = spec.hidden_dim};
    const jit::layer_options& options = spec.options;
    const auto data = [&](std::string_view name) {
        const operand* found = of.find(name);
        return found == nullptr ? nullptr : found->values.data();
    };
    const auto rows = [&](std::string_view name) {
        const operand& found = of.at(name);
        return reference::strided_rows{found.values.data(), found.place.token_stride, found.place.stream_stride};
    };
    const auto of_token = [&](std::string_view name, bool is_static) {
        const operand& found = of.at(name);
        return reference::token_rows{found.values.data(), is_static ? 0 : found.place.width};
    };

    const std::vector<float> fn = fn_in_rows(spec, of);
    const auto splits = [&] { return reference::split_projection{rows("proj"), rows("sqsum"), of.splits}; };

    if (is_gradient(of.op)) return expected_gradients(spec, of, got.outputs);
    std::map<std::string, reference::tensor> expected;
    switch (of.op) {
        case operation::sinkhorn_fwd:
            expected["mix"] = reference::sinkhorn_fwd(options, shape, data("logits"));
            break;
        case operation::rmsnorm_fwd: {
            reference::rmsnorm_result found = reference::rmsnorm_fwd(options, shape, data("x"), data("weight"));
            expected["y"] = std::move(found.y);
            expected["rms"] = std::move(found.rms);
            break;
        }
        case operation::rmsnorm_matmul_fwd: {
            reference::rmsnorm_result found =
                reference::rmsnorm_matmul_fwd(options, shape, data("x"), data("norm_weight"), data("weight"), of.rows);
            expected["y"] = std::move(found.y);
            expected["rms"] = std::move(found.rms);
            break;
        }
        case operation::apply_mix_fwd:
            expected["layer_input"] = reference::apply_mix_fwd(shape, rows("x"), of_token("pre", of.pre_is_static));
            break;
        case operation::expand_fwd:
            expected["x"] = reference::expand_fwd(shape, data("h"));
            break;
        case operation::post_fwd:
            expected["out"] =
                reference::post_fwd(options.layout, shape, data("y"), rows("x"), of_token("post", of.post_is_static),
                                    of_token("mix", of.mix_is_static), data("bias"));
            break;
        case operation::pre_fwd:
            put(expected, reference::pre_fwd(options, shape, rows("x"), fn.data(), data("scale"), data("base"),
                                             data("norm_weight"), data("fn_norm_weight")));
            break;
        case operation::broadcast_pre_fwd:
            put(expected, reference::broadcast_pre_fwd(options, shape, data("x"), fn.data(), data("scale"), data("base"),
                                                       data("norm_weight"), data("fn_norm_weight")));
            break;
        case operation::delayed_pre_fwd:
            put(expected,
                reference::delayed_pre_fwd(options, shape, rows("x"), of_token("previous_pre", of.pre_is_static), fn.data(),
                                           data("scale"), data("base"), data("norm_weight"), data("fn_norm_weight")));
            break;
        case operation::static_layer_fwd:
            expected["out"] = reference::static_layer_fwd(options, shape, rows("x"), data("h_pre"), data("h_post"),
                                                          data("h_res"), data("weight"));
            break;
        case operation::dynamic_layer_fwd:
            expected["out"] = reference::dynamic_layer_fwd(options, shape, rows("x"),
                                                           {.phi_pre = data("phi_pre"),
                                                            .phi_post = data("phi_post"),
                                                            .phi_res = data("phi_res"),
                                                            .alpha_pre = data("alpha_pre"),
                                                            .alpha_post = data("alpha_post"),
                                                            .alpha_res = data("alpha_res"),
                                                            .b_pre = data("b_pre"),
                                                            .b_post = data("b_post"),
                                                            .b_res = data("b_res"),
                                                            .weight = data("weight")});
            break;
        case operation::post_pre_fwd: {
            const std::vector<float>& stored = got.outputs.at("out");
            const reference::strided_rows out{stored.data(), shape.flat_dim(), shape.hidden_dim};
            expected["out"] =
                reference::post_fwd(options.layout, shape, data("y"), rows("x"), of_token("post", of.post_is_static),
                                    of_token("mix", of.mix_is_static), data("bias"));
            put(expected,
                reference::pre_fwd(options, shape, out, fn.data(), data("scale"), data("base"), data("norm_weight"),
                                   data("fn_norm_weight")),
                "next_");
            break;
        }
        case operation::head_fwd:
            expected["layer_input"] = reference::head_fwd(options, shape, rows("x"), fn.data(), data("scale"), data("base"),
                                                          data("norm_weight"), data("fn_norm_weight"));
            break;
        case operation::multilayer_recompute: {
            std::vector<reference::recompute_layer> layers;
            for (std::int64_t l = 0; l < of.layers; ++l)
                layers.push_back({of_token(of_layer("pre", l), of.pre_is_static), data(of_layer("y", l)),
                                  of_token(of_layer("post", l), of.post_is_static),
                                  of_token(of_layer("mix", l), of.mix_is_static), data(of_layer("bias", l))});
            auto all = reference::multilayer_recompute(options.layout, shape, spec.dtype, rows("x"), layers);
            for (std::int64_t l = 0; l < of.layers; ++l) {
                expected[of_layer("layer_input", l)] = std::move(all[static_cast<std::size_t>(l)].layer_input);
                expected[of_layer("out", l)] = std::move(all[static_cast<std::size_t>(l)].out);
            }
            break;
        }
        case operation::post_head_fwd:
            expected["layer_input"] = reference::post_head_fwd(
                options, shape, spec.dtype, data("y"), rows("x"), of_token("post", of.post_is_static),
                of_token("mix", of.mix_is_static), fn.data(), data("scale"), data("base"), data("norm_weight"), data("bias"),
                data("fn_norm_weight"));
            break;
        case operation::pre_project_fwd: {
            reference::projection_result found =
                reference::pre_project_fwd(shape, rows("x"), fn.data(), of.at("proj").place.width, data("fn_norm_weight"));
            expected["proj"] = std::move(found.proj);
            expected["sqsum"] = std::move(found.sqsum);
            break;
        }
        case operation::split_mixes_fwd: {
            reference::mixes_result found =
                reference::split_mixes_fwd(options, shape, splits(), data("scale"), data("base"));
            expected["pre"] = std::move(found.pre);
            expected["post"] = std::move(found.post);
            expected["logits"] = std::move(found.logits);
            break;
        }
        case operation::coeffs_fwd: {
            reference::coefficients_result found =
                reference::coeffs_fwd(options, shape, splits(), data("scale"), data("base"));
            expected["pre"] = std::move(found.pre);
            expected["post"] = std::move(found.post);
            expected["mix"] = std::move(found.mix);
            break;
        }
        case operation::pre_big_fuse:
            put(expected, reference::pre_big_fuse(options, shape, splits(), rows("x"), data("scale"), data("base"),
                                                  data("norm_weight")));
            break;
        default:
            throw std::logic_error("no reference is known for " + std::string(name_of(of.op)));
    }
    if (of.find("layer_input_scale") != nullptr) {
        const std::int64_t block = spec.layer_input_quant == jit::layer_input_quant::fp8_row ? 0 : 128;
        reference::quantised found = reference::quantised_e4m3(shape, expected.at("layer_input"), block,
                                                               bounds_of(of.op, "layer_input_scale", spec).relative);
        expected["layer_input"] = std::move(found.layer_input);
        expected["layer_input_scale"] = std::move(found.scale);
    }
    return expected;
}

}  // namespace mhc::testing
