// tests/packaging/consumer/consumer.cpp -- a user's program: makes a layer, runs one operator, says what it used.
#include <cstdio>
#include <mhc/jit.hpp>
#include <vector>

int main()
try {
    mhc::jit::engine_options options = mhc::jit::engine_options::from_environment().value();
#ifdef WORKER
    options.worker = WORKER;
#endif
    const auto engine = mhc::jit::engine::create(options).value();

    constexpr std::int64_t channels = 64, streams = 4, tokens = 3;
    const mhc::jit::layer_spec spec{.hidden_dim = channels,
                                    .n_streams = streams,
                                    .dtype = mhc::jit::dtype::fp32,
                                    .wanted = {mhc::jit::operation::expand_fwd}};
    const mhc::jit::compiled_layer layer = mhc::jit::layer(spec, *engine).value();

    alignas(16) float h[tokens * channels];
    alignas(16) float x[tokens * streams * channels] = {};
    for (int i = 0; i < tokens * channels; ++i) h[i] = static_cast<float>(i);
    layer.expand_fwd({.h = h, .x = x, .tokens = tokens, .x_strides = {}}).value();

    for (int t = 0; t < tokens; ++t)
        for (int i = 0; i < streams; ++i)
            for (int c = 0; c < channels; ++c)
                if (x[(t * streams + i) * channels + c] != h[t * channels + c]) {
                    std::printf("error: x[%d,%d,%d] is %g\n", t, i, c,
                                static_cast<double>(x[(t * streams + i) * channels + c]));
                    return 1;
                }

    std::printf("version: %s\n", mhc::jit::version());
    std::printf("worker: %s\n", mhc::jit::inspect_cache(options).value().worker.c_str());
    std::printf("compiled now: %d kernels\n", static_cast<int>(engine->stats().compiled));
    return 0;
} catch (const mhc::jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
