// runtime/cuda_driver.cpp -- an NVIDIA GPU through the CUDA driver, loaded with dlopen.
#include "runtime/cuda_api.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>

#include "runtime/gpu_driver.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;
using jit::result;

/// The driver's functions, or why they are not here. Loaded once; never unloaded.
struct cuda_library {
    cuda::functions call{};
    std::string why_not;
};

cuda_library load_library()
{
    cuda_library made;
    void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        made.why_not = "no CUDA driver is installed (libcuda.so.1 was not found)";
        return made;
    }
    const auto find = [&](const char* name, auto* into) {
        *into = reinterpret_cast<std::remove_pointer_t<decltype(into)>>(::dlsym(library, name));
        if (*into == nullptr && made.why_not.empty())
            made.why_not = fmt::format("the CUDA driver is too old: libcuda.so.1 lacks {}; CUDA 11.4 has it", name);
    };
#define MHC_FIND(name) find(#name, &made.call.name)
    MHC_FIND(cuInit), MHC_FIND(cuDriverGetVersion), MHC_FIND(cuDeviceGetCount), MHC_FIND(cuDeviceGet);
    MHC_FIND(cuDeviceGetName), MHC_FIND(cuDeviceGetAttribute), MHC_FIND(cuDevicePrimaryCtxRetain);
    MHC_FIND(cuCtxGetCurrent), MHC_FIND(cuCtxGetDevice), MHC_FIND(cuCtxPushCurrent_v2), MHC_FIND(cuCtxPopCurrent_v2);
    MHC_FIND(cuModuleLoadData), MHC_FIND(cuModuleUnload), MHC_FIND(cuModuleGetFunction), MHC_FIND(cuFuncGetAttribute);
    MHC_FIND(cuFuncSetAttribute);
    MHC_FIND(cuLaunchKernel), MHC_FIND(cuMemAlloc_v2), MHC_FIND(cuMemFree_v2), MHC_FIND(cuMemcpyHtoD_v2);
    MHC_FIND(cuMemcpyDtoH_v2), MHC_FIND(cuMemsetD32Async), MHC_FIND(cuStreamCreate), MHC_FIND(cuStreamDestroy_v2);
    MHC_FIND(cuStreamSynchronize), MHC_FIND(cuStreamBeginCapture_v2), MHC_FIND(cuStreamEndCapture);
    MHC_FIND(cuGraphInstantiateWithFlags), MHC_FIND(cuGraphDestroy), MHC_FIND(cuGraphLaunch);
    MHC_FIND(cuGraphExecDestroy), MHC_FIND(cuEventCreate), MHC_FIND(cuEventDestroy_v2), MHC_FIND(cuEventRecord);
    MHC_FIND(cuEventSynchronize), MHC_FIND(cuEventElapsedTime), MHC_FIND(cuGetErrorName), MHC_FIND(cuGetErrorString);
#undef MHC_FIND
    // From CUDA 11.8; without it kernels start one after another.
    made.call.cuLaunchKernelEx =
        reinterpret_cast<decltype(made.call.cuLaunchKernelEx)>(::dlsym(library, "cuLaunchKernelEx"));
    // From CUDA 12; without it streams are read as often as a kernel needs them.
    made.call.cuTensorMapEncodeTiled =
        reinterpret_cast<decltype(made.call.cuTensorMapEncodeTiled)>(::dlsym(library, "cuTensorMapEncodeTiled"));
    return made;
}

const cuda_library& library()
{
    static const cuda_library& only = *new cuda_library(load_library());  // kernels may run while a process exits
    return only;
}

const cuda::functions& call() { return library().call; }

std::string error_text(cuda::status error)
{
    const char *name = nullptr, *text = nullptr;
    call().cuGetErrorName(error, &name);
    call().cuGetErrorString(error, &text);
    return fmt::format("{} ({})", name == nullptr ? fmt::to_string(error) : name, text == nullptr ? "unknown" : text);
}

result<void> check(errc code, const char* what, cuda::status status)
{
    if (status == 0) return {};
    return failure{code, fmt::format("{}: {}", what, error_text(status))};
}

/// The context is current while this lives, and what was current before afterwards.
class current_context {
public:
    explicit current_context(cuda::handle wanted)
    {
        cuda::handle now = nullptr;
        call().cuCtxGetCurrent(&now);
        if (now != wanted) is_pushed_ = call().cuCtxPushCurrent_v2(wanted) == 0;
    }
    current_context(const current_context&) = delete;
    current_context& operator=(const current_context&) = delete;
    ~current_context()
    {
        cuda::handle popped = nullptr;
        if (is_pushed_) call().cuCtxPopCurrent_v2(&popped);
    }

private:
    bool is_pushed_ = false;
};

