// examples/graph_capture.cpp -- a layer recorded in a graph and replayed: the same bits each time, and the same as direct
// calls. A launch never compiles, allocates or synchronises, so it may be captured as it is.
//
//   graph_capture [TARGET]     TARGET: host, auto (the default), or an architecture such as gfx942
#include "support.hpp"

namespace jit = mhc::jit;
using example::tensor;

namespace {

constexpr std::size_t T = 32, n = 4, C = 1280;

/// A layer's operands, and the two calls that a graph records.
struct one_layer {
    explicit one_layer(const jit::compiled_layer& with, jit::device& on)
        : layer(with),
          parameters(on, n, C, 1),
          x(on, example::random_bf16(T * n * C, 1.0F, 3)),
          layer_input(on, T * C),
          out(on, T * n * C),
          pre(on, T * n),
          post(on, T * n),
          mix(on, T * n * n),
          workspace(on, std::size_t(layer.workspace_bytes(jit::operation::pre_fwd, T)))
    {
    }

    void enqueue(void* stream) const
    {
        layer
            .pre_fwd(
                {
                    .x = x.data(),
                    .fn = parameters.fn.data(),
                    .scale = parameters.scale.data(),
                    .base = parameters.base.data(),
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
        layer
            .post_fwd(
                {
                    .y = layer_input.data(),
                    .x = x.data(),
                    .post = post.data(),
                    .mix = mix.data(),
                    .out = out.data(),
                    .tokens = T,
                    .x_strides = {},
                    .out_strides = {},
                },
                stream)
            .value();
    }

    jit::compiled_layer layer;
    example::layer_parameters parameters;
    tensor<std::uint16_t> x, layer_input, out;
    tensor<float> pre, post, mix;
    tensor<std::byte> workspace;
};

/// The result of `run`, whatever was in the output before.
template <class Run>
std::vector<std::uint16_t> result_of(jit::device& on, void* stream, const one_layer& operands, Run run)
{
    on.fill(operands.out.data(), 0xFFFFFFFFU, T * n * C / 2, stream).value();
    run();
    on.synchronize(stream).value();
    return operands.out.values();
}

}  // namespace

int main(int argc, char** argv)
try {
    jit::engine_options options = jit::engine_options::from_environment().value();
    if (argc > 1) options.target = argv[1];
    const auto engine = jit::engine::create(options).value();
    const auto device = jit::device::open(engine->target()).value();
    void* const stream = device->create_stream().value();

    const one_layer operands(jit::layer({.hidden_dim = C, .n_streams = n}, *engine).value(), *device);
    const auto direct = result_of(*device, stream, operands, [&] { operands.enqueue(stream); });

    void* graph = nullptr;
    if (engine->target() == "host") {
        std::printf("target host has no graphs: the layer is called directly\n");
    } else {
        device->begin_capture(stream).value();
        operands.enqueue(stream);
        graph = device->end_capture(stream).value();
        std::printf("target %s: the layer is in a graph\n", engine->target().c_str());
    }

    bool good = true;
    for (int i = 0; i < 3; ++i) {
        const auto again = result_of(*device, stream, operands, [&] {
            if (graph != nullptr)
                device->replay(graph, stream).value();
            else
                operands.enqueue(stream);
        });
        good &= again == direct;
        std::printf("run %d: %s\n", i, again == direct ? "the same bits" : "other bits");
    }
    if (graph != nullptr) device->destroy_graph(graph);
    device->destroy_stream(stream);
    return good ? 0 : 1;
} catch (const jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
