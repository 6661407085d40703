// tests/fake_hip/hip_header_test.cpp -- runtime/hip_api.hpp against HIP's own header, by whatever version is installed.
//
// The types differ by name (our handles are void*, our enumerations int), so each is compared by what a call passes.
#include <doctest/doctest.h>
#include <hip/hip_runtime_api.h>

#include <cstddef>
#include <type_traits>

#include "runtime/hip_api.hpp"
#include "tests/support/call_types.hpp"

namespace {

namespace hip = mhc::runtime::hip;
using mhc::testing::is_called_alike;

// The comparison itself can tell.
static_assert(is_called_alike<int (*)(void**, int), hipError_t (*)(hipStream_t*, hipMemcpyKind)>::value);
static_assert(!is_called_alike<int (*)(void*), hipError_t (*)(hipStream_t*)>::value);
static_assert(!is_called_alike<int (*)(int*), hipError_t (*)(hipStream_t)>::value);
static_assert(!is_called_alike<int (*)(void*), hipError_t (*)(hipStream_t, unsigned)>::value);
static_assert(!is_called_alike<int (*)(void*), hipError_t (*)(std::size_t)>::value);
static_assert(!is_called_alike<int (*)(int), hipError_t (*)(std::size_t)>::value);
static_assert(!is_called_alike<int (*)(int), hipError_t (*)(float)>::value);
static_assert(!is_called_alike<int (*)(float*), hipError_t (*)(double*)>::value);

/// The header's function of exactly this type; picks it among C++ overloads, and does not compile if it changes.
template <class Function>
constexpr Function* of_type(Function* f)
{
    return f;
}

#define CHECK_DECLARATION(member, name) \
    CHECK_MESSAGE((is_called_alike<decltype(hip::api::member), decltype(&::name)>::value), #name)

}  // namespace

TEST_CASE("HIP header: functions are called as it declares them")
{
    CHECK_DECLARATION(get_error_name, hipGetErrorName);
    CHECK_DECLARATION(get_error_string, hipGetErrorString);
    CHECK_DECLARATION(runtime_get_version, hipRuntimeGetVersion);
    CHECK_DECLARATION(get_device_count, hipGetDeviceCount);
    CHECK_DECLARATION(get_device, hipGetDevice);
    CHECK_DECLARATION(set_device, hipSetDevice);
    CHECK_DECLARATION(get_device_properties, hipGetDeviceProperties);
    CHECK(is_called_alike<decltype(hip::api::malloc),
                          decltype(of_type<hipError_t(void**, std::size_t)>(&::hipMalloc))>::value);
    CHECK_DECLARATION(free, hipFree);
    CHECK_DECLARATION(memcpy, hipMemcpy);
    CHECK_DECLARATION(memset_d32_async, hipMemsetD32Async);
    CHECK_DECLARATION(stream_create_with_flags, hipStreamCreateWithFlags);
    CHECK_DECLARATION(stream_destroy, hipStreamDestroy);
    CHECK_DECLARATION(stream_synchronize, hipStreamSynchronize);
    CHECK_DECLARATION(event_create, hipEventCreate);
    CHECK_DECLARATION(event_destroy, hipEventDestroy);
    CHECK_DECLARATION(event_record, hipEventRecord);
    CHECK_DECLARATION(event_synchronize, hipEventSynchronize);
    CHECK_DECLARATION(event_elapsed_time, hipEventElapsedTime);
    CHECK_DECLARATION(module_load_data, hipModuleLoadData);
    CHECK_DECLARATION(module_unload, hipModuleUnload);
    CHECK_DECLARATION(module_get_function, hipModuleGetFunction);
    CHECK_DECLARATION(module_launch_kernel, hipModuleLaunchKernel);
    CHECK_DECLARATION(stream_begin_capture, hipStreamBeginCapture);
    CHECK_DECLARATION(stream_end_capture, hipStreamEndCapture);
    CHECK_DECLARATION(graph_instantiate, hipGraphInstantiate);
    CHECK_DECLARATION(graph_launch, hipGraphLaunch);
    CHECK_DECLARATION(graph_destroy, hipGraphDestroy);
    CHECK_DECLARATION(graph_exec_destroy, hipGraphExecDestroy);
}

TEST_CASE("HIP header: constants and enumerators have its values")
{
    CHECK(hip::success == hipSuccess);
    CHECK(hip::error_out_of_memory == hipErrorOutOfMemory);
    CHECK(hip::error_insufficient_driver == hipErrorInsufficientDriver);
    CHECK(hip::error_no_device == hipErrorNoDevice);
    CHECK(hip::error_invalid_device == hipErrorInvalidDevice);
    CHECK(hip::error_invalid_image == hipErrorInvalidImage);
    CHECK(hip::error_no_binary_for_gpu == hipErrorNoBinaryForGpu);
    CHECK(hip::error_not_found == hipErrorNotFound);
    CHECK(hip::error_illegal_address == hipErrorIllegalAddress);
    CHECK(hip::error_launch_failure == hipErrorLaunchFailure);
    CHECK(hip::error_stream_capture_unsupported == hipErrorStreamCaptureUnsupported);
    CHECK(hip::memcpy_host_to_device == hipMemcpyHostToDevice);
    CHECK(hip::memcpy_device_to_host == hipMemcpyDeviceToHost);
    CHECK(hip::stream_non_blocking == hipStreamNonBlocking);
    CHECK(hip::capture_mode_thread_local == hipStreamCaptureModeThreadLocal);
    CHECK(reinterpret_cast<void*>(hip::launch_param_buffer_pointer) == HIP_LAUNCH_PARAM_BUFFER_POINTER);
    CHECK(reinterpret_cast<void*>(hip::launch_param_buffer_size) == HIP_LAUNCH_PARAM_BUFFER_SIZE);
    CHECK(reinterpret_cast<void*>(hip::launch_param_end) == HIP_LAUNCH_PARAM_END);
}

TEST_CASE("HIP header: what is read of device properties lies where it has them")
{
    const hip::properties_layout& layout = HIP_VERSION_MAJOR < 6 ? hip::properties_r0000 : hip::properties_r0600;
    CHECK(layout.name == offsetof(hipDeviceProp_t, name));
    CHECK(layout.compute_units == offsetof(hipDeviceProp_t, multiProcessorCount));
    CHECK(layout.arch_name == offsetof(hipDeviceProp_t, gcnArchName));
    CHECK(layout.size == sizeof(hipDeviceProp_t));
    CHECK(hip::properties_text_bytes == sizeof(hipDeviceProp_t::name));
    CHECK(hip::properties_text_bytes == sizeof(hipDeviceProp_t::gcnArchName));
    MESSAGE("compared with HIP " << HIP_VERSION_MAJOR << "." << HIP_VERSION_MINOR);
}
