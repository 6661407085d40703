// tests/host/launch.cpp -- one argument struct for each operator, filled field by field.
#include "tests/host/launch.hpp"

namespace mhc::testing {

using jit::operation;

bool takes_workspace(operation op)
{
    constexpr jit::operations with_workspace = {
        operation::pre_fwd,  operation::static_layer_fwd,  operation::dynamic_layer_fwd, operation::post_pre_fwd,
        operation::head_fwd, operation::broadcast_pre_fwd, operation::delayed_pre_fwd,   operation::post_head_fwd};
    return with_workspace.contains(op) || (is_gradient(op) && op != operation::expand_bwd);
}

namespace {

jit::result<void> launch_recompute(const jit::compiled_layer& layer, const operands& of, const pointer_by_name& pointer,
                                   void* stream)
{
    std::vector<jit::recompute_layer> layers;
    for (std::int64_t l = 0; l < of.layers; ++l) {
        const auto at = [&](std::string_view name) { return pointer(of_layer(name, l)); };
        const auto f32 = [&](std::string_view name) { return static_cast<float*>(at(name)); };
        layers.push_back({.pre = f32("pre"),
                          .layer_input = at("layer_input"),
                          .y = at("y"),
                          .post = f32("post"),
                          .mix = f32("mix"),
                          .bias = at("bias"),
                          .out = at("out")});
    }
    return layer.multilayer_recompute({.x = pointer("x"),
                                       .layers = layers.data(),
                                       .layer_count = of.layers,
                                       .tokens = of.tokens,
                                       .x_strides = of.x_strides,
                                       .out_strides = of.out_strides,
                                       .pre_is_static = of.pre_is_static,
                                       .post_is_static = of.post_is_static,
                                       .mix_is_static = of.mix_is_static,
                                       .num_valid_tokens = static_cast<const std::int32_t*>(pointer("num_valid_tokens"))},
                                      stream);
}

}  // namespace

jit::result<void> launch(const jit::compiled_layer& layer, const operands& of, const pointer_by_name& pointer, void* stream)
{
    if (is_gradient(of.op)) return launch_gradient(layer, of, pointer, stream);
    const auto f32 = [&](std::string_view name) { return static_cast<float*>(pointer(name)); };
    const auto* const valid = static_cast<const std::int32_t*>(pointer("num_valid_tokens"));
    switch (of.op) {
        case operation::sinkhorn_fwd:
            return layer.sinkhorn_fwd(
                {.logits = f32("logits"), .mix = f32("mix"), .tokens = of.tokens, .num_valid_tokens = valid}, stream);
        case operation::rmsnorm_fwd:
            return layer.rmsnorm_fwd({.x = pointer("x"),
                                      .weight = pointer("weight"),
                                      .y = pointer("y"),
                                      .rms = f32("rms"),
                                      .tokens = of.tokens,
                                      .num_valid_tokens = valid},
                                     stream);
        case operation::rmsnorm_matmul_fwd:
            return layer.rmsnorm_matmul_fwd({.x = pointer("x"),
                                             .norm_weight = pointer("norm_weight"),
                                             .weight = pointer("weight"),
                                             .y = pointer("y"),
                                             .rms = f32("rms"),
                                             .tokens = of.tokens,
                                             .rows = of.rows,
                                             .num_valid_tokens = valid},
                                            stream);
        case operation::apply_mix_fwd:
            return layer.apply_mix_fwd({.x = pointer("x"),
                                        .pre = f32("pre"),
                                        .layer_input = pointer("layer_input"),
                                        .tokens = of.tokens,
                                        .x_strides = of.x_strides,
                                        .pre_is_static = of.pre_is_static,
                                        .num_valid_tokens = valid},
                                       stream);
        case operation::expand_fwd:
            return layer.expand_fwd({.h = pointer("h"),
                                     .x = pointer("x"),
                                     .tokens = of.tokens,
                                     .x_strides = of.x_strides,
                                     .num_valid_tokens = valid},
                                    stream);
        case operation::post_fwd:
            return layer.post_fwd({.y = pointer("y"),
                                   .x = pointer("x"),
                                   .post = f32("post"),
                                   .mix = f32("mix"),
                                   .out = pointer("out"),
                                   .tokens = of.tokens,
                                   .x_strides = of.x_strides,
                                   .out_strides = of.out_strides,
                                   .post_is_static = of.post_is_static,
                                   .mix_is_static = of.mix_is_static,
                                   .bias = pointer("bias"),
                                   .num_valid_tokens = valid},
                                  stream);
        case operation::pre_fwd:
            return layer.pre_fwd({.x = pointer("x"),
                                  .fn = pointer("fn"),
                                  .scale = f32("scale"),
                                  .base = f32("base"),
                                  .norm_weight = pointer("norm_weight"),
                                  .layer_input = pointer("layer_input"),
                                  .pre = f32("pre"),
                                  .post = f32("post"),
                                  .mix = f32("mix"),
                                  .workspace = pointer("workspace"),
                                  .tokens = of.tokens,
                                  .x_strides = of.x_strides,
                                  .fn_norm_weight = pointer("fn_norm_weight"),
                                  .num_valid_tokens = valid,
                                  .layer_input_scale = f32("layer_input_scale")},
                                 stream);
        case operation::broadcast_pre_fwd:
            return layer.broadcast_pre_fwd({.x = pointer("x"),
                                            .fn = pointer("fn"),
                                            .scale = f32("scale"),
                                            .base = f32("base"),
                                            .norm_weight = pointer("norm_weight"),
                                            .layer_input = pointer("layer_input"),
                                            .pre = f32("pre"),
                                            .post = f32("post"),
                                            .mix = f32("mix"),
                                            .workspace = pointer("workspace"),
                                            .tokens = of.tokens,
                                            .fn_norm_weight = pointer("fn_norm_weight"),
                                            .num_valid_tokens = valid,
                                            .layer_input_scale = f32("layer_input_scale")},
                                           stream);
        case operation::delayed_pre_fwd:
            return layer.delayed_pre_fwd({.x = pointer("x"),
                                          .previous_pre = f32("previous_pre"),
                                          .fn = pointer("fn"),
                                          .scale = f32("scale"),
                                          .base = f32("base"),
                                          .norm_weight = pointer("norm_weight"),
                                          .layer_input = pointer("layer_input"),
                                          .pre = f32("pre"),
                                          .post = f32("post"),
                                          .mix = f32("mix"),
                                          .workspace = pointer("workspace"),
                                          .tokens = of.tokens,
                                          .x_strides = of.x_strides,
                                          .previous_pre_is_static = of.pre_is_static,
                                          .fn_norm_weight = pointer("fn_norm_weight"),
                                          .num_valid_tokens = valid,
                                          .layer_input_scale = f32("layer_input_scale")},
                                         stream);
        case operation::static_layer_fwd:
            return layer.static_layer_fwd({.x = pointer("x"),
                                           .h_pre = f32("h_pre"),
                                           .h_post = f32("h_post"),
                                           .h_res = f32("h_res"),
                                           .weight = pointer("weight"),
                                           .out = pointer("out"),
                                           .workspace = pointer("workspace"),
                                           .tokens = of.tokens,
                                           .x_strides = of.x_strides,
                                           .out_strides = of.out_strides,
                                           .num_valid_tokens = valid},
                                          stream);
        case operation::dynamic_layer_fwd:
            return layer.dynamic_layer_fwd({.x = pointer("x"),
                                            .phi_pre = pointer("phi_pre"),
                                            .phi_post = pointer("phi_post"),
                                            .phi_res = pointer("phi_res"),
                                            .alpha_pre = f32("alpha_pre"),
                                            .alpha_post = f32("alpha_post"),
                                            .alpha_res = f32("alpha_res"),
                                            .b_pre = f32("b_pre"),
                                            .b_post = f32("b_post"),
                                            .b_res = f32("b_res"),
                                            .weight = pointer("weight"),
                                            .out = pointer("out"),
                                            .workspace = pointer("workspace"),
                                            .tokens = of.tokens,
                                            .x_strides = of.x_strides,
                                            .out_strides = of.out_strides,
                                            .num_valid_tokens = valid},
                                           stream);
        case operation::post_pre_fwd:
            return layer.post_pre_fwd({.y = pointer("y"),
                                       .x = pointer("x"),
                                       .post = f32("post"),
                                       .mix = f32("mix"),
                                       .fn = pointer("fn"),
                                       .scale = f32("scale"),
                                       .base = f32("base"),
                                       .norm_weight = pointer("norm_weight"),
                                       .out = pointer("out"),
                                       .layer_input = pointer("layer_input"),
                                       .next_pre = f32("next_pre"),
                                       .next_post = f32("next_post"),
                                       .next_mix = f32("next_mix"),
                                       .workspace = pointer("workspace"),
                                       .tokens = of.tokens,
                                       .x_strides = of.x_strides,
                                       .out_strides = of.out_strides,
                                       .post_is_static = of.post_is_static,
                                       .mix_is_static = of.mix_is_static,
                                       .bias = pointer("bias"),
                                       .fn_norm_weight = pointer("fn_norm_weight"),
                                       .num_valid_tokens = valid,
                                       .layer_input_scale = f32("layer_input_scale")},
                                      stream);
        case operation::head_fwd:
            return layer.head_fwd({.x = pointer("x"),
                                   .fn = pointer("fn"),
                                   .scale = f32("scale"),
                                   .base = f32("base"),
                                   .norm_weight = pointer("norm_weight"),
                                   .layer_input = pointer("layer_input"),
                                   .workspace = pointer("workspace"),
                                   .tokens = of.tokens,
                                   .x_strides = of.x_strides,
                                   .fn_norm_weight = pointer("fn_norm_weight"),
                                   .num_valid_tokens = valid,
                                   .layer_input_scale = f32("layer_input_scale")},
                                  stream);
        case operation::multilayer_recompute:
            return launch_recompute(layer, of, pointer, stream);
        case operation::post_head_fwd:
            return layer.post_head_fwd({.y = pointer("y"),
                                        .x = pointer("x"),
                                        .post = f32("post"),
                                        .mix = f32("mix"),
                                        .fn = pointer("fn"),
                                        .scale = f32("scale"),
                                        .base = f32("base"),
                                        .norm_weight = pointer("norm_weight"),
                                        .layer_input = pointer("layer_input"),
                                        .workspace = pointer("workspace"),
                                        .tokens = of.tokens,
                                        .x_strides = of.x_strides,
                                        .post_is_static = of.post_is_static,
                                        .mix_is_static = of.mix_is_static,
                                        .bias = pointer("bias"),
                                        .fn_norm_weight = pointer("fn_norm_weight"),
                                        .num_valid_tokens = valid},
                                       stream);
        case operation::pre_project_fwd:
            return layer.pre_project_fwd({.x = pointer("x"),
                                          .fn = pointer("fn"),
                                          .proj = f32("proj"),
                                          .sqsum = f32("sqsum"),
                                          .tokens = of.tokens,
                                          .rows = of.rows,
                                          .splits = of.splits,
                                          .x_strides = of.x_strides,
                                          .fn_norm_weight = pointer("fn_norm_weight"),
                                          .workspace = pointer("workspace"),
                                          .num_valid_tokens = valid},
                                         stream);
        case operation::split_mixes_fwd:
            return layer.split_mixes_fwd({.proj = f32("proj"),
                                          .sqsum = f32("sqsum"),
                                          .scale = f32("scale"),
                                          .base = f32("base"),
                                          .pre = f32("pre"),
                                          .post = f32("post"),
                                          .logits = f32("logits"),
                                          .tokens = of.tokens,
                                          .splits = of.splits,
                                          .num_valid_tokens = valid},
                                         stream);
        case operation::coeffs_fwd:
            return layer.coeffs_fwd({.proj = f32("proj"),
                                     .sqsum = f32("sqsum"),
                                     .scale = f32("scale"),
                                     .base = f32("base"),
                                     .pre = f32("pre"),
                                     .post = f32("post"),
                                     .mix = f32("mix"),
                                     .tokens = of.tokens,
                                     .splits = of.splits,
                                     .num_valid_tokens = valid},
                                    stream);
        case operation::pre_big_fuse:
            return layer.pre_big_fuse({.proj = f32("proj"),
                                       .sqsum = f32("sqsum"),
                                       .x = pointer("x"),
                                       .scale = f32("scale"),
                                       .base = f32("base"),
                                       .norm_weight = pointer("norm_weight"),
                                       .layer_input = pointer("layer_input"),
                                       .pre = f32("pre"),
                                       .post = f32("post"),
                                       .mix = f32("mix"),
                                       .tokens = of.tokens,
                                       .splits = of.splits,
                                       .x_strides = of.x_strides,
                                       .num_valid_tokens = valid,
                                       .layer_input_scale = f32("layer_input_scale")},
                                      stream);
        default:
            break;
    }
    return jit::failure{jit::errc::bad_spec, "unknown operator"};
}

}  // namespace mhc::testing
