// emulator/device.cpp -- memory, streams, events, modules and launches of an emulated GPU. All is done when a call returns.
#include "emulator/device.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "emulator/code_image.hpp"
#include "emulator/launch.hpp"
#include "emulator/memory_map.hpp"

namespace mhc::emulator {
namespace {

using jit::errc;
using jit::failure;
using jit::result;
using clock = std::chrono::steady_clock;

constexpr u64 instructions_max = 100'000'000'000;

struct loaded_function {
    const code_image* image = nullptr;
    const kernel_entry* kernel = nullptr;
};
struct loaded_module {
    std::unique_ptr<code_image> image;
    std::vector<std::unique_ptr<loaded_function>> functions;
};

class emulated_device final : public runtime::gpu_driver {
public:
    explicit emulated_device(const std::string& processor)
        : processor_(processor), id_("emu:" + processor), name_("emulated " + processor)
    {
    }

    const std::string& id() const override { return id_; }
    const std::string& name() const override { return name_; }
    const std::string& driver_version() const override { return version_; }
    int code_object_version() const override { return 5; }

    result<void*> allocate(std::size_t bytes) override
    {
        constexpr std::size_t alignment = 256;
        const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
        void* memory = whole < bytes || whole == 0 ? nullptr : std::aligned_alloc(alignment, whole);
        if (memory == nullptr) return failure{errc::load_failed, fmt::format("cannot allocate {} bytes", bytes)};
        const std::lock_guard lock(mutex_);
        memory_.add({reinterpret_cast<std::uintptr_t>(memory), bytes, fmt::format("buffer {}", ++buffers_), true});
        return memory;
    }
    void release(void* memory) noexcept override
    {
        if (memory == nullptr) return;
        const std::lock_guard lock(mutex_);
        memory_.remove(reinterpret_cast<std::uintptr_t>(memory));
        std::free(memory);
    }
    result<void> upload(void* to, const void* from, std::size_t bytes) override { return copy(to, from, bytes, to); }
    result<void> download(void* to, const void* from, std::size_t bytes) override { return copy(to, from, bytes, from); }
    result<void> fill(void* to, std::uint32_t word, std::size_t count, void*) override
    {
        if (auto ok = check(to, count * sizeof(word)); !ok) return ok;
        for (std::size_t i = 0; i < count; ++i) std::memcpy(static_cast<u8*>(to) + i * sizeof(word), &word, sizeof(word));
        return {};
    }

    // A stream is a handle and nothing else: what is enqueued is done.
    result<void*> create_stream() override { return static_cast<void*>(new char); }
    void destroy_stream(void* stream) noexcept override { delete static_cast<char*>(stream); }
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

    result<void*> load_module(std::string_view code) override
    {
        auto image = load_image(code, processor_);
        if (!image) return image.error();
        auto made = std::make_unique<loaded_module>();
        made->image = std::move(*image);
        return static_cast<void*>(made.release());
    }
    void unload_module(void* module) noexcept override { delete static_cast<loaded_module*>(module); }
    result<void*> function_of(void* module, const std::string& symbol) override
    {
        auto& in = *static_cast<loaded_module*>(module);
        const kernel_entry* kernel = in.image->find(symbol);
        if (kernel == nullptr) return failure{errc::load_failed, "the code object has no kernel " + symbol};
        const std::lock_guard lock(mutex_);
        in.functions.push_back(std::make_unique<loaded_function>(loaded_function{in.image.get(), kernel}));
        return static_cast<void*>(in.functions.back().get());
    }

    result<void> launch(void* function, std::int64_t groups, std::int32_t block, const void* arguments,
                        std::size_t argument_bytes, void*) const override
    {
        const auto& of = *static_cast<const loaded_function*>(function);
        memory_map memory;
        {
            const std::lock_guard lock(mutex_);
            memory = memory_;
        }
        return emulator::launch({.image = of.image,
                                 .kernel = of.kernel,
                                 .groups = groups,
                                 .block = block,
                                 .arguments = arguments,
                                 .argument_bytes = argument_bytes,
                                 .instructions_max = instructions_max},
                                std::move(memory), threads_);
    }

private:
    static failure no_graphs()
    {
        return {errc::launch_failed, "the emulator has no graphs yet: call the operators instead"};
    }
    result<void> check(const void* place, std::size_t bytes) const
    {
        const auto address = reinterpret_cast<std::uintptr_t>(place);
        const std::lock_guard lock(mutex_);
        if (bytes == 0 || memory_.find(address, bytes) != nullptr) return {};
        return failure{errc::launch_failed,
                       fmt::format("a copy of {} bytes at {:#x}, {}", bytes, address, memory_.describe(address))};
    }
    result<void> copy(void* to, const void* from, std::size_t bytes, const void* on_device)
    {
        if (auto ok = check(on_device, bytes); !ok) return ok;
        if (bytes != 0) std::memcpy(to, from, bytes);
        return {};
    }

    const std::string processor_, id_, name_, version_;
    mutable std::mutex mutex_;
    memory_map memory_;
    u64 buffers_ = 0;
    mutable runtime::thread_pool threads_;
};

}  // namespace

std::shared_ptr<runtime::gpu_driver> make_device(const std::string& processor)
{
    return std::make_shared<emulated_device>(processor);
}

}  // namespace mhc::emulator
