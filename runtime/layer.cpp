// runtime/layer.cpp -- a compiled layer's operators: check the arguments, fill the argument blocks, launch.
#include <fmt/format.h>

#include <cstring>

#include "runtime/launch_check.hpp"

namespace mhc::jit {
namespace {

using codegen::slot;
using runtime::launch_check;
using runtime::ready_operator;

// The longest argument block of a family is some 130 bytes; tests/unit checks them all.
constexpr std::size_t argument_bytes_max = 256;

result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, void* stream)
{
    alignas(16) std::array<unsigned char, argument_bytes_max> block;
    for (std::size_t i = 0; i < op.kernels.size(); ++i) {
        const codegen::kernel_plan& plan = op.plan.kernels[i];
        const std::int64_t groups = plan.grid.groups(tokens);
        values[static_cast<std::size_t>(slot::groups)] = static_cast<std::uint64_t>(groups);
        for (const codegen::argument& arg : plan.args) {
            const std::uint64_t value =
                values[static_cast<std::size_t>(arg.what)] + static_cast<std::uint64_t>(arg.bytes_per_token * tokens);
            // Little-endian: a 4-byte value is the first half of the word. Either is one store; any other size were a call.
            unsigned char* const at = block.data() + arg.offset;
            if (arg.size == sizeof value)
                std::memcpy(at, &value, sizeof value);
            else
                std::memcpy(at, &value, sizeof(std::uint32_t));
        }
        if (auto ok = op.kernels[i]->code->launch(groups, plan.block, block.data(), plan.argument_bytes, stream); !ok)
            return ok;
    }
    return {};
}

std::int64_t rows_of_fn(const layer_spec& spec) { return std::int64_t{spec.n_streams} * (spec.n_streams + 2); }

/// `check` collects the operator's arguments; then its kernels are launched. No tokens, no launch.
template <class Layer, class Check>
result<void> launch(const Layer& layer, operation op, std::int64_t tokens, void* stream, Check check)
{
    const ready_operator* ready = layer.operators[static_cast<std::size_t>(op)].get();
    if (ready == nullptr)
        return failure{errc::launch_failed,
                       fmt::format("{}: the layer was made without it; name it in the spec's `wanted`", to_string(op))};
    launch_check arguments(layer, op, tokens);
    if (tokens != 0) check(arguments);
    if (!arguments.is_ok()) return arguments.why();
    if (tokens == 0) return {};
    return enqueue(*ready, arguments.values(), tokens, stream);
}

}  // namespace

const char* to_string(origin from) noexcept
{
    constexpr std::array<const char*, 4> names{"memory", "user", "prebuilt", "compiled"};
    return names[static_cast<std::size_t>(from)];
}

const layer_spec& compiled_layer::spec() const { return impl_->spec; }
const std::string& compiled_layer::target() const { return impl_->target; }
const std::vector<kernel_info>& compiled_layer::kernels() const { return impl_->kernels; }

std::int64_t compiled_layer::workspace_bytes(operation op, std::int64_t tokens) const
{
    const ready_operator* ready = impl_->operators[static_cast<std::size_t>(op)].get();
    if (ready == nullptr || tokens <= 0) return 0;
    return ready->plan.workspace_bytes_fixed + tokens * ready->plan.workspace_bytes_per_token;
}

result<void> compiled_layer::sinkhorn_fwd(const sinkhorn_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::sinkhorn_fwd, a.tokens, stream, [&](launch_check& c) {
        c.f32(slot::logits, a.logits);
        c.f32(slot::mix, a.mix);
    });
}

result<void> compiled_layer::rmsnorm_fwd(const rmsnorm_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::rmsnorm_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.optional_weight(slot::weight, a.weight);
        c.data_out(slot::y, a.y);
        c.f32(slot::rms, a.rms);
    });
}

result<void> compiled_layer::apply_mix_fwd(const apply_mix_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::apply_mix_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.f32(slot::pre, a.pre);
        c.number(slot::pre_token_stride, a.pre_is_static ? 0 : impl_->spec.n_streams);
        c.data_out(slot::layer_input, a.layer_input);
    });
}

