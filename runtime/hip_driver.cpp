// runtime/hip_driver.cpp -- one AMD GPU through the HIP runtime.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "runtime/code_pages.hpp"
#include "runtime/hip_driver.hpp"

namespace mhc::runtime {
namespace {

using hip::api;
using hip::status;
using jit::errc;
using jit::failure;

/// Makes a device the calling thread's current one, and the one before current again.
class current_device {
public:
    current_device(const api& of, int wanted) : api_(of)
    {
        if (error = api_.get_device(&before_); error != hip::success) {
            call = "hipGetDevice";
        } else if (before_ != wanted) {
            error = api_.set_device(wanted);
            is_switched_ = error == hip::success;
            call = "hipSetDevice";
        }
    }
    current_device(const current_device&) = delete;
    current_device& operator=(const current_device&) = delete;
    ~current_device()
    {
        if (is_switched_) api_.set_device(before_);
    }

    status error = hip::success;
    const char* call = "";  ///< that gave `error`

private:
    const api& api_;
    int before_ = 0;
    bool is_switched_ = false;
};

struct loaded_module {
    void* handle = nullptr;  ///< hipModule_t
    code_pages code;
};

class hip_driver final : public gpu_driver {
public:
    hip_driver(const api& from, int ordinal, int version, int compute_units, std::string id, std::string name)
        : api_(from),
          ordinal_(ordinal),
          version_(version),
          compute_units_(compute_units),
          id_(std::move(id)),
          name_(std::move(name)),
          version_text_(hip::version_text(version))
    {
    }

    const std::string& id() const override { return id_; }
    const std::string& name() const override { return name_; }
    const std::string& driver_version() const override { return version_text_; }
    std::int32_t compute_units() const override { return compute_units_; }
    int code_object_version() const override { return hip::major_version(version_) < 6 ? 4 : 5; }

    jit::result<void*> allocate(std::size_t bytes) override
    {
        return make(errc::load_failed, fmt::format("hipMalloc({} bytes)", bytes),
                    [&](void** made) { return api_.malloc(made, bytes); });
    }
    void release(void* memory) noexcept override
    {
        if (memory != nullptr) ignore([&] { return api_.free(memory); });
    }
    jit::result<void> upload(void* to, const void* from, std::size_t bytes) override
    {
        if (bytes == 0) return {};
        return call("hipMemcpy to the device", [&] { return api_.memcpy(to, from, bytes, hip::memcpy_host_to_device); });
    }
    jit::result<void> download(void* to, const void* from, std::size_t bytes) override
    {
        if (bytes == 0) return {};
        return call("hipMemcpy from the device", [&] { return api_.memcpy(to, from, bytes, hip::memcpy_device_to_host); });
    }
    jit::result<void> fill(void* to, std::uint32_t word, std::size_t count, void* stream) override
    {
        if (count == 0) return {};
        return call("hipMemsetD32Async", [&] { return api_.memset_d32_async(to, static_cast<int>(word), count, stream); });
    }

    jit::result<void*> create_stream() override
    {
        return make(errc::load_failed, "hipStreamCreateWithFlags",
                    [&](void** made) { return api_.stream_create_with_flags(made, hip::stream_non_blocking); });
    }
    void destroy_stream(void* stream) noexcept override
    {
        if (stream != nullptr) ignore([&] { return api_.stream_destroy(stream); });
    }
    jit::result<void> synchronize(void* stream) override
    {
        return call("hipStreamSynchronize", [&] { return api_.stream_synchronize(stream); });
    }

