// runtime/device.cpp -- devices by target: this process, or a GPU's driver.
#include <mhc/jit/device.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "runtime/select_target.hpp"

namespace mhc::jit {
namespace {

using clock = std::chrono::steady_clock;

/// This process: its memory, and calls that have done their work when they return.
class host_device final : public device {
public:
    const std::string& id() const override { return id_; }
    const std::string& name() const override { return name_; }
    const std::string& driver_version() const override { return version_; }

    result<void*> allocate(std::size_t bytes) override
    {
        constexpr std::size_t alignment = 256;
        const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
        // Linux promises memory it does not have, and ends the process on first use; so what cannot be is refused here.
        const auto physical =
            static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        void* memory = whole < bytes || whole > physical ? nullptr : std::aligned_alloc(alignment, whole);
        if (memory == nullptr)
            return failure{errc::load_failed, fmt::format("cannot allocate {} bytes: this machine has {}", bytes, physical)};
        return memory;
    }
    void release(void* memory) noexcept override { std::free(memory); }

    result<void> upload(void* to, const void* from, std::size_t bytes) override { return copy(to, from, bytes); }
    result<void> download(void* to, const void* from, std::size_t bytes) override { return copy(to, from, bytes); }
    result<void> fill(void* to, std::uint32_t word, std::size_t count, void*) override
    {
        std::fill_n(static_cast<std::uint32_t*>(to), count, word);
        return {};
    }

    result<void*> create_stream() override { return static_cast<void*>(nullptr); }
    void destroy_stream(void*) noexcept override {}
    result<void> synchronize(void*) override { return {}; }

    result<void> begin_capture(void*) override { return no_graphs(); }
    result<void*> end_capture(void*) override { return no_graphs(); }
    result<void> replay(void*, void*) override { return no_graphs(); }
    void destroy_graph(void*) noexcept override {}

    result<void*> create_event() override { return static_cast<void*>(new clock::time_point); }
    void destroy_event(void* event) noexcept override { delete static_cast<clock::time_point*>(event); }
    result<void> record(void* event, void*) override
    {
        *static_cast<clock::time_point*>(event) = clock::now();
        return {};
    }
    result<double> elapsed_us(void* first, void* second) override
    {
        const auto time = *static_cast<clock::time_point*>(second) - *static_cast<clock::time_point*>(first);
        return std::chrono::duration<double, std::micro>(time).count();
    }

private:
    static result<void> copy(void* to, const void* from, std::size_t bytes)
    {
        if (bytes != 0) std::memcpy(to, from, bytes);  // memcpy of nothing still wants valid pointers
        return {};
    }
    static failure no_graphs() { return {errc::launch_failed, "host has no graphs: call the operators instead"}; }

    const std::string id_ = "host", name_ = "this CPU", version_;
};

}  // namespace

result<std::shared_ptr<device>> device::open(std::string_view target, int ordinal)
{
    engine_options options;
    options.target = target;
    options.device = ordinal;
    auto chosen = runtime::select_target(options);
    if (!chosen) return chosen.error();
    if (chosen->driver) return std::shared_ptr<device>(std::move(chosen->driver));
    return std::shared_ptr<device>(std::make_shared<host_device>());
}

}  // namespace mhc::jit
