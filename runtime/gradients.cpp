// runtime/gradients.cpp -- a compiled layer's gradients: each names its arguments to the check.
#include "runtime/launch.hpp"

namespace mhc::jit {
namespace {

using codegen::slot;
using runtime::fn_in;
using runtime::launch_check;
using runtime::launch_valid;
using runtime::rows_of_fn;
using runtime::x_in;

void d_x_out(launch_check& c, void* d_x, const strides& given)
{
    c.data_out(slot::d_x, d_x);
    c.streams(slot::d_x_token_stride, slot::d_x_stream_stride, given, true);
}

void d_out_in(launch_check& c, const void* d_out, const strides& given)
{
    c.data_in(slot::d_out, d_out);
    c.streams(slot::d_out_token_stride, slot::d_out_stream_stride, given, false);
}

/// Of coefficients of each token, or of those that all tokens share.
void coefficient_gradient(launch_check& c, slot what, float* p, bool is_static)
{
    is_static ? c.parameter(what, p) : c.f32(what, p);
}

/// What post_bwd, post_pre_bwd and post_head_bwd share.
template <class Args>
void collect_post_gradients(launch_check& c, const Args& a, std::int64_t n)
{
    runtime::post_in(c, a, n);
    c.optional_weight(slot::bias, a.bias);
    c.optional_weight(slot::d_bias, a.d_bias);
    c.data_out(slot::d_y, a.d_y);
    d_x_out(c, a.d_x, a.d_x_strides);
    coefficient_gradient(c, slot::d_post, a.d_post, a.post_is_static);
    coefficient_gradient(c, slot::d_mix, a.d_mix, a.mix_is_static);
    c.number(slot::post_is_static, a.post_is_static ? 1 : 0);
    c.number(slot::mix_is_static, a.mix_is_static ? 1 : 0);
    c.number(slot::statics_are_wanted, a.post_is_static || a.mix_is_static ? 1 : 0);
    c.workspace(a.workspace);
    c.gradient(a.accumulate);
}

template <class Args>
void collect_scale_and_base(launch_check& c, const Args& a)
{
    c.f32(slot::scale, a.scale);
    c.f32(slot::base, a.base);
    c.optional_f32(slot::d_scale, a.d_scale);
    c.optional_f32(slot::d_base, a.d_base);
    c.number(slot::affine_is_wanted, a.d_scale != nullptr || a.d_base != nullptr ? 1 : 0);
}

template <class Args>
void collect_fn(launch_check& c, const Args& a)
{
    fn_in(c, a);
    c.optional_weight(slot::d_fn, a.d_fn);
    c.fn_norm_weight_gradient(a.d_fn_norm_weight);
    c.number(slot::fn_is_wanted, a.d_fn != nullptr || a.d_fn_norm_weight != nullptr ? 1 : 0);
}

/// What the gradients share that go through a projection on `rows` rows of fn.
template <class Args>
void collect_projection(launch_check& c, const Args& a, std::int64_t rows)
{
    collect_fn(c, a);
    collect_scale_and_base(c, a);
    c.number(slot::pre_is_wanted, a.d_fn != nullptr || a.d_scale != nullptr || a.d_base != nullptr ? 1 : 0);
    c.norm_weight(a.norm_weight);
    c.norm_weight_gradient(a.d_norm_weight);
    c.data_in(slot::d_layer_input, a.d_layer_input);
    c.projection(rows);
}

template <class Args>
void collect_split_gradients(launch_check& c, const Args& a)
{
    c.f32(slot::proj, a.proj);
    c.f32(slot::sqsum, a.sqsum);
    c.splits(a.splits);
    collect_scale_and_base(c, a);
    c.optional_f32(slot::d_pre, a.d_pre);
    c.optional_f32(slot::d_post, a.d_post);
    c.f32(slot::d_proj, a.d_proj);
    c.f32(slot::d_sqsum, a.d_sqsum);
    c.workspace(a.workspace);
    c.gradient(a.accumulate);
}

}  // namespace

result<void> compiled_layer::sinkhorn_bwd(const sinkhorn_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::sinkhorn_bwd, a, stream, [&](launch_check& c) {
        c.f32(slot::logits, a.logits);
        c.f32(slot::d_mix, a.d_mix);
        c.f32(slot::d_logits, a.d_logits);
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::rmsnorm_bwd(const rmsnorm_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::rmsnorm_bwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.optional_weight(slot::weight, a.weight);
        c.data_in(slot::d_y, a.d_y);
        c.optional_f32(slot::d_rms, a.d_rms);
        c.data_out(slot::d_x, a.d_x);
        c.optional_weight(slot::d_weight, a.d_weight);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::apply_mix_bwd(const apply_mix_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::apply_mix_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        c.f32(slot::pre, a.pre);
        c.number(slot::pre_token_stride, a.pre_is_static ? 0 : impl_->spec.n_streams);
        c.number(slot::pre_is_static, a.pre_is_static ? 1 : 0);
        c.data_in(slot::d_layer_input, a.d_layer_input);
        d_x_out(c, a.d_x, a.d_x_strides);
        coefficient_gradient(c, slot::d_pre, a.d_pre, a.pre_is_static);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::expand_bwd(const expand_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::expand_bwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::d_x, a.d_x);
        c.streams(slot::d_x_token_stride, slot::d_x_stream_stride, a.d_x_strides, false);
        c.data_out(slot::d_h, a.d_h);
    });
}

result<void> compiled_layer::post_bwd(const post_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_bwd, a, stream, [&](launch_check& c) {
        collect_post_gradients(c, a, impl_->spec.n_streams);
        d_out_in(c, a.d_out, a.d_out_strides);
    });
}

result<void> compiled_layer::pre_bwd(const pre_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::pre_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        d_x_out(c, a.d_x, a.d_x_strides);
        collect_projection(c, a, rows_of_fn(impl_->spec));
        c.optional_f32(slot::d_pre, a.d_pre);
        c.optional_f32(slot::d_post, a.d_post);
        c.optional_f32(slot::d_mix, a.d_mix);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::head_bwd(const head_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::head_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        d_x_out(c, a.d_x, a.d_x_strides);
        collect_projection(c, a, impl_->spec.n_streams);
        c.optional_f32(slot::d_pre, nullptr);  // pre is no output of head_fwd
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::post_pre_bwd(const post_pre_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_pre_bwd, a, stream, [&](launch_check& c) {
        collect_post_gradients(c, a, impl_->spec.n_streams);
        collect_projection(c, a, rows_of_fn(impl_->spec));
        c.optional_data(slot::d_out, a.d_out);
        c.streams(slot::d_out_token_stride, slot::d_out_stream_stride, a.d_out_strides, false);
        c.optional_f32(slot::d_next_pre, a.d_next_pre);
        c.optional_f32(slot::d_next_post, a.d_next_post);
        c.optional_f32(slot::d_next_mix, a.d_next_mix);
    });
}

result<void> compiled_layer::post_head_bwd(const post_head_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_head_bwd, a, stream, [&](launch_check& c) {
        collect_post_gradients(c, a, impl_->spec.n_streams);
        collect_projection(c, a, impl_->spec.n_streams);
    });
}

result<void> compiled_layer::rmsnorm_matmul_bwd(const rmsnorm_matmul_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::rmsnorm_matmul_bwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.optional_weight(slot::norm_weight, a.norm_weight);
        c.weight(slot::weight, a.weight);
        c.data_in(slot::d_y, a.d_y);
        c.optional_f32(slot::d_rms, a.d_rms);
        c.data_out(slot::d_x, a.d_x);
        c.optional_weight(slot::d_norm_weight, a.d_norm_weight);
        c.optional_weight(slot::d_weight, a.d_weight);
        c.rows_of_weight(a.rows);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::pre_project_bwd(const pre_project_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::pre_project_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        d_x_out(c, a.d_x, a.d_x_strides);
        collect_fn(c, a);
        c.f32(slot::d_proj, a.d_proj);
        c.f32(slot::d_sqsum, a.d_sqsum);
        c.rows(a.rows);
        c.splits(a.splits);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::split_mixes_bwd(const split_mixes_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::split_mixes_bwd, a, stream, [&](launch_check& c) {
        collect_split_gradients(c, a);
        c.optional_f32(slot::d_logits, a.d_logits);
    });
}

result<void> compiled_layer::coeffs_bwd(const coeffs_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::coeffs_bwd, a, stream, [&](launch_check& c) {
        collect_split_gradients(c, a);
        c.optional_f32(slot::d_mix, a.d_mix);
    });
}

result<void> compiled_layer::static_layer_bwd(const static_layer_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::static_layer_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        c.f32(slot::h_pre, a.h_pre);
        c.f32(slot::h_post, a.h_post);
        c.f32(slot::h_res, a.h_res);
        c.weight(slot::weight, a.weight);
        d_out_in(c, a.d_out, a.d_out_strides);
        d_x_out(c, a.d_x, a.d_x_strides);
        c.parameter(slot::d_h_pre, a.d_h_pre);
        c.parameter(slot::d_h_post, a.d_h_post);
        c.parameter(slot::d_h_res, a.d_h_res);
        c.optional_weight(slot::d_weight, a.d_weight);
        c.number(slot::coefficients_token_stride, 0);
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

result<void> compiled_layer::dynamic_layer_bwd(const dynamic_layer_bwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::dynamic_layer_bwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        runtime::dynamic_parameters_in(c, a);
        d_out_in(c, a.d_out, a.d_out_strides);
        d_x_out(c, a.d_x, a.d_x_strides);
        c.weight_parameter(slot::d_phi_pre, a.d_phi_pre);
        c.weight_parameter(slot::d_phi_post, a.d_phi_post);
        c.weight_parameter(slot::d_phi_res, a.d_phi_res);
        c.parameter(slot::d_alpha_pre, a.d_alpha_pre);
        c.parameter(slot::d_alpha_post, a.d_alpha_post);
        c.parameter(slot::d_alpha_res, a.d_alpha_res);
        c.parameter(slot::d_b_pre, a.d_b_pre);
        c.parameter(slot::d_b_post, a.d_b_post);
        c.parameter(slot::d_b_res, a.d_b_res);
        c.optional_weight(slot::d_weight, a.d_weight);
        c.number(slot::coefficients_token_stride, rows_of_fn(impl_->spec));
        c.projection(rows_of_fn(impl_->spec));
        c.workspace(a.workspace);
        c.gradient(a.accumulate);
    });
}

}  // namespace mhc::jit