    jit::result<void> begin_capture(void* stream) override
    {
        if (auto ok = has_graphs(); !ok) return ok;
        return call("hipStreamBeginCapture",
                    [&] { return api_.stream_begin_capture(stream, hip::capture_mode_thread_local); });
    }
    jit::result<void*> end_capture(void* stream) override
    {
        if (auto ok = has_graphs(); !ok) return ok.error();
        const auto graph = make(errc::launch_failed, "hipStreamEndCapture",
                                [&](void** made) { return api_.stream_end_capture(stream, made); });
        if (!graph) return graph;
        auto executable = make(errc::launch_failed, "hipGraphInstantiate",
                               [&](void** made) { return api_.graph_instantiate(made, *graph, nullptr, nullptr, 0); });
        ignore([&] { return api_.graph_destroy(*graph); });
        return executable;
    }
    jit::result<void> replay(void* graph, void* stream) override
    {
        if (auto ok = has_graphs(); !ok) return ok;
        return call("hipGraphLaunch", [&] { return api_.graph_launch(graph, stream); });
    }
    void destroy_graph(void* graph) noexcept override
    {
        if (graph != nullptr && api_.graph_exec_destroy != nullptr) ignore([&] { return api_.graph_exec_destroy(graph); });
    }

    jit::result<void*> create_event() override
    {
        return make(errc::load_failed, "hipEventCreate", [&](void** made) { return api_.event_create(made); });
    }
    void destroy_event(void* event) noexcept override
    {
        if (event != nullptr) ignore([&] { return api_.event_destroy(event); });
    }
    jit::result<void> record(void* event, void* stream) override
    {
        return call("hipEventRecord", [&] { return api_.event_record(event, stream); });
    }
    jit::result<double> elapsed_us(void* first, void* second) override
    {
        if (auto ok = call("hipEventSynchronize", [&] { return api_.event_synchronize(second); }); !ok) return ok.error();
        float ms = 0;
        if (auto ok = call("hipEventElapsedTime", [&] { return api_.event_elapsed_time(&ms, first, second); }); !ok)
            return ok.error();
        return static_cast<double>(ms) * 1000;
    }

    jit::result<void*> load_module(std::string_view code) override
    {
        auto pages = code_pages::copy(code);
        if (!pages) return pages.error();
        auto module = std::make_unique<loaded_module>(loaded_module{nullptr, std::move(*pages)});
        const auto handle = make(errc::load_failed, "hipModuleLoadData",
                                 [&](void** made) { return api_.module_load_data(made, module->code.data()); });
        if (!handle) return handle;
        module->handle = *handle;
        return module.release();
    }
    void unload_module(void* module) noexcept override
    {
        const std::unique_ptr<loaded_module> loaded(static_cast<loaded_module*>(module));
        if (loaded) ignore([&] { return api_.module_unload(loaded->handle); });
    }
    jit::result<void*> function_of(void* module, const std::string& symbol) override
    {
        return make(errc::load_failed, fmt::format("hipModuleGetFunction({})", symbol), [&](void** made) {
            return api_.module_get_function(made, static_cast<loaded_module*>(module)->handle, symbol.c_str());
        });
    }

    jit::result<void> launch(void* function, std::int64_t groups, std::int32_t block, const void* arguments,
                             std::size_t argument_bytes, void* stream) const override
    {
        // HIP counts a grid's work-items in 32 bits.
        if (groups < 1 || block < 1 || groups > std::numeric_limits<std::uint32_t>::max() / block)
            return failure{errc::launch_failed,
                           fmt::format("hipModuleLaunchKernel: {} work-groups of {} are none, or 2^32 work-items or more",
                                       groups, block)};
        std::size_t bytes = argument_bytes;
        std::array<void*, 5> extra{reinterpret_cast<void*>(hip::launch_param_buffer_pointer), const_cast<void*>(arguments),
                                   reinterpret_cast<void*>(hip::launch_param_buffer_size), &bytes,
                                   reinterpret_cast<void*>(hip::launch_param_end)};
        return call("hipModuleLaunchKernel", [&] {
            return api_.module_launch_kernel(function, static_cast<unsigned>(groups), 1, 1, static_cast<unsigned>(block), 1,
                                             1, 0, stream, nullptr, extra.data());
        });
    }

private:
    /// Calls with the device current; what fails is put into one line.
    template <class Call>
    jit::result<void> call(std::string_view name, Call&& what, errc code = errc::launch_failed) const
    {
        const current_device here(api_, ordinal_);
        if (here.error != hip::success) return failure{code, hip::describe(api_, here.call, here.error)};
        const status error = what();
        if (error != hip::success) return failure{code, hip::describe(api_, name, error)};
        return {};
    }
    template <class Call>
    jit::result<void*> make(errc code, std::string_view name, Call&& what) const
    {
        void* made = nullptr;
        if (auto ok = call(
                name, [&] { return what(&made); }, code);
            !ok)
            return ok.error();
        return made;
    }
    /// For what a caller can do nothing about.
    template <class Call>
    void ignore(Call&& what) const noexcept
    {
        const current_device here(api_, ordinal_);
        if (here.error == hip::success) static_cast<void>(what());
    }
    jit::result<void> has_graphs() const
    {
        if (api_.missing_of_graphs.empty()) return {};
        return failure{errc::launch_failed,
                       fmt::format("HIP {} has no graphs: {} lacks {}", version_text_, api_.path, api_.missing_of_graphs)};
    }

