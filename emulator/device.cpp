// emulator/device.cpp -- memory, streams, events, modules and launches of an emulated GPU. All is done when a call returns.
#include "emulator/device.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>

#include "emulator/code_image.hpp"
#include "emulator/counter.hpp"
#include "emulator/launch.hpp"
#include "emulator/memory_map.hpp"

namespace mhc::emulator {
namespace {

using jit::errc;
using jit::failure;
using jit::result;
using clock = std::chrono::steady_clock;

/// Of a work-group, in wave instructions: about a minute. The largest cases of the tests stay under a hundredth of it.
constexpr u64 instructions_max = 200'000'000;

struct loaded_function {
    const code_image* image = nullptr;
    const kernel_entry* kernel = nullptr;
};
struct loaded_module {
    std::unique_ptr<code_image> image;
    std::vector<std::unique_ptr<loaded_function>> functions;
};

/// What was recorded, to be done again and again.
using graph = std::vector<std::function<result<void>()>>;

/// What is enqueued on a stream is done at once, but for what is recorded.
struct stream {
    std::unique_ptr<graph> recorded;  ///< while it is captured
};

class emulated_device final : public runtime::gpu_driver {
public:
    emulated_device(const processor_facts& on, checks which)
        : checks_(which), processor_(on.name), id_("emu:" + processor_), name_("emulated " + processor_), counter_(on)
    {
    }

    const std::string& id() const override { return id_; }
    const std::string& name() const override { return name_; }
    const std::string& driver_version() const override { return version_; }
    int code_object_version() const override { return 5; }
    std::int32_t compute_units() const override { return static_cast<std::int32_t>(counter_.facts().compute_units); }
    jit::execution_counter* counter() noexcept override { return &counter_; }

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
    result<void> fill(void* to, std::uint32_t word, std::size_t count, void* on) override
    {
        if (!is_captured(on)) return fill_now(to, word, count);
        record(on, [=, this] { return fill_now(to, word, count); });
        return {};
    }

    result<void*> create_stream() override { return static_cast<void*>(new stream); }
    void destroy_stream(void* of) noexcept override { delete static_cast<stream*>(of); }
    result<void> synchronize(void*) override { return {}; }

    result<void> begin_capture(void* of) override
    {
        if (of == nullptr) return failure{errc::launch_failed, "the null stream cannot be captured: create a stream"};
        auto& on = *static_cast<stream*>(of);
        if (on.recorded) return failure{errc::launch_failed, "the stream is being captured already"};
        on.recorded = std::make_unique<graph>();
        return {};
    }
    result<void*> end_capture(void* of) override
    {
        if (of == nullptr || !static_cast<stream*>(of)->recorded)
            return failure{errc::launch_failed, "the stream is not being captured"};
        return static_cast<void*>(static_cast<stream*>(of)->recorded.release());
    }
    result<void> replay(void* graph_made, void*) override
    {
        for (const std::function<result<void>()>& call : *static_cast<const graph*>(graph_made))
            if (auto ok = call(); !ok) return ok;
        return {};
    }
    void destroy_graph(void* made) noexcept override { delete static_cast<graph*>(made); }

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
                        std::size_t argument_bytes, void* on) const override
    {
        const auto* of = static_cast<const loaded_function*>(function);
        if (!is_captured(on)) return launch_now(*of, groups, block, arguments, argument_bytes);
        const auto* bytes = static_cast<const u8*>(arguments);
        record(on, [this, of, groups, block, kept = std::vector<u8>(bytes, bytes + argument_bytes)] {
            return launch_now(*of, groups, block, kept.data(), kept.size());
        });
        return {};
    }

private:
    result<void> launch_now(const loaded_function& of, std::int64_t groups, std::int32_t block, const void* arguments,
                            std::size_t argument_bytes) const
    {
        memory_map memory;
        {
            const std::lock_guard lock(mutex_);
            memory = memory_;
        }
        const std::unique_ptr<launch_record> record = counter_.record();
        const auto done = emulator::launch({.image = of.image,
                                            .kernel = of.kernel,
                                            .groups = groups,
                                            .block = block,
                                            .arguments = arguments,
                                            .argument_bytes = argument_bytes,
                                            .instructions_max = instructions_max,
                                            .on = &counter_.facts(),
                                            .checks_all = checks_ == checks::all,
                                            .record = record.get()},
                                           std::move(memory), threads_);
        if (!done) return done.error();
        if (record) counter_.add(*record);
        return {};
    }
    result<void> fill_now(void* to, std::uint32_t word, std::size_t count) const
    {
        if (auto ok = check(to, count * sizeof(word)); !ok) return ok;
        for (std::size_t i = 0; i < count; ++i) std::memcpy(static_cast<u8*>(to) + i * sizeof(word), &word, sizeof(word));
        return {};
    }
    static bool is_captured(const void* of) { return of != nullptr && static_cast<const stream*>(of)->recorded; }
    static void record(void* of, std::function<result<void>()> call)
    {
        static_cast<stream*>(of)->recorded->push_back(std::move(call));
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

    const checks checks_;
    const std::string processor_, id_, name_, version_;
    mutable std::mutex mutex_;
    memory_map memory_;
    u64 buffers_ = 0;
    mutable runtime::thread_pool threads_;
    mutable emulator::counter counter_;
};

}  // namespace

bool read_checks(checks& made, std::string& why)
{
    const char* const value = std::getenv("MHC_EMULATOR_CHECKS");
    const std::string_view text = value == nullptr ? "" : value;
    made = text == "bounds" ? checks::bounds : checks::all;
    if (text.empty() || text == "all" || text == "bounds") return true;
    why = fmt::format("MHC_EMULATOR_CHECKS is '{}'; allowed are all and bounds", text);
    return false;
}

const processor_facts* read_product(std::string_view processor, std::string& why)
{
    const char* const value = std::getenv("MHC_EMULATOR_GPU");
    const std::string_view gpu = value == nullptr ? "" : value;
    if (gpu.empty()) return &facts_of(processor);
    const processor_facts* const named = find_product(gpu);
    if (named == nullptr) {
        why = fmt::format("MHC_EMULATOR_GPU is '{}'; known are {}", gpu, product_names());
        return nullptr;
    }
    return named->name == processor ? named : &facts_of(processor);
}

std::shared_ptr<runtime::gpu_driver> make_device(const processor_facts& on, checks which)
{
    return std::make_shared<emulated_device>(on, which);
}

}  // namespace mhc::emulator
