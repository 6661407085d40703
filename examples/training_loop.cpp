// examples/training_loop.cpp -- the shape of a training step: a forward pass that keeps what a backward pass reads, with
// batches of changing size and one compiled layer from the first step to the last.
//
//   training_loop [TARGET]     TARGET: host, auto (the default), or an architecture such as gfx942
#include "support.hpp"

namespace jit = mhc::jit;
using example::tensor;

namespace {

constexpr std::size_t n = 4, C = 256, layers = 3;
constexpr std::size_t batches[] = {64, 200, 1, 64};  // tokens of each step

/// What the gradients of one layer are functions of. The streams x of the next layer are this layer's output.
struct kept {
    tensor<std::uint16_t> x, layer_input, y;
    tensor<float> pre, post, mix;

    kept(jit::device& on, std::size_t tokens)
        : x(on, tokens * n * C),
          layer_input(on, tokens * C),
          y(on, tokens * C),
          pre(on, tokens * n),
          post(on, tokens * n),
          mix(on, tokens * n * n)
    {
    }
};

/// A layer's forward pass into `tape`, and from there into the streams `out`. The block between is the identity here: y is
/// what the model's own kernels write.
void forward(const jit::compiled_layer& layer, jit::device& on, void* stream, const example::layer_parameters& parameters,
             kept& tape, tensor<std::uint16_t>& out, void* workspace, std::size_t tokens)
{
    layer
        .pre_fwd(
            {
                .x = tape.x.data(),
                .fn = parameters.fn.data(),
                .scale = parameters.scale.data(),
                .base = parameters.base.data(),
                .layer_input = tape.layer_input.data(),
                .pre = tape.pre.data(),
                .post = tape.post.data(),
                .mix = tape.mix.data(),
                .workspace = workspace,
                .tokens = std::int64_t(tokens),
                .x_strides = {},
            },
            stream)
        .value();
    on.synchronize(stream).value();
    tape.y.assign(tape.layer_input.values());
    layer
        .post_fwd(
            {
                .y = tape.y.data(),
                .x = tape.x.data(),
                .post = tape.post.data(),
                .mix = tape.mix.data(),
                .out = out.data(),
                .tokens = std::int64_t(tokens),
                .x_strides = {},
                .out_strides = {},
            },
            stream)
        .value();
}

/// One step on `tokens` tokens; the mean square of the last streams stands for a loss.
double step(const jit::compiled_layer& layer, jit::device& on, void* stream,
            const std::vector<example::layer_parameters>& parameters, std::size_t tokens, unsigned seed)
{
    std::vector<kept> tape;  // a program that trains for days takes this memory once, for its largest batch
    for (std::size_t l = 0; l < layers; ++l) tape.emplace_back(on, tokens);
    tensor<std::uint16_t> last(on, tokens * n * C);
    const tensor<std::byte> workspace(on, std::size_t(layer.workspace_bytes(jit::operation::pre_fwd, std::int64_t(tokens))));

    tape[0].x.assign(example::random_bf16(tokens * n * C, 1.0F, seed));
    for (std::size_t l = 0; l < layers; ++l)
        forward(layer, on, stream, parameters[l], tape[l], l + 1 < layers ? tape[l + 1].x : last, workspace.data(), tokens);
    on.synchronize(stream).value();

    // A backward pass would go through the tape from its end here.
    double sum = 0;
    for (const double value : example::widen(last.values())) sum += value * value;
    return sum / double(tokens * n * C);
}

}  // namespace

int main(int argc, char** argv)
try {
    jit::engine_options options = jit::engine_options::from_environment().value();
    if (argc > 1) options.target = argv[1];
    const auto engine = jit::engine::create(options).value();
    const auto device = jit::device::open(engine->target()).value();
    void* const stream = device->create_stream().value();

    const jit::layer_spec spec{.hidden_dim = C, .n_streams = n};
    const jit::compiled_layer layer = jit::layer(spec, *engine).value();
    const jit::engine_stats before = engine->stats();
    std::printf("target %s: %zu kernels, %d compiled now\n", layer.target().c_str(), layer.kernels().size(),
                int(before.compiled));

    std::vector<example::layer_parameters> parameters;
    for (unsigned l = 0; l < layers; ++l) parameters.emplace_back(*device, n, C, 10 * (l + 1));

    bool good = true;
    unsigned number = 0;
    for (const std::size_t tokens : batches) {
        // The layer could be kept, as above; asking for it again is a look into a table.
        const jit::compiled_layer again = jit::layer(spec, *engine).value();
        const double loss = step(again, *device, stream, parameters, tokens, 100 + number);
        const jit::engine_stats now = engine->stats();
        std::printf("step %u: %3zu tokens, mean square %.3f, kernels compiled since the first layer: %d\n", number++, tokens,
                    loss, int(now.compiled - before.compiled));
        good &= std::isfinite(loss) && loss > 0 && now.compiled == before.compiled && now.known_layer == number;
    }
    device->destroy_stream(stream);
    return good ? 0 : 1;
} catch (const jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
