// runtime/loader.hpp -- the seam behind which the process itself, HIP, CUDA and the emulator load and launch kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <mhc/jit/result.hpp>

namespace mhc::runtime {

struct launch_extras {
    std::int32_t lds_bytes = 0;    ///< beside what the kernel declares
    bool may_start_early = false;  ///< it waits for the kernel before it in the stream by itself
    std::int32_t cluster = 1;      ///< groups that reach each other's LDS; the grid is a multiple of it
    /// Where each argument is. Of a kernel that takes a map the driver alone knows the block's layout: NVRTC 13 aligns a map
    /// where the block lies in constant memory, and not within the block.
    void** arguments = nullptr;
};

/// Streams [tokens, n_streams, hidden_dim] of numbers of 2 or 4 bytes, as a copy engine is told of them.
struct streams_in_memory {
    std::uint64_t address = 0;
    std::int64_t tokens = 0, n_streams = 0, hidden_dim = 0, token_stride = 0, stream_stride = 0;  ///< strides in elements
    std::int32_t element_bytes = 2;
    std::int32_t box_channels = 0, box_tokens = 0;  ///< of all streams, that one copy brings
};

/// A kernel ready to launch. Thread-safe.
class loaded_kernel {
public:
    virtual ~loaded_kernel() = default;
    /// `arguments` is the kernel's argument block; `groups` >= 1. On `host` it returns when the work is done.
    virtual jit::result<void> launch(std::int64_t groups, std::int32_t block, const void* arguments,
                                     std::size_t argument_bytes, void* stream) const = 0;
    /// The same with what only some targets have; elsewhere no plan asks for it.
    virtual jit::result<void> launch_with(const launch_extras&, std::int64_t groups, std::int32_t block,
                                          const void* arguments, std::size_t argument_bytes, void* stream) const
    {
        return launch(groups, block, arguments, argument_bytes, stream);
    }
    /// Writes the 128 bytes of a kernel argument that tells the copy engine of the streams. False where it cannot be told of
    /// them, as of a stride of 0, or where there is no such engine.
    virtual bool write_map(const streams_in_memory&, void*) const { return false; }
};

class loader {
public:
    virtual ~loader() = default;
    virtual jit::result<std::shared_ptr<const loaded_kernel>> load(std::string_view code, std::string_view symbol) = 0;
};

/// Loads shared objects into this process and runs work-groups on a pool of threads.
std::unique_ptr<loader> make_host_loader();

}  // namespace mhc::runtime
