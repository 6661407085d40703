// examples/hip_stream.cpp -- mhc-jit in a program with a HIP runtime of its own: its stream, its memory, its device.
//
// The library loads the HIP runtime that the program has linked and takes hipStream_t and device pointers as they are.
#include <hip/hip_runtime_api.h>

#include <mhc/jit.hpp>
#include <stdexcept>

#include "reference.hpp"
#include "support.hpp"

namespace jit = mhc::jit;

namespace {

constexpr std::size_t T = 16, n = 4, C = 1280;

void check(hipError_t status, const char* what)
{
    if (status != hipSuccess) throw std::runtime_error(std::string(what) + ": " + hipGetErrorString(status));
}

/// `values` in memory of the current device, enqueued on the program's own stream; freed by the program's end here.
template <class T>
T* on_device(const std::vector<T>& values, hipStream_t stream)
{
    void* memory = nullptr;
    check(hipMalloc(&memory, values.size() * sizeof(T)), "hipMalloc");
    check(hipMemcpyAsync(memory, values.data(), values.size() * sizeof(T), hipMemcpyHostToDevice, stream), "hipMemcpyAsync");
    return static_cast<T*>(memory);
}

}  // namespace

int main()
try {
    int devices = 0;
    if (hipGetDeviceCount(&devices) != hipSuccess || devices == 0) {
        std::printf("not run: HIP shows no GPU\n");
        return 77;
    }
    hipStream_t stream = nullptr;
    check(hipStreamCreateWithFlags(&stream, hipStreamNonBlocking), "hipStreamCreateWithFlags");

    // The engine takes the device that is current in this thread; "auto" asks HIP first.
    const auto engine = jit::engine::create(jit::engine_options::from_environment().value()).value();
    jit::layer_spec spec{.hidden_dim = C, .n_streams = n};
    spec.wanted = {jit::operation::post_fwd};
    const jit::compiled_layer layer = jit::layer(spec, *engine).value();
    std::printf("target %s\n", layer.target().c_str());

    const auto y = example::random_bf16(T * C, 1.0F, 1), x = example::random_bf16(T * n * C, 1.0F, 2);
    const auto post = example::random_floats(T * n, 1.0F, 3), mix = example::random_floats(T * n * n, 0.5F, 4);
    std::vector<std::uint16_t> out(T * n * C);
    std::uint16_t* const out_memory = on_device(out, stream);

    layer
        .post_fwd(
            {
                .y = on_device(y, stream),
                .x = on_device(x, stream),
                .post = on_device(post, stream),
                .mix = on_device(mix, stream),
                .out = out_memory,
                .tokens = T,
                .x_strides = {},
                .out_strides = {},
            },
            stream)
        .value();
    check(hipMemcpyAsync(out.data(), out_memory, out.size() * 2, hipMemcpyDeviceToHost, stream), "hipMemcpyAsync");
    check(hipStreamSynchronize(stream), "hipStreamSynchronize");

    using example::widen;
    const auto expected = example::post_fwd(widen(y), widen(x), widen(post), widen(mix), T, n, C);
    return example::agrees("out", example::relative_error(widen(out), expected), 1.0 / 256) ? 0 : 1;
} catch (const std::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
