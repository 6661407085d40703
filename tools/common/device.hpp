// tools/common/device.hpp -- memory of the target that a tool's operands live in. The host's own so far.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace mhc::tools {

/// A target's memory. Not safe to share between threads. Failures are tool_errors.
class device {
public:
    virtual ~device() = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;

    /// Memory at a multiple of `alignment` (a power of two), and where the target allows it of nothing larger, so that
    /// a kernel that assumes more than it was promised shows. Freed with the device.
    virtual void* allocate(std::size_t bytes, std::size_t alignment) = 0;
    virtual void upload(void* to, const void* from, std::size_t bytes) = 0;
    virtual void download(void* to, const void* from, std::size_t bytes) = 0;
    /// Returns when everything enqueued on the null stream is done.
    virtual void synchronize() = 0;

protected:
    device() = default;
};

/// The memory of an engine's target, such as "host". Fails for targets that have none here.
std::unique_ptr<device> device_for(std::string_view target);

}  // namespace mhc::tools
