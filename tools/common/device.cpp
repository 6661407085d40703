// tools/common/device.cpp -- memory of the target that a tool's operands live in. The host's own so far.
#include "tools/common/device.hpp"

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

class host_device final : public device {
public:
    void* allocate(std::size_t bytes, std::size_t alignment) override
    {
        // Linux promises memory it does not have, and ends the process on first use; so what cannot be is refused here.
        const auto physical =
            static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        if (bytes > physical || used_ > physical - bytes)
            fail(fmt::format("cannot allocate {} more: this machine has {}; use fewer tokens or smaller strides",
                             bytes_text(static_cast<long long>(bytes)), bytes_text(static_cast<long long>(physical))));
        used_ += bytes;

        auto block = std::make_unique_for_overwrite<std::byte[]>(bytes + 3 * alignment);
        auto address = reinterpret_cast<std::uintptr_t>(block.get());
        address = (address + 2 * alignment - 1) / (2 * alignment) * (2 * alignment) + alignment;
        blocks_.push_back(std::move(block));
        return reinterpret_cast<void*>(address);
    }

    void upload(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void download(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void synchronize() override {}  // a launch on the host returns when its work is done

private:
    static void copy(void* to, const void* from, std::size_t bytes)
    {
        if (bytes != 0) std::memcpy(to, from, bytes);  // memcpy of nothing still wants valid pointers
    }

    std::vector<std::unique_ptr<std::byte[]>> blocks_;
    std::size_t used_ = 0;
};

}  // namespace

std::unique_ptr<device> device_for(std::string_view target)
{
    if (target == "host" || target.starts_with("host:")) return std::make_unique<host_device>();
    fail(fmt::format("operands cannot be put on target {} by this build; use --target host", target));
}

}  // namespace mhc::tools
