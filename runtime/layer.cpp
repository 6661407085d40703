// runtime/layer.cpp -- a compiled layer's operators: each names its arguments to the check; gradients.cpp has the rest.
#include <array>

#include "runtime/launch.hpp"

namespace mhc::jit {
using codegen::slot;
using runtime::fn_in;
using runtime::launch_check;
using runtime::launch_valid;
using runtime::ready_operator;
using runtime::rows_of_fn;
using runtime::x_in;

const char* to_string(origin from) noexcept
{
    constexpr std::array<const char*, 4> names{"memory", "user", "prebuilt", "compiled"};
    return names[static_cast<std::size_t>(from)];
}

const layer_spec& compiled_layer::spec() const { return impl_->spec; }
const std::string& compiled_layer::target() const { return impl_->target; }
const std::vector<kernel_info>& compiled_layer::kernels() const { return impl_->kernels; }

compiled_layer compiled_layer::overlapping() const
{
    auto made = std::make_shared<impl>(*impl_);
    made->may_overlap = true;
    return compiled_layer(std::move(made));
}

std::int64_t compiled_layer::workspace_bytes(operation op, std::int64_t tokens) const
{
    const ready_operator* ready = impl_->operators[static_cast<std::size_t>(op)].get();
    if (ready == nullptr || tokens <= 0) return 0;
    return ready->plan.workspace_bytes_fixed + tokens * ready->plan.workspace_bytes_per_token;
}

result<void> compiled_layer::sinkhorn_fwd(const sinkhorn_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::sinkhorn_fwd, a, stream, [&](launch_check& c) {
        c.f32(slot::logits, a.logits);
        c.f32(slot::mix, a.mix);
    });
}

result<void> compiled_layer::rmsnorm_fwd(const rmsnorm_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::rmsnorm_fwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.optional_weight(slot::weight, a.weight);
        c.data_out(slot::y, a.y);
        c.f32(slot::rms, a.rms);
    });
}

result<void> compiled_layer::rmsnorm_matmul_fwd(const rmsnorm_matmul_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::rmsnorm_matmul_fwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.optional_weight(slot::norm_weight, a.norm_weight);
        c.weight(slot::weight, a.weight);
        c.data_out(slot::y, a.y);
        c.f32(slot::rms, a.rms);
        c.rows_of_weight(a.rows);
    });
}

result<void> compiled_layer::apply_mix_fwd(const apply_mix_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::apply_mix_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        c.f32(slot::pre, a.pre);
        c.number(slot::pre_token_stride, a.pre_is_static ? 0 : impl_->spec.n_streams);
        c.data_out(slot::layer_input, a.layer_input);
    });
}

result<void> compiled_layer::expand_fwd(const expand_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::expand_fwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::h, a.h);
        c.data_out(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, true);
    });
}

namespace {

/// What post_fwd and post_pre_fwd share.
template <class Args>
void collect_post(launch_check& c, const Args& a, std::int64_t n)
{
    runtime::post_in(c, a, n);
    c.data_out(slot::out, a.out);
    c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
    c.out_beside_x(true);
    c.optional_weight(slot::bias, a.bias);
}

/// What head_fwd and post_head_fwd share.
template <class Args>
void collect_head(launch_check& c, const Args& a, std::int64_t n)
{
    fn_in(c, a);
    c.f32(slot::scale, a.scale);
    c.f32(slot::base, a.base);
    c.norm_weight(a.norm_weight);
    c.data_out(slot::layer_input, a.layer_input);
    if constexpr (requires { a.layer_input_scale; }) c.layer_input_scale(a.layer_input_scale);
    c.number(slot::pre_token_stride, n);
    c.projection(n);
    c.workspace(a.workspace);
}

/// What pre_fwd and its relatives share, but for x.
template <class Args>
void collect_pre(launch_check& c, const Args& a)
{
    fn_in(c, a);
    c.f32(slot::scale, a.scale);
    c.f32(slot::base, a.base);
    c.norm_weight(a.norm_weight);
    c.data_out(slot::layer_input, a.layer_input);
    c.layer_input_scale(a.layer_input_scale);
    c.f32(slot::pre, a.pre);
    c.f32(slot::post, a.post);
    c.f32(slot::mix, a.mix);
    c.workspace(a.workspace);
}

/// What the operators share that read a projection in the caller's memory.
template <class Args>
void collect_splits(launch_check& c, const Args& a)
{
    c.f32(slot::proj, a.proj);
    c.f32(slot::sqsum, a.sqsum);
    c.splits(a.splits);
    c.f32(slot::scale, a.scale);
    c.f32(slot::base, a.base);
    c.f32(slot::pre, a.pre);
    c.f32(slot::post, a.post);
}

}  // namespace

