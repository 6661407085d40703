// runtime/recompute.cpp -- multilayer_recompute: a launch for each layer, after the arguments of all have been checked.
#include <fmt/format.h>

#include "runtime/launch.hpp"

namespace mhc::jit {
using codegen::slot;
using runtime::launch_check;

namespace {

constexpr operation recompute = operation::multilayer_recompute;

/// The layer's post, which the last one may leave out.
void collect_post(launch_check& c, const multilayer_recompute_args& a, const recompute_layer& of, std::int64_t n,
                  bool is_last)
{
    const bool has_none = is_last && of.y == nullptr && of.out == nullptr;
    c.number(slot::post_token_stride, a.post_is_static ? 0 : n);
    c.number(slot::mix_token_stride, a.mix_is_static ? 0 : n * n);
    c.streams(slot::out_token_stride, slot::out_stream_stride, a.out_strides, true);
    if (has_none) {
        for (const slot what : {slot::y, slot::post, slot::mix, slot::out}) c.number(what, 0);
        return;
    }
    c.data_in(slot::y, of.y);
    c.f32(slot::post, of.post);
    c.f32(slot::mix, of.mix);
    c.optional_weight(slot::bias, of.bias);
    c.data_out(slot::out, of.out);
    c.out_beside_x(false);
}

/// Arguments of one layer, whose streams are the out of the one before.
launch_check collect(const compiled_layer::impl& layer, const multilayer_recompute_args& a, std::int64_t index)
{
    launch_check c(layer, recompute, a.tokens);
    const recompute_layer& of = a.layers[index];
    const std::int64_t n = layer.spec.n_streams;
    runtime::x_in(c, index == 0 ? a.x : a.layers[index - 1].out, index == 0 ? a.x_strides : a.out_strides);
    c.f32(slot::pre, of.pre);
    c.number(slot::pre_token_stride, a.pre_is_static ? 0 : n);
    c.data_out(slot::layer_input, of.layer_input);
    collect_post(c, a, of, n, index + 1 == a.layer_count);
    c.valid_tokens(a.num_valid_tokens);
    return c;
}

failure refused(std::string_view argument, const std::string& value, std::string_view allowed)
{
    return {errc::launch_failed, fmt::format("{}: {} = {}: allowed is {}", to_string(recompute), argument, value, allowed)};
}

}  // namespace

result<void> compiled_layer::multilayer_recompute(const multilayer_recompute_args& a, void* stream) const
{
    const runtime::ready_operator* ready = impl_->operators[static_cast<std::size_t>(recompute)].get();
    if (ready == nullptr) return runtime::not_made(recompute);
    if (a.layer_count < 0) return refused("layer_count", fmt::to_string(a.layer_count), "0 or more");
    if (a.tokens == 0 || a.layer_count == 0) return {};
    if (a.layers == nullptr) return refused("layers", "null", "an array of layer_count layers");
    for (std::int64_t i = 0; i < a.layer_count; ++i) {
        const launch_check c = collect(*impl_, a, i);
        if (c.is_ok()) continue;
        failure why = c.why();
        why.message += fmt::format(" (layer {} of {})", i, a.layer_count);
        return why;
    }
    for (std::int64_t i = 0; i < a.layer_count; ++i) {
        launch_check c = collect(*impl_, a, i);
        if (auto ok = enqueue(*ready, c.values(), a.tokens, impl_->may_overlap, stream); !ok) return ok;
    }
    return {};
}

}  // namespace mhc::jit
