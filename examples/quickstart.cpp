// examples/quickstart.cpp -- one mHC layer: made, run on eight tokens on this machine's CPU, checked against float64.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mhc/jit.hpp>
#include <random>
#include <vector>

#include "reference.hpp"

namespace jit = mhc::jit;

namespace {

template <class Convert>
auto random_values(std::size_t count, float deviation, unsigned seed, Convert convert)
{
    std::mt19937 bits(seed);
    std::normal_distribution<float> draw(0.0F, deviation);
    std::vector<decltype(convert(0.0F))> values(count);
    for (auto& value : values) value = convert(draw(bits));
    return values;
}

double milliseconds_since(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void say_what_was_made(const jit::compiled_layer& layer)
{
    std::printf("target: %s\n", layer.target().c_str());
    for (const jit::kernel_info& kernel : layer.kernels())
        std::printf("  %s: %s by %s in %.0f ms\n", kernel.symbol.c_str(),
                    kernel.from == jit::origin::compiled ? "compiled now" : "found in the cache, once compiled",
                    kernel.compiler.c_str(), kernel.compile_ms);
    const jit::engine& engine = *jit::default_engine().value();  // the one jit::layer(spec) uses
    std::printf("compiled now: %d kernels\n", int(engine.stats().compiled));
    std::printf("cache: %s\n", engine.cache_path().empty() ? "none, memory only" : engine.cache_path().c_str());
}

/// Prints and returns whether an error is within its bound.
bool agrees(const char* name, double error, double bound)
{
    std::printf("  %-12s differs by %.1e of its norm, %.1e is allowed%s\n", name, error, bound,
                error <= bound ? "" : ": too large");
    return error <= bound;
}

}  // namespace

int main()
try {
    // The operands: x [T, n, C] are the residual streams; fn, scale and base are the layer's parameters.
    const std::size_t T = 8, n = 4, C = 1280, rows = n * n + 2 * n;
    const auto same = [](float value) { return value; };
    const auto x = random_values(T * n * C, 1.0F, 1, example::to_bf16);
    const auto fn = random_values(rows * n * C, 1.0F / std::sqrt(float(n * C)), 2, same);
    const auto base = random_values(rows, 0.5F, 3, same);
    const std::vector<float> scale = {1.0F, 1.0F, 1.0F};

    const auto started = std::chrono::steady_clock::now();

    // What to compile: hidden_dim is all that has no default. One layer serves every number of tokens.
    const jit::layer_spec spec{.hidden_dim = 1280, .n_streams = 4, .options = jit::options_of(jit::preset::paper)};
    const jit::compiled_layer layer = jit::layer(spec).value();  // value() throws; `if (!made) made.error()` does not
    if (layer.target() != "host")
        throw jit::exception(
            {jit::errc::unsupported_target, "this example's tensors are in host memory: set MHC_JIT_TARGET=host"});

    const double layer_ms = milliseconds_since(started);

    // pre_fwd reads the streams once and makes the block's input and the coefficients of this token.
    std::vector<std::uint16_t> layer_input(T * C), out(T * n * C);
    std::vector<float> pre(T * n), post(T * n), mix(T * n * n);
    std::vector<std::byte> workspace(std::size_t(layer.workspace_bytes(jit::operation::pre_fwd, T)));
    layer
        .pre_fwd({
            .x = x.data(),
            .fn = fn.data(),
            .scale = scale.data(),
            .base = base.data(),
            .layer_input = layer_input.data(),
            .pre = pre.data(),
            .post = post.data(),
            .mix = mix.data(),
            .workspace = workspace.data(),
            .tokens = T,
            .x_strides = {},
        })
        .value();

    // Here a model runs its block (attention, MLP). This example's block returns what it was given.
    const std::vector<std::uint16_t>& y = layer_input;

    // post_fwd mixes the streams and adds the block's output to each.
    layer
        .post_fwd({
            .y = y.data(),
            .x = x.data(),
            .post = post.data(),
            .mix = mix.data(),
            .out = out.data(),
            .tokens = T,
            .x_strides = {},
            .out_strides = {},
        })
        .value();

    const double result_ms = milliseconds_since(started);

    std::printf("spec: hidden_dim %zu, n_streams %zu, bf16 data, fp32 weights, preset paper; run on %zu tokens\n", C, n, T);
    say_what_was_made(layer);
    std::printf("the layer was there after %.1f ms, the first result after %.1f ms\n", layer_ms, result_ms);

    // The bounds are those of docs/OPERATORS.md: 2^-8 for bf16 outputs, 1e-6 sqrt(n C) for the float32 coefficients.
    using example::widen, example::relative_error;
    const auto expected = example::pre_fwd(widen(x), widen(fn), widen(scale), widen(base), T, n, C);
    const auto expected_out = example::post_fwd(widen(y), widen(x), widen(post), widen(mix), T, n, C);
    const double bf16_bound = std::ldexp(1.0, -8), fp32_bound = 1e-6 * std::sqrt(double(n * C));
    std::printf("compared with float64:\n");
    bool good = agrees("layer_input", relative_error(widen(layer_input), expected.layer_input), bf16_bound);
    good &= agrees("pre", relative_error(widen(pre), expected.pre), fp32_bound);
    good &= agrees("post", relative_error(widen(post), expected.post), fp32_bound);
    good &= agrees("mix", relative_error(widen(mix), expected.mix), fp32_bound);
    good &= agrees("out", relative_error(widen(out), expected_out), bf16_bound);
    return good ? 0 : 1;
} catch (const jit::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