result<void> compiled_layer::expand_fwd(const expand_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::expand_fwd, a.tokens, stream, [&](launch_check& c) {
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
    c.data_in(slot::y, a.y);
    c.data_in(slot::x, a.x);
    c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
    c.f32(slot::post, a.post);
    c.number(slot::post_token_stride, a.post_is_static ? 0 : n);
    c.f32(slot::mix, a.mix);
    c.number(slot::mix_token_stride, a.mix_is_static ? 0 : n * n);
    c.data_out(slot::out, a.out);
    c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
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
    return launch(*impl_, operation::post_fwd, a.tokens, stream,
                  [&](launch_check& c) { collect_post(c, a, impl_->spec.n_streams); });
}

result<void> compiled_layer::pre_fwd(const pre_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::pre_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.weight(slot::fn, a.fn);
        c.f32(slot::scale, a.scale);
        c.f32(slot::base, a.base);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
        c.f32(slot::pre, a.pre);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
        c.f32(slot::post, a.post);
        c.f32(slot::mix, a.mix);
        c.projection(rows_of_fn(impl_->spec));
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::static_layer_fwd(const static_layer_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::static_layer_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.f32(slot::h_pre, a.h_pre);
        c.f32(slot::h_post, a.h_post);
        c.f32(slot::h_res, a.h_res);
        c.weight(slot::weight, a.weight);
        c.data_out(slot::out, a.out);
        c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
        c.number(slot::coefficients_token_stride, 0);
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::dynamic_layer_fwd(const dynamic_layer_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::dynamic_layer_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.weight(slot::phi_pre, a.phi_pre);
        c.weight(slot::phi_post, a.phi_post);
        c.weight(slot::phi_res, a.phi_res);
        c.f32(slot::alpha_pre, a.alpha_pre);
        c.f32(slot::alpha_post, a.alpha_post);
        c.f32(slot::alpha_res, a.alpha_res);
        c.f32(slot::b_pre, a.b_pre);
        c.f32(slot::b_post, a.b_post);
        c.f32(slot::b_res, a.b_res);
        c.weight(slot::weight, a.weight);
        c.data_out(slot::out, a.out);
        c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
        c.number(slot::coefficients_token_stride, rows_of_fn(impl_->spec));
        c.projection(rows_of_fn(impl_->spec));
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::post_pre_fwd(const post_pre_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::post_pre_fwd, a.tokens, stream, [&](launch_check& c) {
        collect_post(c, a, impl_->spec.n_streams);
        c.weight(slot::fn, a.fn);
        c.f32(slot::scale, a.scale);
        c.f32(slot::base, a.base);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
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
    return launch(*impl_, operation::head_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.weight(slot::fn, a.fn);
        c.f32(slot::scale, a.scale);
        c.f32(slot::base, a.base);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
        c.projection(impl_->spec.n_streams);
        c.workspace(a.workspace);
    });
}

result<void> compiled_layer::pre_project_fwd(const pre_project_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::pre_project_fwd, a.tokens, stream, [&](launch_check& c) {
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.weight(slot::fn, a.fn);
        c.rows(a.rows);
        c.splits(a.splits);
        c.f32(slot::proj, a.proj);
        c.f32(slot::sqsum, a.sqsum);
    });
}

result<void> compiled_layer::split_mixes_fwd(const split_mixes_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::split_mixes_fwd, a.tokens, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::logits, a.logits);
    });
}

result<void> compiled_layer::coeffs_fwd(const coeffs_fwd_args& a, void* stream) const
{
    return launch(*impl_, operation::coeffs_fwd, a.tokens, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::mix, a.mix);
    });
}

result<void> compiled_layer::pre_big_fuse(const pre_big_fuse_args& a, void* stream) const
{
    return launch(*impl_, operation::pre_big_fuse, a.tokens, stream, [&](launch_check& c) {
        collect_splits(c, a);
        c.f32(slot::mix, a.mix);
        c.data_in(slot::x, a.x);
        c.streams(slot::x_token_stride, slot::x_stream_stride, a.x_strides, false);
        c.norm_weight(a.norm_weight);
        c.data_out(slot::layer_input, a.layer_input);
        c.number(slot::pre_token_stride, impl_->spec.n_streams);
    });
}

}  // namespace mhc::jit