cuda::address address_of(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

class cuda_driver final : public gpu_driver {
public:
    cuda_driver(cuda::handle context, int lds_bytes, int multiprocessors, std::string id, std::string name,
                std::string version)
        : context_(context),
          lds_bytes_(lds_bytes),
          multiprocessors_(multiprocessors),
          id_(std::move(id)),
          name_(std::move(name)),
          version_(std::move(version))
    {
    }

    const std::string& id() const override { return id_; }
    const std::string& name() const override { return name_; }
    const std::string& driver_version() const override { return version_; }
    int code_object_version() const override { return 0; }

    result<void*> load_module(std::string_view code) override
    {
        const current_context here(context_);
        cuda::handle module = nullptr;
        if (auto ok = check(errc::load_failed, "cuModuleLoadData", call().cuModuleLoadData(&module, code.data())); !ok)
            return ok.error();
        return module;
    }
    void unload_module(void* module) noexcept override
    {
        const current_context here(context_);
        call().cuModuleUnload(module);
    }
    result<void*> function_of(void* module, const std::string& symbol) override
    {
        const current_context here(context_);
        cuda::handle function = nullptr;
        int registers = 0;
        auto ok =
            check(errc::load_failed, "cuModuleGetFunction", call().cuModuleGetFunction(&function, module, symbol.c_str()));
        // Asking for an attribute loads the code now: a driver that loads lazily would do it in the first launch, which may
        // be under capture.
        if (ok)
            ok = check(errc::load_failed, "cuFuncGetAttribute",
                       call().cuFuncGetAttribute(&registers, cuda::function_registers, function));
        if (ok) ok = allow_lds(function);
        if (!ok) return ok.error();
        // A driver that does not know it has no clusters either, and no kernel of this asks for one.
        call().cuFuncSetAttribute(function, cuda::function_any_cluster, 1);
        return function;
    }
    result<void> launch(void* function, std::int64_t groups, std::int32_t block, const void* arguments,
                        std::size_t argument_bytes, void* stream) const override
    {
        return launch_with({}, function, groups, block, arguments, argument_bytes, stream);
    }
    result<void> launch_with(const launch_extras& extras, void* function, std::int64_t groups, std::int32_t block,
                             const void* arguments, std::size_t argument_bytes, void* stream) const override
    {
        const current_context here(context_);
        void* extra[] = {cuda::launch_buffer, const_cast<void*>(arguments), cuda::launch_buffer_size, &argument_bytes,
                         cuda::launch_end};
        const auto grid = static_cast<unsigned>(groups), threads = static_cast<unsigned>(block);
        const auto lds_bytes = static_cast<unsigned>(extras.lds_bytes);
        std::array<cuda::launch_attribute, 2> attributes{};
        unsigned count = 0;
        if (extras.may_start_early && call().cuLaunchKernelEx != nullptr)
            attributes[count++] = {cuda::launch_attribute_overlap, {}, {1}};
        if (extras.cluster > 1) {
            cuda::launch_attribute& cluster = attributes[count++];
            cluster.id = cuda::launch_attribute_cluster;
            cluster.value.groups[0] = static_cast<unsigned>(extras.cluster);
            cluster.value.groups[1] = cluster.value.groups[2] = 1;
        }
        const cuda::launch_configuration how{grid, 1, 1, threads, 1, 1, lds_bytes, stream, attributes.data(), count};
        void** const packed = extras.arguments != nullptr ? nullptr : extra;
        const cuda::status status = count > 0 ? call().cuLaunchKernelEx(&how, function, extras.arguments, packed)
                                              : call().cuLaunchKernel(function, grid, 1, 1, threads, 1, 1, lds_bytes, stream,
                                                                      extras.arguments, packed);
        if (status == 0) return {};
        return check(errc::launch_failed, count > 0 ? "cuLaunchKernelEx" : "cuLaunchKernel", status);
    }

    std::int32_t compute_units() const override { return multiprocessors_; }
    bool write_map(const streams_in_memory& of, void* to) const override
    {
        // What is smaller, as a share of a GPU is, may have no 16 multiprocessors that a cluster can be on.
        constexpr int multiprocessors_min = 112;
        if (call().cuTensorMapEncodeTiled == nullptr || call().cuLaunchKernelEx == nullptr ||
            multiprocessors_ < multiprocessors_min)
            return false;
        const current_context here(context_);
        // Of one token, or one stream, no stride matters; otherwise 0 is none that the copy engine knows.
        const auto bytes = [&](std::int64_t stride, std::int64_t count) {
            return static_cast<std::uint64_t>((count == 1 ? of.hidden_dim : stride) * of.element_bytes);
        };
        const std::array<std::uint64_t, 3> sizes{static_cast<std::uint64_t>(of.hidden_dim),
                                                 static_cast<std::uint64_t>(of.tokens),
                                                 static_cast<std::uint64_t>(of.n_streams)};
        const std::array<std::uint64_t, 2> strides{bytes(of.token_stride, of.tokens), bytes(of.stream_stride, of.n_streams)};
        if (strides[0] == 0 || strides[1] == 0 || of.tokens > INT32_MAX) return false;
        const std::array<std::uint32_t, 3> box{static_cast<std::uint32_t>(of.box_channels),
                                               static_cast<std::uint32_t>(of.box_tokens),
                                               static_cast<std::uint32_t>(of.n_streams)};
        constexpr std::array<std::uint32_t, 3> steps{1, 1, 1};
        const int type = of.element_bytes == 4 ? cuda::map_of_fp32 : cuda::map_of_bf16;
        return call().cuTensorMapEncodeTiled(to, type, 3, reinterpret_cast<void*>(of.address), sizes.data(), strides.data(),
                                             box.data(), steps.data(), cuda::map_not_interleaved, cuda::map_swizzled_in_128,
                                             cuda::map_fetches_128, cuda::map_zeros_outside) == 0;
    }

    result<void*> allocate(std::size_t bytes) override
    {
        const current_context here(context_);
        cuda::address memory = 0;
        if (const cuda::status status = call().cuMemAlloc_v2(&memory, bytes); status != 0)
            return failure{errc::load_failed, fmt::format("cuMemAlloc of {} bytes: {}", bytes, error_text(status))};
        return reinterpret_cast<void*>(static_cast<std::uintptr_t>(memory));
    }
    void release(void* memory) noexcept override
    {
        const current_context here(context_);
        if (memory != nullptr) call().cuMemFree_v2(address_of(memory));
    }
    result<void> upload(void* to, const void* from, std::size_t bytes) override
    {
        const current_context here(context_);
        if (bytes == 0) return {};
        auto ok = check(errc::launch_failed, "cuMemcpyHtoD", call().cuMemcpyHtoD_v2(address_of(to), from, bytes));
        // It returns when pageable memory may be written again, not yet when all has arrived.
        if (ok) ok = check(errc::launch_failed, "cuStreamSynchronize", call().cuStreamSynchronize(nullptr));
        return ok;
    }
    result<void> download(void* to, const void* from, std::size_t bytes) override
    {
        const current_context here(context_);
        if (bytes == 0) return {};
        return check(errc::launch_failed, "cuMemcpyDtoH", call().cuMemcpyDtoH_v2(to, address_of(from), bytes));
    }
    result<void> fill(void* to, std::uint32_t word, std::size_t count, void* stream) override
    {
        const current_context here(context_);
        if (count == 0) return {};
        return check(errc::launch_failed, "cuMemsetD32Async", call().cuMemsetD32Async(address_of(to), word, count, stream));
    }

    result<void*> create_stream() override
    {
        return make("cuStreamCreate",
                    [](cuda::handle* made) { return call().cuStreamCreate(made, cuda::stream_non_blocking); });
    }
    void destroy_stream(void* stream) noexcept override
    {
        const current_context here(context_);
        if (stream != nullptr) call().cuStreamDestroy_v2(stream);
    }
    result<void> synchronize(void* stream) override
    {
        const current_context here(context_);
        return check(errc::launch_failed, "cuStreamSynchronize", call().cuStreamSynchronize(stream));
    }

    result<void> begin_capture(void* stream) override
    {
        const current_context here(context_);
        return check(errc::launch_failed, "cuStreamBeginCapture",
                     call().cuStreamBeginCapture_v2(stream, cuda::capture_thread_local));
    }
    result<void*> end_capture(void* stream) override
    {
        const current_context here(context_);
        cuda::handle graph = nullptr, executable = nullptr;
        if (auto ok = check(errc::launch_failed, "cuStreamEndCapture", call().cuStreamEndCapture(stream, &graph)); !ok)
            return ok.error();
        const cuda::status status = call().cuGraphInstantiateWithFlags(&executable, graph, 0);
        call().cuGraphDestroy(graph);
        if (auto ok = check(errc::launch_failed, "cuGraphInstantiate", status); !ok) return ok.error();
        return executable;
    }
    result<void> replay(void* graph, void* stream) override
    {
        const current_context here(context_);
        return check(errc::launch_failed, "cuGraphLaunch", call().cuGraphLaunch(graph, stream));
    }
    void destroy_graph(void* graph) noexcept override
    {
        const current_context here(context_);
        if (graph != nullptr) call().cuGraphExecDestroy(graph);
    }

    result<void*> create_event() override
    {
        return make("cuEventCreate", [](cuda::handle* made) { return call().cuEventCreate(made, 0); });
    }
    void destroy_event(void* event) noexcept override
    {
        const current_context here(context_);
        if (event != nullptr) call().cuEventDestroy_v2(event);
    }
    result<void> record(void* event, void* stream) override
    {
        const current_context here(context_);
        return check(errc::launch_failed, "cuEventRecord", call().cuEventRecord(event, stream));
    }
    result<double> elapsed_us(void* first, void* second) override
    {
        const current_context here(context_);
        float milliseconds = 0;
        auto ok = check(errc::launch_failed, "cuEventSynchronize", call().cuEventSynchronize(second));
        if (ok)
            ok = check(errc::launch_failed, "cuEventElapsedTime", call().cuEventElapsedTime(&milliseconds, first, second));
        if (!ok) return ok.error();
        return static_cast<double>(milliseconds) * 1000;
    }

private:
    /// All the LDS of a block that the kernel does not declare: without this a launch may ask for no more than 48 KB.
    result<void> allow_lds(cuda::handle function)
    {
        int declared = 0;
        auto ok = check(errc::load_failed, "cuFuncGetAttribute",
                        call().cuFuncGetAttribute(&declared, cuda::function_static_lds, function));
        if (ok)
            ok = check(errc::load_failed, "cuFuncSetAttribute",
                       call().cuFuncSetAttribute(function, cuda::function_dynamic_lds, lds_bytes_ - declared));
        return ok;
    }

    template <class Make>
    result<void*> make(const char* what, Make by)
    {
        const current_context here(context_);
        cuda::handle made = nullptr;
        if (auto ok = check(errc::load_failed, what, by(&made)); !ok) return ok.error();
        return made;
    }

    cuda::handle context_;
    int lds_bytes_;  ///< of a block, at most
    int multiprocessors_;
    std::string id_, name_, version_;
};

failure cannot_open(std::string why) { return {errc::unsupported_target, std::move(why)}; }

/// The device of the calling thread's context, else the first.
int current_ordinal()
{
    cuda::handle context = nullptr;
    cuda::device_id device = 0;
    if (call().cuCtxGetCurrent(&context) != 0 || context == nullptr || call().cuCtxGetDevice(&device) != 0) return 0;
    return device;  // the driver numbers devices by their ordinals
}

}  // namespace

