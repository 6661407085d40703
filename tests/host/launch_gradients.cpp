// tests/host/launch_gradients.cpp -- gradients: whichever fields an argument struct has, filled by their names.
#include "tests/host/launch.hpp"

namespace mhc::testing {
namespace {

using jit::operation;

template <class Args>
Args filled(const operands& of, const pointer_by_name& pointer)
{
    Args args;
// clang-format off
#define MHC_SET(field) if constexpr (requires { args.field; }) args.field = static_cast<decltype(args.field)>(pointer(#field))
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
    MHC_SET(workspace);
#undef MHC_SET
    // clang-format on
    args.tokens = of.tokens;
    if constexpr (requires { args.x_strides; }) args.x_strides = of.x_strides;
    if constexpr (requires { args.d_out_strides; }) args.d_out_strides = of.out_strides;
    if constexpr (requires { args.d_x_strides; }) args.d_x_strides = of.out_strides;
    if constexpr (requires { args.pre_is_static; }) args.pre_is_static = of.pre_is_static;
    if constexpr (requires { args.post_is_static; }) args.post_is_static = of.post_is_static;
    if constexpr (requires { args.mix_is_static; }) args.mix_is_static = of.mix_is_static;
    if constexpr (requires { args.rows; }) args.rows = of.rows;
    if constexpr (requires { args.splits; }) args.splits = of.splits;
    if constexpr (requires { args.accumulate; }) args.accumulate = of.accumulate;
    return args;
}

}  // namespace

jit::result<void> launch_gradient(const jit::compiled_layer& layer, const operands& of, const pointer_by_name& pointer,
                                  void* stream)
{
    switch (of.op) {
        case operation::sinkhorn_bwd:
            return layer.sinkhorn_bwd(filled<jit::sinkhorn_bwd_args>(of, pointer), stream);
        case operation::rmsnorm_bwd:
            return layer.rmsnorm_bwd(filled<jit::rmsnorm_bwd_args>(of, pointer), stream);
        case operation::apply_mix_bwd:
            return layer.apply_mix_bwd(filled<jit::apply_mix_bwd_args>(of, pointer), stream);
        case operation::expand_bwd:
            return layer.expand_bwd(filled<jit::expand_bwd_args>(of, pointer), stream);
        case operation::post_bwd:
            return layer.post_bwd(filled<jit::post_bwd_args>(of, pointer), stream);
        case operation::pre_bwd:
            return layer.pre_bwd(filled<jit::pre_bwd_args>(of, pointer), stream);
        case operation::static_layer_bwd:
            return layer.static_layer_bwd(filled<jit::static_layer_bwd_args>(of, pointer), stream);
        case operation::dynamic_layer_bwd:
            return layer.dynamic_layer_bwd(filled<jit::dynamic_layer_bwd_args>(of, pointer), stream);
        case operation::post_pre_bwd:
            return layer.post_pre_bwd(filled<jit::post_pre_bwd_args>(of, pointer), stream);
        case operation::head_bwd:
            return layer.head_bwd(filled<jit::head_bwd_args>(of, pointer), stream);
        case operation::pre_project_bwd:
            return layer.pre_project_bwd(filled<jit::pre_project_bwd_args>(of, pointer), stream);
        case operation::split_mixes_bwd:
            return layer.split_mixes_bwd(filled<jit::split_mixes_bwd_args>(of, pointer), stream);
        case operation::coeffs_bwd:
            return layer.coeffs_bwd(filled<jit::coeffs_bwd_args>(of, pointer), stream);
        case operation::post_head_bwd:
            return layer.post_head_bwd(filled<jit::post_head_bwd_args>(of, pointer), stream);
        case operation::rmsnorm_matmul_bwd:
            return layer.rmsnorm_matmul_bwd(filled<jit::rmsnorm_matmul_bwd_args>(of, pointer), stream);
        default:
            return jit::failure{jit::errc::bad_spec, "no gradient"};
    }
}

}  // namespace mhc::testing
