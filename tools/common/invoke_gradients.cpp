// tools/common/invoke_gradients.cpp -- gradients: whichever fields an argument struct has, filled by their names.
#include "tools/common/invoke_gradients.hpp"

namespace mhc::tools {
namespace {

using jit::operation;

template <class Args>
Args filled(const call& c)
{
    Args args;
// clang-format off
#define MHC_SET(field) if constexpr (requires { args.field; }) c.set(args.field, #field)
    MHC_SET(logits); MHC_SET(d_mix); MHC_SET(d_logits); MHC_SET(x); MHC_SET(weight); MHC_SET(d_y); MHC_SET(d_rms);
    MHC_SET(d_x); MHC_SET(d_weight); MHC_SET(pre); MHC_SET(d_layer_input); MHC_SET(d_pre); MHC_SET(d_h); MHC_SET(y);
    MHC_SET(post); MHC_SET(mix); MHC_SET(d_out); MHC_SET(d_post); MHC_SET(fn); MHC_SET(scale); MHC_SET(base);
    MHC_SET(norm_weight); MHC_SET(d_fn); MHC_SET(d_scale); MHC_SET(d_base); MHC_SET(d_norm_weight); MHC_SET(d_next_pre);
    MHC_SET(d_next_post); MHC_SET(d_next_mix); MHC_SET(d_proj); MHC_SET(d_sqsum); MHC_SET(proj); MHC_SET(sqsum);
    MHC_SET(h_pre); MHC_SET(h_post); MHC_SET(h_res); MHC_SET(d_h_pre); MHC_SET(d_h_post); MHC_SET(d_h_res);
    MHC_SET(phi_pre); MHC_SET(phi_post); MHC_SET(phi_res); MHC_SET(alpha_pre); MHC_SET(alpha_post); MHC_SET(alpha_res);
    MHC_SET(b_pre); MHC_SET(b_post); MHC_SET(b_res); MHC_SET(d_phi_pre); MHC_SET(d_phi_post); MHC_SET(d_phi_res);
    MHC_SET(d_alpha_pre); MHC_SET(d_alpha_post); MHC_SET(d_alpha_res); MHC_SET(d_b_pre); MHC_SET(d_b_post);
    MHC_SET(d_b_res); MHC_SET(bias); MHC_SET(d_bias); MHC_SET(num_valid_tokens);
    MHC_SET(fn_norm_weight); MHC_SET(d_fn_norm_weight);
#undef MHC_SET
    // clang-format on
    args.tokens = c.what.tokens;
    if constexpr (requires { args.workspace; }) args.workspace = c.workspace;
    if constexpr (requires { args.x_strides; }) args.x_strides = c.given;
    if constexpr (requires { args.d_out_strides; }) args.d_out_strides = c.given;
    if constexpr (requires { args.d_x_strides; }) args.d_x_strides = c.given;
    if constexpr (requires { args.pre_is_static; }) args.pre_is_static = c.is_static("pre");
    if constexpr (requires { args.post_is_static; }) args.post_is_static = c.is_static("post");
    if constexpr (requires { args.mix_is_static; }) args.mix_is_static = c.is_static("mix");
    if constexpr (requires { args.accumulate; }) args.accumulate = c.additions();
    if constexpr (requires { args.rows; }) args.rows = c.what.rows;
    if constexpr (requires { args.splits; }) args.splits = c.what.splits;
    return args;
}

}  // namespace

jit::result<void> invoke_gradient(const call& c)
{
    switch (c.what.op) {
        case operation::sinkhorn_bwd:
            return c.layer.sinkhorn_bwd(filled<jit::sinkhorn_bwd_args>(c), c.stream);
        case operation::rmsnorm_bwd:
            return c.layer.rmsnorm_bwd(filled<jit::rmsnorm_bwd_args>(c), c.stream);
        case operation::apply_mix_bwd:
            return c.layer.apply_mix_bwd(filled<jit::apply_mix_bwd_args>(c), c.stream);
        case operation::expand_bwd:
            return c.layer.expand_bwd(filled<jit::expand_bwd_args>(c), c.stream);
        case operation::post_bwd:
            return c.layer.post_bwd(filled<jit::post_bwd_args>(c), c.stream);
        case operation::pre_bwd:
            return c.layer.pre_bwd(filled<jit::pre_bwd_args>(c), c.stream);
        case operation::static_layer_bwd:
            return c.layer.static_layer_bwd(filled<jit::static_layer_bwd_args>(c), c.stream);
        case operation::dynamic_layer_bwd:
            return c.layer.dynamic_layer_bwd(filled<jit::dynamic_layer_bwd_args>(c), c.stream);
        case operation::post_pre_bwd:
            return c.layer.post_pre_bwd(filled<jit::post_pre_bwd_args>(c), c.stream);
        case operation::head_bwd:
            return c.layer.head_bwd(filled<jit::head_bwd_args>(c), c.stream);
        case operation::pre_project_bwd:
            return c.layer.pre_project_bwd(filled<jit::pre_project_bwd_args>(c), c.stream);
        case operation::split_mixes_bwd:
            return c.layer.split_mixes_bwd(filled<jit::split_mixes_bwd_args>(c), c.stream);
        case operation::coeffs_bwd:
            return c.layer.coeffs_bwd(filled<jit::coeffs_bwd_args>(c), c.stream);
        case operation::post_head_bwd:
            return c.layer.post_head_bwd(filled<jit::post_head_bwd_args>(c), c.stream);
        case operation::rmsnorm_matmul_bwd:
            return c.layer.rmsnorm_matmul_bwd(filled<jit::rmsnorm_matmul_bwd_args>(c), c.stream);
        default:
            return jit::failure{jit::errc::bad_spec, "no gradient"};
    }
}

}  // namespace mhc::tools
