// examples/decoder_block.cpp -- a decoder's layers over mHC streams: pre_fwd -> the model's own block -> post_fwd, each
// time.
//
//   decoder_block [TARGET]     TARGET: host, auto (the default), or an architecture such as gfx942
#include <algorithm>

#include "support.hpp"

namespace jit = mhc::jit;
using example::tensor;

namespace {

constexpr std::size_t T = 16, n = 4, C = 512, layers = 4;

/// Where a model enqueues its attention or MLP on the same stream. This one is y = x * sigmoid(x) on the CPU, so it waits
/// for the stream and copies; kernels of your own need neither.
void block(jit::device& on, void* stream, const tensor<std::uint16_t>& layer_input, tensor<std::uint16_t>& y)
{
    on.synchronize(stream).value();
    std::vector<std::uint16_t> values = layer_input.values();
    for (std::uint16_t& value : values) {
        const auto x = float(example::widen(value));
        value = example::to_bf16(x / (1 + std::exp(-x)));
    }
    y.assign(values);
}

/// The same layer in float64, from the streams that it was given.
example::array expected_streams(const std::vector<std::uint16_t>& x, const example::layer_parameters& parameters,
                                const std::vector<std::uint16_t>& y)
{
    using example::widen;
    const auto c = example::pre_fwd(widen(x), widen(parameters.fn.values()), widen(parameters.scale.values()),
                                    widen(parameters.base.values()), T, n, C);
    return example::post_fwd(widen(y), widen(x), c.post, c.mix, T, n, C);
}

}  // namespace

int main(int argc, char** argv)
try {
    jit::engine_options options = jit::engine_options::from_environment().value();
    if (argc > 1) options.target = argv[1];
    const auto engine = jit::engine::create(options).value();
    const auto device = jit::device::open(engine->target()).value();
    void* const stream = device->create_stream().value();

    // One spec for all layers: they differ in their parameters, not in their kernels. expand_fwd makes n streams of one.
    jit::layer_spec spec{.hidden_dim = C, .n_streams = n};
    spec.wanted = {jit::operation::expand_fwd, jit::operation::pre_fwd, jit::operation::post_fwd};
    const jit::compiled_layer layer = jit::layer(spec, *engine).value();

    std::vector<example::layer_parameters> parameters;
    for (unsigned l = 0; l < layers; ++l) parameters.emplace_back(*device, n, C, 10 * (l + 1));

    // Streams go from one buffer to the other and back: post_fwd reads x and writes what the next layer reads.
    tensor<std::uint16_t> streams_a(*device, T * n * C), streams_b(*device, T * n * C);
    tensor<std::uint16_t> layer_input(*device, T * C), y(*device, T * C);
    tensor<float> pre(*device, T * n), post(*device, T * n), mix(*device, T * n * n);
    tensor<std::byte> workspace(*device, std::size_t(layer.workspace_bytes(jit::operation::pre_fwd, T)));

    const tensor<std::uint16_t> embedding(*device, example::random_bf16(T * C, 1.0F, 1));
    tensor<std::uint16_t>*x = &streams_a, *x_next = &streams_b;
    layer.expand_fwd({.h = embedding.data(), .x = x->data(), .tokens = T, .x_strides = {}}, stream).value();

    std::printf("target %s, %zu layers, %zu tokens, %zu streams of %zu channels\n", layer.target().c_str(), layers, T, n, C);
    bool good = true;
    for (std::size_t l = 0; l < layers; ++l) {
        layer
            .pre_fwd(
                {
                    .x = x->data(),
                    .fn = parameters[l].fn.data(),
                    .scale = parameters[l].scale.data(),
                    .base = parameters[l].base.data(),
                    .layer_input = layer_input.data(),
                    .pre = pre.data(),
                    .post = post.data(),
                    .mix = mix.data(),
                    .workspace = workspace.data(),
                    .tokens = T,
                    .x_strides = {},
                },
                stream)
            .value();
        block(*device, stream, layer_input, y);
        layer
            .post_fwd(
                {
                    .y = y.data(),
                    .x = x->data(),
                    .post = post.data(),
                    .mix = mix.data(),
                    .out = x_next->data(),
                    .tokens = T,
                    .x_strides = {},
                    .out_strides = {},
                },
                stream)
            .value();
        std::swap(x, x_next);

        // Only this example looks at every layer's result; a model would not wait here.
        device->synchronize(stream).value();
        const example::array expected = expected_streams(x_next->values(), parameters[l], y.values());
        const std::string name = "layer " + std::to_string(l);
        good &= example::agrees(name.c_str(), example::relative_error(example::widen(x->values()), expected), 1.0 / 256);
    }
    device->destroy_stream(stream);
    return good ? 0 : 1;
} catch (const jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