result<void> compiled_layer::post_fwd(const post_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_fwd, a, stream,
                        [&](launch_check& c) { collect_post(c, a, impl_->spec.n_streams); });
}

result<void> compiled_layer::pre_fwd(const pre_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::pre_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        collect_pre(c, a);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
        c.projection(rows_of_fn(impl_->spec));
    });
}

result<void> compiled_layer::broadcast_pre_fwd(const broadcast_pre_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::broadcast_pre_fwd, a, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.number(slot::x_token_stride, impl_->spec.hidden_dim);
        c.number(slot::x_stream_stride, 0);
        collect_pre(c, a);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
        c.projection(rows_of_fn(impl_->spec));
    });
}

result<void> compiled_layer::delayed_pre_fwd(const delayed_pre_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::delayed_pre_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        collect_pre(c, a);
        c.f32(slot::previous_pre, a.previous_pre);
        c.number(slot::pre_token_stride, a.previous_pre_is_static ? 0 : impl_->spec.n_streams);
        c.projection(rows_of_fn(impl_->spec));
    });
}

result<void> compiled_layer::static_layer_fwd(const static_layer_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::static_layer_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        c.f32(slot::h_pre, a.h_pre);
        c.f32(slot::h_post, a.h_post);
        c.f32(slot::h_res, a.h_res);
        c.weight(slot::weight, a.weight);
        c.data_out(slot::out, a.out);
        c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
        c.out_beside_x(false);
        c.number(slot::coefficients_token_stride, 0);
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::dynamic_layer_fwd(const dynamic_layer_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::dynamic_layer_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        runtime::dynamic_parameters_in(c, a);
        c.data_out(slot::out, a.out);
        c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
        c.out_beside_x(false);
        c.number(slot::coefficients_token_stride, rows_of_fn(impl_->spec));
        c.projection(rows_of_fn(impl_->spec));
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::post_pre_fwd(const post_pre_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_pre_fwd, a, stream, [&](launch_check& c) {
        collect_post(c, a, impl_->spec.n_streams);
        fn_in(c, a);
        c.f32(slot::scale, a.scale);
        c.f32(slot::base, a.base);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
        c.layer_input_scale(a.layer_input_scale);
        c.f32(slot::next_pre, a.next_pre);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
        c.f32(slot::next_post, a.next_post);
        c.f32(slot::next_mix, a.next_mix);
        c.projection(rows_of_fn(impl_->spec));
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::head_fwd(const head_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::head_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        collect_head(c, a, impl_->spec.n_streams);
    });
}

result<void> compiled_layer::post_head_fwd(const post_head_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::post_head_fwd, a, stream, [&](launch_check& c) {
        runtime::post_in(c, a, impl_->spec.n_streams);
        c.optional_weight(slot::bias, a.bias);
        collect_head(c, a, impl_->spec.n_streams);
        c.dense_streams();
    });
}

result<void> compiled_layer::pre_project_fwd(const pre_project_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::pre_project_fwd, a, stream, [&](launch_check& c) {
        x_in(c, a.x, a.x_strides);
        fn_in(c, a);
        c.rows(a.rows);
        c.splits(a.splits);
        c.f32(slot::proj, a.proj);
        c.f32(slot::sqsum, a.sqsum);
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::split_mixes_fwd(const split_mixes_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::split_mixes_fwd, a, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::logits, a.logits);
    });
}

result<void> compiled_layer::coeffs_fwd(const coeffs_fwd_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::coeffs_fwd, a, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::mix, a.mix);
    });
}

result<void> compiled_layer::pre_big_fuse(const pre_big_fuse_args& a, void* stream) const
{
    return launch_valid(*impl_, operation::pre_big_fuse, a, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::mix, a.mix);
        x_in(c, a.x, a.x_strides);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
        c.layer_input_scale(a.layer_input_scale);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
    });
}

}  // namespace mhc::jit
