// tests/packaging/shipped/shipped.cpp -- a user's program that ships its kernels: runs one in strict mode, on a target that was
// compiled with it, and tells where its kernels came from and what else was touched.
#include <cstdio>
#include <mhc/jit.hpp>

int main(int argc, char** argv)
try {
    if (argc != 2) return std::fprintf(stderr, "usage: %s TARGET\n", argv[0]), 2;
    mhc::jit::engine_options options = mhc::jit::engine_options::from_environment().value();
    options.target = argv[1];
    options.strict = true;
    const auto engine = mhc::jit::engine::create(options).value();

    constexpr std::int64_t channels = 64, streams = 4, tokens = 3;
    mhc::jit::layer_spec spec{.hidden_dim = channels, .n_streams = streams, .dtype = mhc::jit::dtype::fp32};
    spec.wanted = {mhc::jit::operation::expand_fwd, mhc::jit::operation::post_fwd};
    const mhc::jit::compiled_layer layer = mhc::jit::layer(spec, *engine).value();
    alignas(16) float h[tokens * channels];
    alignas(16) float x[tokens * streams * channels] = {};
    for (int i = 0; i < tokens * channels; ++i) h[i] = static_cast<float>(i);
    layer.expand_fwd({.h = h, .x = x, .tokens = tokens, .x_strides = {}}).value();
    for (int t = 0; t < tokens; ++t)
        for (int i = 0; i < streams; ++i)
            for (int c = 0; c < channels; ++c)
                if (x[(t * streams + i) * channels + c] != h[t * channels + c])
                    return std::fprintf(stderr, "error: x[%d,%d,%d] is wrong\n", t, i, c), 1;

    const mhc::jit::engine_stats stats = engine->stats();
    std::printf("kernels: %d, prebuilt: %d, compiled: %d, compilers asked: %d, user databases opened: %d\n",
                static_cast<int>(layer.kernels().size()), static_cast<int>(stats.l3_hit), static_cast<int>(stats.compiled),
                static_cast<int>(stats.compilers_asked), static_cast<int>(stats.user_database_opened));
    return 0;
} catch (const mhc::jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
