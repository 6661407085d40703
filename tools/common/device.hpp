// tools/common/device.hpp -- memory of the target that a tool's operands live in.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include <mhc/jit/device.hpp>

namespace mhc::tools {

/// A target's memory, freed with this. Not safe to share between threads. Failures are tool_errors.
class device_memory {
public:
    /// The memory of an engine's target, such as "host" or "sm_90".
    device_memory(std::string_view target, int ordinal);
    ~device_memory();
    device_memory(const device_memory&) = delete;
    device_memory& operator=(const device_memory&) = delete;

    /// Memory at a multiple of `alignment` (a power of two, at most 256) and of nothing larger, so that a kernel that
    /// assumes more than it was promised shows.
    void* allocate(std::size_t bytes, std::size_t alignment);
    void upload(void* to, const void* from, std::size_t bytes);
    void download(void* to, const void* from, std::size_t bytes);
    /// Returns when everything enqueued on the null stream is done.
    void synchronize();

    jit::device& itself() { return *on_; }

private:
    std::shared_ptr<jit::device> on_;
    std::vector<void*> blocks_;
};

}  // namespace mhc::tools