    const api& api_;
    int ordinal_, version_, compute_units_;
    std::string id_, name_, version_text_;
};

/// What was read of hipDeviceProp_t.
struct device_properties {
    std::string id, name;
    int compute_units = 0;  ///< 0: what stands there is no number of them
};

jit::result<device_properties> read_properties(const api& from, int ordinal)
{
    // Larger than any version's structure: what a later one adds is written behind what is read.
    alignas(16) std::array<char, 16384> properties{};
    const status error = from.get_device_properties(properties.data(), ordinal);
    if (error != hip::success) return failure{errc::unsupported_target, hip::describe(from, from.properties_call, error)};
    const auto text_at = [&](std::size_t offset) {
        return std::string(&properties[offset], ::strnlen(&properties[offset], hip::properties_text_bytes));
    };
    device_properties read{text_at(from.properties->arch_name), text_at(from.properties->name)};
    constexpr int compute_units_max = 4096;
    std::memcpy(&read.compute_units, &properties[from.properties->compute_units], sizeof read.compute_units);
    if (read.compute_units < 0 || read.compute_units > compute_units_max) read.compute_units = 0;
    const bool is_plausible =
        read.id.size() < 64 && std::all_of(read.id.begin(), read.id.end(), [](char c) { return c > ' ' && c < 127; });
    if (!read.id.starts_with("gfx") || !is_plausible)
        return failure{errc::unsupported_target,
                       fmt::format("{} of {} gives device {} no architecture's name where gcnArchName is expected; this HIP "
                                   "runtime is not one of versions 5 to 7",
                                   from.properties_call, from.path, ordinal)};
    if (read.name.empty()) read.name = read.id;  // without the table of marketing names
    return read;
}

}  // namespace

jit::result<std::shared_ptr<gpu_driver>> open_hip_device(const hip::api& from, int ordinal)
{
    const auto refused = [&](std::string_view call, status error) {
        return failure{errc::unsupported_target, hip::describe(from, call, error)};
    };
    int count = 0;
    if (const status error = from.get_device_count(&count); error != hip::success)
        return refused("hipGetDeviceCount", error);
    if (count == 0) return refused("hipGetDeviceCount", hip::error_no_device);
    if (ordinal < -1 || ordinal >= count)
        return failure{
            errc::unsupported_target,
            fmt::format("HIP device {}: the runtime shows {}, from 0; HIP_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES "
                        "hide others",
                        ordinal, count)};
    if (ordinal == -1 && from.get_device(&ordinal) != hip::success) ordinal = 0;
    int version = 0;
    if (const status error = from.runtime_get_version(&version); error != hip::success)
        return refused("hipRuntimeGetVersion", error);
    auto read = read_properties(from, ordinal);
    if (!read) return read.error();
    return std::shared_ptr<gpu_driver>(std::make_shared<hip_driver>(from, ordinal, version, read->compute_units,
                                                                    std::move(read->id), std::move(read->name)));
}

jit::result<std::shared_ptr<gpu_driver>> open_hip(int ordinal)
{
    const auto runtime = hip::open();
    if (!runtime) return runtime.error();
    return open_hip_device(**runtime, ordinal);
}

}  // namespace mhc::runtime