jit::result<std::shared_ptr<gpu_driver>> open_cuda(int ordinal)
{
    if (!library().why_not.empty()) return cannot_open(library().why_not);
    if (const cuda::status status = call().cuInit(0); status != 0)
        return cannot_open(fmt::format("the CUDA driver does not start: cuInit: {}", error_text(status)));
    int count = 0, version = 0, major = 0, minor = 0, lds_bytes = 0, multiprocessors = 0;
    if (const cuda::status status = call().cuDeviceGetCount(&count); status != 0 || count == 0)
        return cannot_open(status != 0 ? "cuDeviceGetCount: " + error_text(status)
                                       : std::string("the CUDA driver shows no device (CUDA_VISIBLE_DEVICES?)"));
    if (ordinal >= count)
        return cannot_open(fmt::format("CUDA device {}: allowed is 0 to {}, or -1 for the current one", ordinal, count - 1));
    if (ordinal < 0) ordinal = current_ordinal();

    cuda::device_id device = 0;
    std::array<char, 256> name{};
    cuda::handle context = nullptr;
    call().cuDriverGetVersion(&version);
    cuda::status status = call().cuDeviceGet(&device, ordinal);
    if (status == 0) status = call().cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, device);
    if (status == 0) status = call().cuDeviceGetAttribute(&major, cuda::attribute_major, device);
    if (status == 0) status = call().cuDeviceGetAttribute(&minor, cuda::attribute_minor, device);
    if (status == 0) status = call().cuDeviceGetAttribute(&lds_bytes, cuda::attribute_lds_bytes, device);
    if (status == 0) status = call().cuDeviceGetAttribute(&multiprocessors, cuda::attribute_multiprocessors, device);
    // Never released: kernels may run for as long as the process does.
    if (status == 0) status = call().cuDevicePrimaryCtxRetain(&context, device);
    if (status != 0) return cannot_open(fmt::format("CUDA device {} cannot be used: {}", ordinal, error_text(status)));
    return std::shared_ptr<gpu_driver>(std::make_shared<cuda_driver>(
        context, lds_bytes, multiprocessors, fmt::format("sm_{}{}", major, minor), name.data(), fmt::to_string(version)));
}

}  // namespace mhc::runtime
