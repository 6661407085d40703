// runtime/hip_api.cpp -- finds the HIP runtime and its functions, and puts its errors into words.
#include "runtime/hip_api.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace mhc::runtime::hip {
namespace {

using jit::errc;
using jit::failure;

/// Finds functions by name and remembers the first that is not there.
class symbols {
public:
    explicit symbols(void* library) : library_(library) {}

    template <class Function>
    void find(const char* name, Function* into)
    {
        void* const found = ::dlsym(library_, name);
        std::memcpy(into, &found, sizeof found);
        if (found == nullptr && missing_.empty()) missing_ = name;
    }
    const std::string& missing() const { return missing_; }

private:
    void* library_;
    std::string missing_;
};

std::string path_of(void* function, const char* otherwise)
{
    Dl_info about{};
    return ::dladdr(function, &about) != 0 && about.dli_fname != nullptr ? about.dli_fname : otherwise;
}

/// The name of the first function that is missing; empty: all are there.
std::string find_required(void* library, api* into)
{
    symbols from(library);
    from.find("hipGetErrorName", &into->get_error_name);
    from.find("hipGetErrorString", &into->get_error_string);
    from.find("hipRuntimeGetVersion", &into->runtime_get_version);
    from.find("hipGetDeviceCount", &into->get_device_count);
    from.find("hipGetDevice", &into->get_device);
    from.find("hipSetDevice", &into->set_device);
    from.find("hipMalloc", &into->malloc);
    from.find("hipFree", &into->free);
    from.find("hipMemcpy", &into->memcpy);
    from.find("hipMemsetD32Async", &into->memset_d32_async);
    from.find("hipStreamCreateWithFlags", &into->stream_create_with_flags);
    from.find("hipStreamDestroy", &into->stream_destroy);
    from.find("hipStreamSynchronize", &into->stream_synchronize);
    from.find("hipEventCreate", &into->event_create);
    from.find("hipEventDestroy", &into->event_destroy);
    from.find("hipEventRecord", &into->event_record);
    from.find("hipEventSynchronize", &into->event_synchronize);
    from.find("hipEventElapsedTime", &into->event_elapsed_time);
    from.find("hipModuleLoadData", &into->module_load_data);
    from.find("hipModuleUnload", &into->module_unload);
    from.find("hipModuleGetFunction", &into->module_get_function);
    from.find("hipModuleLaunchKernel", &into->module_launch_kernel);

    // HIP 6 and later have both, and under the old name still fill the old structure: the name says which one is filled.
    symbols latest(library);
    into->properties_call = "hipGetDevicePropertiesR0600";
    into->properties = &properties_r0600;
    latest.find(into->properties_call, &into->get_device_properties);
    if (into->get_device_properties == nullptr) {
        into->properties_call = "hipGetDeviceProperties";
        into->properties = &properties_r0000;
        from.find(into->properties_call, &into->get_device_properties);
    }
    return from.missing();
}

void find_optional(void* library, api* into)
{
    symbols from(library);
    from.find("hipStreamBeginCapture", &into->stream_begin_capture);
    from.find("hipStreamEndCapture", &into->stream_end_capture);
    from.find("hipGraphInstantiate", &into->graph_instantiate);
    from.find("hipGraphLaunch", &into->graph_launch);
    from.find("hipGraphDestroy", &into->graph_destroy);
    from.find("hipGraphExecDestroy", &into->graph_exec_destroy);
    into->missing_of_graphs = from.missing();
}

/// dlopen's reason, if it is more than that no file has the name.
std::string reason_beyond_absence(const char* name, const char* error)
{
    if (error == nullptr) return {};
    const std::string_view text = error;
    const bool is_absent = text.starts_with(name) && text.ends_with("No such file or directory");
    return is_absent ? std::string() : std::string(text);
}

/// What to do about an error; empty where its text says enough.
std::string advice(status error)
{
    switch (error) {
        case error_out_of_memory:
            return "the device has not that much memory free";
        case error_insufficient_driver:
            return "the amdgpu kernel driver is too old for this HIP runtime";
        case error_no_device: {
            const int kfd = ::open("/dev/kfd", O_RDWR | O_CLOEXEC);
            const int refused = kfd >= 0 ? 0 : errno;
            if (kfd >= 0) ::close(kfd);
            return why_no_device(refused);
        }
        case error_invalid_image:
        case error_no_binary_for_gpu:
            return "the code object is not one for this GPU and this HIP runtime";
        case error_illegal_address:
        case error_launch_failure:
            return "this kernel, or one before it, failed on the device; the process cannot use it any more";
        case error_stream_capture_unsupported:
            return "it is not allowed while this thread captures a stream";
        default:
            return {};
    }
}

}  // namespace

