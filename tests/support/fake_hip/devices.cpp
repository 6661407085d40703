// tests/support/fake_hip/devices.cpp -- errors, version, devices and their properties, memory.
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "runtime/hip_api.hpp"
#include "tests/support/fake_hip/properties.hpp"
#include "tests/support/fake_hip/state.hpp"

using namespace mhc::fake_hip;
using mhc::runtime::hip::api;

namespace {

struct error_texts {
    int error;
    const char *name, *text;
};
constexpr error_texts errors[] = {
    {success, "hipSuccess", "no error"},
    {invalid_value, "hipErrorInvalidValue", "invalid argument"},
    {out_of_memory, "hipErrorOutOfMemory", "out of memory"},
    {invalid_configuration, "hipErrorInvalidConfiguration", "invalid configuration argument"},
    {insufficient_driver, "hipErrorInsufficientDriver", "driver version is insufficient for runtime version"},
    {no_device, "hipErrorNoDevice", "no ROCm-capable device is detected"},
    {invalid_device, "hipErrorInvalidDevice", "invalid device ordinal"},
    {invalid_image, "hipErrorInvalidImage", "device kernel image is invalid"},
    {no_binary_for_gpu, "hipErrorNoBinaryForGpu", "no kernel image is available for execution on the device"},
    {invalid_handle, "hipErrorInvalidHandle", "invalid resource handle"},
    {not_found, "hipErrorNotFound", "named symbol not found"},
    {illegal_address, "hipErrorIllegalAddress", "an illegal memory access was encountered"},
    {launch_failure, "hipErrorLaunchFailure", "unspecified launch failure"},
    {capture_unsupported, "hipErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {capture_unmatched, "hipErrorStreamCaptureUnmatched", "capture was not initiated in this stream"},
    {capture_wrong_thread, "hipErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {unknown, "hipErrorUnknown", "unknown error"},
};

const error_texts& texts_of(int error)
{
    for (const error_texts& one : errors)
        if (one.error == error) return one;
    return errors[std::size(errors) - 1];
}

template <std::size_t Size>
void write_text(char (&to)[Size], const std::string& text)
{
    std::memset(to, 0, Size);
    std::memcpy(to, text.data(), std::min(text.size(), Size - 1));
}

/// What is not named here has a value that no text begins with.
template <class Properties>
int fill_properties(const char* name, void* into, int device)
{
    return entry(name, [&](state& s, call& made) -> int {
        if (into == nullptr) return invalid_value;
        if (device < 0 || device >= s.devices) return refuse(made, invalid_device, "there is no such device");
        Properties filled;
        std::memset(&filled, 0xA5, sizeof filled);
        const std::string kind = executor() == nullptr ? "Fake" : "Emulated";
        write_text(filled.name, kind + " Instinct " + std::to_string(device));
        write_text(filled.arch_name, s.arch);
        if (s.compute_units > 0) filled.processors = s.compute_units;
        std::memcpy(into, &filled, sizeof filled);
        return success;
    });
}

/// Null: there is not that much.
void* allocate(std::size_t bytes)
{
    constexpr std::size_t alignment = 256;
    if (bytes > std::size_t{1} << 40) return nullptr;
    if (executor() != nullptr) {
        const auto memory = executor()->allocate(bytes);
        return memory ? *memory : nullptr;
    }
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void release(void* memory)
{
    if (executor() != nullptr)
        executor()->release(memory);
    else
        std::free(memory);
}

/// What a thread that captures must not call.
int not_captured(const state& s, call& made)
{
    return s.thread_captures() ? refuse(made, capture_unsupported, "this thread captures a stream") : success;
}

}  // namespace

FAKE_HIP_EXPORT const char* hipGetErrorName(int error) { return texts_of(error).name; }
FAKE_HIP_EXPORT const char* hipGetErrorString(int error) { return texts_of(error).text; }

FAKE_HIP_EXPORT int hipRuntimeGetVersion(int* version)
{
    return entry("hipRuntimeGetVersion", [&](state& s, call&) {
        *version = s.version;
        return success;
    });
}

FAKE_HIP_EXPORT int hipGetDeviceCount(int* count)
{
    return entry("hipGetDeviceCount", [&](state& s, call&) {
        *count = s.devices;
        return s.devices == 0 ? no_device : success;
    });
}

FAKE_HIP_EXPORT int hipGetDevice(int* device)
{
    return entry("hipGetDevice", [&](state& s, call&) {
        *device = current_device();
        return s.devices == 0 ? invalid_device : success;
    });
}

FAKE_HIP_EXPORT int hipSetDevice(int device)
{
    return entry("hipSetDevice", [&](state& s, call&) {
        if (device < 0 || device >= s.devices) return invalid_device;
        current_device() = device;
        return success;
    });
}

FAKE_HIP_EXPORT int hipGetDeviceProperties(void* into, int device)
{
    return fill_properties<properties_r0000>("hipGetDeviceProperties", into, device);
}

FAKE_HIP_EXPORT int hipGetDevicePropertiesR0600(void* into, int device)
{
    return fill_properties<properties_r0600>("hipGetDevicePropertiesR0600", into, device);
}

FAKE_HIP_EXPORT int hipMalloc(void** into, std::size_t bytes)
{
    return entry("hipMalloc", [&](state& s, call& made) -> int {
        if (const int error = not_captured(s, made); error != success) return error;
        *into = nullptr;
        if (bytes == 0) return success;
        void* const memory = allocate(bytes);
        if (memory == nullptr) return out_of_memory;
        s.memory[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, current_device()};
        *into = memory;
        made.pointer = memory;
        made.bytes = bytes;
        return success;
    });
}

FAKE_HIP_EXPORT int hipFree(void* memory)
{
    return entry("hipFree", [&](state& s, call& made) -> int {
        made.pointer = memory;
        if (const int error = not_captured(s, made); error != success) return error;
        if (memory == nullptr) return success;
        if (s.memory.erase(reinterpret_cast<std::uintptr_t>(memory)) == 0)
            return refuse(made, invalid_value, "nothing was allocated there");
        release(memory);
        return success;
    });
}

FAKE_HIP_EXPORT int hipMemcpy(void* to, const void* from, std::size_t bytes, int kind)
{
    return entry("hipMemcpy", [&](state& s, call& made) -> int {
        made.pointer = to;
        made.bytes = bytes;
        if (const int error = not_captured(s, made); error != success) return error;
        if (kind != mhc::runtime::hip::memcpy_host_to_device && kind != mhc::runtime::hip::memcpy_device_to_host)
            return refuse(made, invalid_value, "no copy that the library makes");
        const bool is_upload = kind == mhc::runtime::hip::memcpy_host_to_device;
        if (!s.is_allocated(is_upload ? to : from, bytes))
            return refuse(made, invalid_value, "the device's side is not, or not wholly, in one allocation");
        if (s.is_allocated(is_upload ? from : to, 1))
            return refuse(made, invalid_value, "the process's side is the device's memory");
        std::memcpy(to, from, bytes);
        return success;
    });
}

// The types that the library calls them by.
static_assert(std::is_same_v<decltype(&hipGetErrorName), decltype(api::get_error_name)>);
static_assert(std::is_same_v<decltype(&hipGetErrorString), decltype(api::get_error_string)>);
static_assert(std::is_same_v<decltype(&hipRuntimeGetVersion), decltype(api::runtime_get_version)>);
static_assert(std::is_same_v<decltype(&hipGetDeviceCount), decltype(api::get_device_count)>);
static_assert(std::is_same_v<decltype(&hipGetDevice), decltype(api::get_device)>);
static_assert(std::is_same_v<decltype(&hipSetDevice), decltype(api::set_device)>);
static_assert(std::is_same_v<decltype(&hipGetDeviceProperties), decltype(api::get_device_properties)>);
static_assert(std::is_same_v<decltype(&hipGetDevicePropertiesR0600), decltype(api::get_device_properties)>);
static_assert(std::is_same_v<decltype(&hipMalloc), decltype(api::malloc)>);
static_assert(std::is_same_v<decltype(&hipFree), decltype(api::free)>);
static_assert(std::is_same_v<decltype(&hipMemcpy), decltype(api::memcpy)>);
