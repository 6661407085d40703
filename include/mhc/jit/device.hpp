// mhc/jit/device.hpp -- memory, streams, graphs and timers of a target, for tools, tests and programs that use no GPU
// runtime of their own. Programs that do pass its pointers and streams to `compiled_layer` and need nothing from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <mhc/jit/counters.hpp>
#include <mhc/jit/result.hpp>

namespace mhc::jit {

/// One device: a GPU, or this process on `host`. Thread-safe. Handles (streams, graphs, events) are the driver's own,
/// as `void*`: hipStream_t, CUstream and their kind. Errors are load_failed when a device cannot be opened or has no
/// memory left, launch_failed for everything that is enqueued or waited for, with the driver's own message.
class device {
public:
    /// `target` as in `engine_options::target`. `ordinal`: which of the GPUs the runtime shows; -1: the calling thread's
    /// current one, else the first. Errors: unsupported_target, naming what was tried.
    static result<std::shared_ptr<device>> open(std::string_view target, int ordinal = -1);

    virtual ~device() = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;

    /// What it calls itself: "host", "sm_90", "gfx942:sramecc+:xnack-".
    virtual const std::string& id() const = 0;
    /// Its product name, such as "NVIDIA H200".
    virtual const std::string& name() const = 0;
    /// Version of the driver or runtime, such as "13000"; empty on host.
    virtual const std::string& driver_version() const = 0;

    /// `bytes` > 0, at a multiple of 256 bytes. `release` waits for what may be using it.
    virtual result<void*> allocate(std::size_t bytes) = 0;
    virtual void release(void* memory) noexcept = 0;

    /// Copies between this process's memory and the device's; they return when done, and order nothing else.
    virtual result<void> upload(void* to, const void* from, std::size_t bytes) = 0;
    virtual result<void> download(void* to, const void* from, std::size_t bytes) = 0;
    /// Sets `count` 4-byte words, on `stream`.
    virtual result<void> fill(void* to, std::uint32_t word, std::size_t count, void* stream) = 0;

    /// A stream that orders itself with no other. On host it is null, and work is done when a call returns.
    virtual result<void*> create_stream() = 0;
    virtual void destroy_stream(void* stream) noexcept = 0;
    virtual result<void> synchronize(void* stream) = 0;

    /// Between the two, what is enqueued on `stream` is recorded, not run. Errors on host: launch_failed.
    virtual result<void> begin_capture(void* stream) = 0;
    virtual result<void*> end_capture(void* stream) = 0;  ///< an executable graph
    virtual result<void> replay(void* graph, void* stream) = 0;
    virtual void destroy_graph(void* graph) noexcept = 0;

    /// A point in time on a stream.
    virtual result<void*> create_event() = 0;
    virtual void destroy_event(void* event) noexcept = 0;
    virtual result<void> record(void* event, void* stream) = 0;
    /// Microseconds between two recorded events; waits for the second.
    virtual result<double> elapsed_us(void* first, void* second) = 0;

    /// Counts what kernels execute. Null where that cannot be: only emulated devices count.
    virtual execution_counter* counter() noexcept { return nullptr; }

protected:
    device() = default;
};

}  // namespace mhc::jit