jit::result<api> open_library(std::initializer_list<const char*> libraries)
{
    std::string reasons;
    for (const int mode : {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL}) {
        for (const char* const name : libraries) {
            void* const library = ::dlopen(name, mode);
            if (library == nullptr) {
                const char* const error = ::dlerror();
                if ((mode & RTLD_NOLOAD) != 0) continue;
                if (const std::string why = reason_beyond_absence(name, error); !why.empty()) reasons += "; " + why;
                continue;
            }
            api found;
            const std::string missing = find_required(library, &found);
            if (missing.empty()) {
                find_optional(library, &found);
                found.path = path_of(reinterpret_cast<void*>(found.module_launch_kernel), name);
                return found;
            }
            if ((mode & RTLD_NOLOAD) == 0) reasons += fmt::format("; {} lacks {}", name, missing);
        }
    }
    return failure{errc::unsupported_target,
                   fmt::format("no HIP runtime: tried {}{}; install ROCm's hip-runtime-amd or Debian's libamdhip64-5",
                               fmt::join(libraries, ", "), reasons)};
}

jit::result<const api*> open()
{
    static std::mutex guard;
    static const api* the_one = nullptr;  // never destroyed: kernels may be launched while a process exits
    const std::lock_guard lock(guard);
    if (the_one == nullptr) {
        auto found = open_library(
            {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so", "/opt/rocm/lib/libamdhip64.so"});
        if (!found) return found.error();
        the_one = new api(std::move(*found));
    }
    return the_one;
}

std::string describe(const api& from, std::string_view call, status error)
{
    const auto text_or_empty = [](const char* text) {
        return text != nullptr ? std::string_view(text) : std::string_view();
    };
    const std::string_view name = text_or_empty(from.get_error_name(error)),
                           text = text_or_empty(from.get_error_string(error));
    std::string line = fmt::format("{}: {}", call, name.empty() ? fmt::format("error {}", error) : std::string(name));
    if (!text.empty() && text != name) line += fmt::format(" ({})", text);  // HIP 5 has the name alone
    if (const std::string what_to_do = advice(error); !what_to_do.empty()) line += "; " + what_to_do;
    for (char& c : line)
        if (c == '\n' || c == '\r') c = ' ';
    return line;
}

std::string why_no_device(int kfd_errno)
{
    switch (kfd_errno) {
        case 0:
            return "/dev/kfd can be opened: no GPU there is one that this HIP runtime supports, or HIP_VISIBLE_DEVICES, "
                   "ROCR_VISIBLE_DEVICES or a container hides it";
        case ENOENT:
        case ENXIO:
        case ENODEV:
            return "there is no /dev/kfd: the amdgpu kernel driver is not loaded, or a container was started without "
                   "--device=/dev/kfd --device=/dev/dri";
        case EACCES:
        case EPERM:
            return "this user must not open /dev/kfd: join the groups render and video";
        default:
            return fmt::format("/dev/kfd cannot be opened: {}", std::strerror(kfd_errno));
    }
}

// HIP_VERSION: major * 10^7 + minor * 10^5 + patch.
std::string version_text(int version)
{
    return fmt::format("{}.{}.{}", version / 10'000'000, version / 100'000 % 100, version % 100'000);
}

int major_version(int version) { return version / 10'000'000; }

}  // namespace mhc::runtime::hip
