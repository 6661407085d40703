// examples/cuda_stream.cpp -- mhc-jit in a program with a CUDA runtime of its own: its stream, its memory, its device.
//
// The library loads the driver below the CUDA runtime that the program has linked and takes cudaStream_t and device pointers
// as they are.
#include <cuda_runtime_api.h>

#include <mhc/jit.hpp>
#include <stdexcept>

#include "reference.hpp"
#include "support.hpp"

namespace jit = mhc::jit;

namespace {

constexpr std::size_t T = 16, n = 4, C = 1280;

void check(cudaError_t status, const char* what)
{
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

/// `values` in memory of the current device, enqueued on the program's own stream; freed by the program's end here.
template <class T>
T* on_device(const std::vector<T>& values, cudaStream_t stream)
{
    void* memory = nullptr;
    check(cudaMalloc(&memory, values.size() * sizeof(T)), "cudaMalloc");
    check(cudaMemcpyAsync(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    return static_cast<T*>(memory);
}

}  // namespace

int main()
try {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::printf("not run: CUDA shows no GPU\n");
        return 77;
    }
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");

    // The engine takes the device that is current in this thread; "auto" finds it where HIP has none.
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
    check(cudaMemcpyAsync(out.data(), out_memory, out.size() * 2, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");

    using example::widen;
    const auto expected = example::post_fwd(widen(y), widen(x), widen(post), widen(mix), T, n, C);
    return example::agrees("out", example::relative_error(widen(out), expected), 1.0 / 256) ? 0 : 1;
} catch (const std::exception& why) {
    std::fprintf(stderr, "error: %s\n", why.what());
    return 1;
}
