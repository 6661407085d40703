// tools/common/invoke.cpp -- calls an operator by name, with its tensors by name.
#include "tools/common/invoke.hpp"

#include "tools/common/invoke_gradients.hpp"

namespace mhc::tools {
namespace {

using jit::operation;
using jit::result;

result<void> sinkhorn(const call& c)
{
    jit::sinkhorn_fwd_args args;
    c.set(args.logits, "logits");
    c.set(args.mix, "mix");
    args.tokens = c.what.tokens;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.sinkhorn_fwd(args, c.stream);
}

result<void> rmsnorm(const call& c)
{
    jit::rmsnorm_fwd_args args;
    c.set(args.x, "x");
    c.set(args.weight, "weight");
    c.set(args.y, "y");
    c.set(args.rms, "rms");
    args.tokens = c.what.tokens;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.rmsnorm_fwd(args, c.stream);
}

result<void> rmsnorm_matmul(const call& c)
{
    jit::rmsnorm_matmul_fwd_args args;
    c.set(args.x, "x");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.weight, "weight");
    c.set(args.y, "y");
    c.set(args.rms, "rms");
    args.tokens = c.what.tokens;
    args.rows = c.what.rows;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.rmsnorm_matmul_fwd(args, c.stream);
}

result<void> apply_mix(const call& c)
{
    jit::apply_mix_fwd_args args;
    c.set(args.x, "x");
    c.set(args.pre, "pre");
    c.set(args.layer_input, "layer_input");
    args.tokens = c.what.tokens;
    args.x_strides = c.given;
    args.pre_is_static = c.is_static("pre");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.apply_mix_fwd(args, c.stream);
}

result<void> expand(const call& c)
{
    jit::expand_fwd_args args;
    c.set(args.h, "h");
    c.set(args.x, "x");
    args.tokens = c.what.tokens;
    args.x_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.expand_fwd(args, c.stream);
}

result<void> post(const call& c)
{
    jit::post_fwd_args args;
    c.set(args.y, "y");
    c.set(args.x, "x");
    c.set(args.post, "post");
    c.set(args.mix, "mix");
    c.set(args.out, "out");
    args.tokens = c.what.tokens;
    args.x_strides = args.out_strides = c.given;
    args.post_is_static = c.is_static("post");
    args.mix_is_static = c.is_static("mix");
    c.set(args.bias, "bias");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.post_fwd(args, c.stream);
}

/// What pre_fwd and its relatives share.
template <class Args>
void set_pre(const call& c, Args& args)
{
    c.set(args.x, "x");
    c.set(args.fn, "fn");
    c.set(args.fn_norm_weight, "fn_norm_weight");
    c.set(args.scale, "scale");
    c.set(args.base, "base");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.layer_input, "layer_input");
    c.set(args.layer_input_scale, "layer_input_scale");
    c.set(args.pre, "pre");
    c.set(args.post, "post");
    c.set(args.mix, "mix");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    c.set(args.num_valid_tokens, "num_valid_tokens");
}

result<void> pre(const call& c)
{
    jit::pre_fwd_args args;
    set_pre(c, args);
    args.x_strides = c.given;
    return c.layer.pre_fwd(args, c.stream);
}

result<void> broadcast_pre(const call& c)
{
    jit::broadcast_pre_fwd_args args;
    set_pre(c, args);
    return c.layer.broadcast_pre_fwd(args, c.stream);
}

result<void> delayed_pre(const call& c)
{
    jit::delayed_pre_fwd_args args;
    set_pre(c, args);
    c.set(args.previous_pre, "previous_pre");
    args.x_strides = c.given;
    args.previous_pre_is_static = c.is_static("previous_pre");
    return c.layer.delayed_pre_fwd(args, c.stream);
}

result<void> static_layer(const call& c)
{
    jit::static_layer_fwd_args args;
    c.set(args.x, "x");
    c.set(args.h_pre, "h_pre");
    c.set(args.h_post, "h_post");
    c.set(args.h_res, "h_res");
    c.set(args.weight, "weight");
    c.set(args.out, "out");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    args.x_strides = args.out_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.static_layer_fwd(args, c.stream);
}

result<void> dynamic_layer(const call& c)
{
    jit::dynamic_layer_fwd_args args;
    c.set(args.x, "x");
    c.set(args.phi_pre, "phi_pre");
    c.set(args.phi_post, "phi_post");
    c.set(args.phi_res, "phi_res");
    c.set(args.alpha_pre, "alpha_pre");
    c.set(args.alpha_post, "alpha_post");
    c.set(args.alpha_res, "alpha_res");
    c.set(args.b_pre, "b_pre");
    c.set(args.b_post, "b_post");
    c.set(args.b_res, "b_res");
    c.set(args.weight, "weight");
    c.set(args.out, "out");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    args.x_strides = args.out_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.dynamic_layer_fwd(args, c.stream);
}

