// runtime/gpu_driver.hpp -- one GPU through its vendor's runtime, loaded with dlopen: what HIP, CUDA and the emulator have
// in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <mhc/jit/device.hpp>
#include <mhc/jit/result.hpp>

#include "runtime/loader.hpp"

namespace mhc::runtime {

/// One device of HIP, CUDA or the emulator. Thread-safe; every call works whatever device or context the calling thread has
/// current, and leaves that as it was.
class gpu_driver : public jit::device {
public:
    /// Loads a code object; the driver may read `code` for as long as the module lives. Errors: load_failed.
    virtual jit::result<void*> load_module(std::string_view code) = 0;
    virtual void unload_module(void* module) noexcept = 0;
    virtual jit::result<void*> function_of(void* module, const std::string& symbol) = 0;
    /// One-dimensional. `arguments` is the packed argument block. Errors: launch_failed.
    virtual jit::result<void> launch(void* function, std::int64_t groups, std::int32_t block, const void* arguments,
                                     std::size_t argument_bytes, void* stream) const = 0;
    /// As loaded_kernel::launch_with.
    virtual jit::result<void> launch_with(const launch_extras&, void* function, std::int64_t groups, std::int32_t block,
                                          const void* arguments, std::size_t argument_bytes, void* stream) const
    {
        return launch(function, groups, block, arguments, argument_bytes, stream);
    }
    /// As loaded_kernel::write_map.
    virtual bool write_map(const streams_in_memory&, void*) const { return false; }
    /// Compute units (multiprocessors) of this device, of a partition its own; 0: not known.
    virtual std::int32_t compute_units() const { return 0; }
    /// Code object version that this runtime loads for certain: 4 for HIP 5, 5 from HIP 6; 0 on CUDA.
    virtual int code_object_version() const = 0;
};

/// The HIP runtime's device `ordinal` (-1: the current one). Errors: unsupported_target, saying what was tried.
jit::result<std::shared_ptr<gpu_driver>> open_hip(int ordinal);
/// The CUDA driver's, likewise, in its primary context, which runtime-API programs use too.
jit::result<std::shared_ptr<gpu_driver>> open_cuda(int ordinal);
/// The emulator's device of an AMD processor ("gfx942"), one in a process: a plug-in, beside the compile worker. Errors:
/// unsupported_target, saying what was tried.
jit::result<std::shared_ptr<gpu_driver>> open_emulator(std::string_view processor);

/// Loads code objects as modules of `driver` and launches their kernels.
std::unique_ptr<loader> make_gpu_loader(std::shared_ptr<gpu_driver> driver);

}  // namespace mhc::runtime
