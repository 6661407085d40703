// runtime/launch.hpp -- from an operator's arguments to its kernels' launches.
#pragma once

#include "runtime/launch_check.hpp"

namespace mhc::runtime {

/// Fills each kernel's argument block and launches it, in order, chunk of tokens by chunk where the plan has chunks. With no
/// tokens only those that say so. may_overlap: as compiled_layer::overlapping.
jit::result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, bool may_overlap,
                          void* stream);

/// Error of a layer that was made without the operator.
jit::failure not_made(jit::operation op);

inline std::int64_t rows_of_fn(const jit::layer_spec& spec) { return std::int64_t{spec.n_streams} * (spec.n_streams + 2); }

/// Arguments that several operators have.
inline void x_in(launch_check& c, const void* x, const jit::strides& given)
{
    c.data_in(codegen::slot::x, x);
    c.streams(codegen::slot::x_token_stride, codegen::slot::x_stream_stride, given, false);
}

/// The matrix of a projection.
template <class Args>
void fn_in(launch_check& c, const Args& a)
{
    c.weight(codegen::slot::fn, a.fn);
    c.fn_norm_weight(a.fn_norm_weight);
}

/// What post_fwd, post_pre_fwd and their gradients read.
template <class Args>
void post_in(launch_check& c, const Args& a, std::int64_t n)
{
    c.data_in(codegen::slot::y, a.y);
    x_in(c, a.x, a.x_strides);
    c.f32(codegen::slot::post, a.post);
    c.number(codegen::slot::post_token_stride, a.post_is_static ? 0 : n);
    c.f32(codegen::slot::mix, a.mix);
    c.number(codegen::slot::mix_token_stride, a.mix_is_static ? 0 : n * n);
}

/// The parameters of the layer with coefficients of each token.
template <class Args>
void dynamic_parameters_in(launch_check& c, const Args& a)
{
    c.weight(codegen::slot::phi_pre, a.phi_pre);
    c.weight(codegen::slot::phi_post, a.phi_post);
    c.weight(codegen::slot::phi_res, a.phi_res);
    c.f32(codegen::slot::alpha_pre, a.alpha_pre);
    c.f32(codegen::slot::alpha_post, a.alpha_post);
    c.f32(codegen::slot::alpha_res, a.alpha_res);
    c.f32(codegen::slot::b_pre, a.b_pre);
    c.f32(codegen::slot::b_post, a.b_post);
    c.f32(codegen::slot::b_res, a.b_res);
    c.weight(codegen::slot::weight, a.weight);
}

/// `check` collects the operator's arguments; then its kernels are launched. Without tokens a forward has nothing to do; a
/// gradient still has the sums over no tokens.
template <class Layer, class Check>
jit::result<void> launch(const Layer& layer, jit::operation op, std::int64_t tokens, void* stream, Check check)
{
    const ready_operator* ready = layer.operators[static_cast<std::size_t>(op)].get();
    if (ready == nullptr) return not_made(op);
    launch_check arguments(layer, op, tokens);
    if (tokens != 0 || ready->plan.runs_without_tokens) check(arguments);
    if (!arguments.is_ok()) return arguments.why();
    if (tokens == 0 && !ready->plan.runs_without_tokens) return {};
    return enqueue(*ready, arguments.values(), tokens, layer.may_overlap, stream);
}

/// Of an operator that can be told of a padded batch.
template <class Args, class Check>
jit::result<void> launch_valid(const jit::compiled_layer::impl& layer, jit::operation op, const Args& a, void* stream,
                               Check check)
{
    return launch(layer, op, a.tokens, stream, [&](launch_check& c) {
        check(c);
        c.valid_tokens(a.num_valid_tokens);
    });
}

}  // namespace mhc::runtime