result<void> post_pre(const call& c)
{
    jit::post_pre_fwd_args args;
    c.set(args.y, "y");
    c.set(args.x, "x");
    c.set(args.post, "post");
    c.set(args.mix, "mix");
    c.set(args.fn, "fn");
    c.set(args.fn_norm_weight, "fn_norm_weight");
    c.set(args.scale, "scale");
    c.set(args.base, "base");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.out, "out");
    c.set(args.layer_input, "layer_input");
    c.set(args.layer_input_scale, "layer_input_scale");
    c.set(args.next_pre, "next_pre");
    c.set(args.next_post, "next_post");
    c.set(args.next_mix, "next_mix");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    args.x_strides = args.out_strides = c.given;
    args.post_is_static = c.is_static("post");
    args.mix_is_static = c.is_static("mix");
    c.set(args.bias, "bias");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.post_pre_fwd(args, c.stream);
}

result<void> head(const call& c)
{
    jit::head_fwd_args args;
    c.set(args.x, "x");
    c.set(args.fn, "fn");
    c.set(args.fn_norm_weight, "fn_norm_weight");
    c.set(args.scale, "scale");
    c.set(args.base, "base");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.layer_input, "layer_input");
    c.set(args.layer_input_scale, "layer_input_scale");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    args.x_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.head_fwd(args, c.stream);
}

result<void> post_head(const call& c)
{
    jit::post_head_fwd_args args;
    c.set(args.y, "y");
    c.set(args.x, "x");
    c.set(args.post, "post");
    c.set(args.mix, "mix");
    c.set(args.fn, "fn");
    c.set(args.scale, "scale");
    c.set(args.base, "base");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.layer_input, "layer_input");
    args.workspace = c.workspace;
    args.tokens = c.what.tokens;
    args.x_strides = c.given;
    args.post_is_static = c.is_static("post");
    args.mix_is_static = c.is_static("mix");
    c.set(args.bias, "bias");
    c.set(args.fn_norm_weight, "fn_norm_weight");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.post_head_fwd(args, c.stream);
}

result<void> pre_project(const call& c)
{
    jit::pre_project_fwd_args args;
    c.set(args.x, "x");
    c.set(args.fn, "fn");
    c.set(args.fn_norm_weight, "fn_norm_weight");
    c.set(args.proj, "proj");
    c.set(args.sqsum, "sqsum");
    args.tokens = c.what.tokens;
    args.rows = c.what.rows;
    args.splits = c.what.splits;
    args.x_strides = c.given;
    args.workspace = c.workspace;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.pre_project_fwd(args, c.stream);
}

/// What the operators share that read a projection.
template <class Args>
void set_splits(const call& c, Args& args)
{
    c.set(args.proj, "proj");
    c.set(args.sqsum, "sqsum");
    c.set(args.scale, "scale");
    c.set(args.base, "base");
    c.set(args.pre, "pre");
    c.set(args.post, "post");
    args.tokens = c.what.tokens;
    args.splits = c.what.splits;
}

result<void> split_mixes(const call& c)
{
    jit::split_mixes_fwd_args args;
    set_splits(c, args);
    c.set(args.logits, "logits");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.split_mixes_fwd(args, c.stream);
}

result<void> coeffs(const call& c)
{
    jit::coeffs_fwd_args args;
    set_splits(c, args);
    c.set(args.mix, "mix");
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.coeffs_fwd(args, c.stream);
}

result<void> pre_big_fuse(const call& c)
{
    jit::pre_big_fuse_args args;
    set_splits(c, args);
    c.set(args.mix, "mix");
    c.set(args.x, "x");
    c.set(args.norm_weight, "norm_weight");
    c.set(args.layer_input, "layer_input");
    c.set(args.layer_input_scale, "layer_input_scale");
    args.x_strides = c.given;
    c.set(args.num_valid_tokens, "num_valid_tokens");
    return c.layer.pre_big_fuse(args, c.stream);
}

}  // namespace

result<void> invoke(const jit::compiled_layer& layer, const problem& what, const pointers& tensors, void* workspace,
                    const jit::strides& given, void* stream)
{
    const call c{layer, what, tensors, workspace, given, stream};
    switch (what.op) {
        case operation::sinkhorn_fwd:
            return sinkhorn(c);
        case operation::rmsnorm_fwd:
            return rmsnorm(c);
        case operation::rmsnorm_matmul_fwd:
            return rmsnorm_matmul(c);
        case operation::apply_mix_fwd:
            return apply_mix(c);
        case operation::expand_fwd:
            return expand(c);
        case operation::post_fwd:
            return post(c);
        case operation::pre_fwd:
            return pre(c);
        case operation::broadcast_pre_fwd:
            return broadcast_pre(c);
        case operation::delayed_pre_fwd:
            return delayed_pre(c);
        case operation::static_layer_fwd:
            return static_layer(c);
        case operation::dynamic_layer_fwd:
            return dynamic_layer(c);
        case operation::post_pre_fwd:
            return post_pre(c);
        case operation::head_fwd:
            return head(c);
        case operation::multilayer_recompute:
            return invoke_recompute(c);
        case operation::post_head_fwd:
            return post_head(c);
        case operation::pre_project_fwd:
            return pre_project(c);
        case operation::split_mixes_fwd:
            return split_mixes(c);
        case operation::coeffs_fwd:
            return coeffs(c);
        case operation::pre_big_fuse:
            return pre_big_fuse(c);
        default:
            return invoke_gradient(c);
    }
}

}  // namespace mhc::tools
