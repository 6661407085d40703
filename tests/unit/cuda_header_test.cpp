// tests/unit/cuda_header_test.cpp -- runtime/cuda_api.hpp against the CUDA driver's own header, by whatever version is here.
#include <cuda.h>
#include <doctest/doctest.h>

#include "runtime/cuda_api.hpp"
#include "tests/support/call_types.hpp"

namespace {

namespace cuda = mhc::runtime::cuda;
using mhc::testing::is_called_alike;

// cuda.h renames functions to their newest versions by macros; what is loaded with dlsym is named as in cuda_api.hpp. Those
// with a suffix there are checked by the name the macro gives.
#define CHECK_DECLARATION(member, name) \
    CHECK_MESSAGE((is_called_alike<decltype(cuda::functions::member), decltype(&::name)>::value), #name)

}  // namespace

TEST_CASE("CUDA header: functions are called as it declares them")
{
    CHECK_DECLARATION(cuInit, cuInit);
    CHECK_DECLARATION(cuDriverGetVersion, cuDriverGetVersion);
    CHECK_DECLARATION(cuDeviceGetCount, cuDeviceGetCount);
    CHECK_DECLARATION(cuDeviceGet, cuDeviceGet);
    CHECK_DECLARATION(cuDeviceGetName, cuDeviceGetName);
    CHECK_DECLARATION(cuDeviceGetAttribute, cuDeviceGetAttribute);
    CHECK_DECLARATION(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain);
    CHECK_DECLARATION(cuCtxGetCurrent, cuCtxGetCurrent);
    CHECK_DECLARATION(cuCtxGetDevice, cuCtxGetDevice);
    CHECK_DECLARATION(cuCtxPushCurrent_v2, cuCtxPushCurrent);
    CHECK_DECLARATION(cuCtxPopCurrent_v2, cuCtxPopCurrent);
    CHECK_DECLARATION(cuModuleLoadData, cuModuleLoadData);
    CHECK_DECLARATION(cuModuleUnload, cuModuleUnload);
    CHECK_DECLARATION(cuModuleGetFunction, cuModuleGetFunction);
    CHECK_DECLARATION(cuFuncGetAttribute, cuFuncGetAttribute);
    CHECK_DECLARATION(cuFuncSetAttribute, cuFuncSetAttribute);
    CHECK_DECLARATION(cuLaunchKernel, cuLaunchKernel);
    CHECK_DECLARATION(cuMemAlloc_v2, cuMemAlloc);
    CHECK_DECLARATION(cuMemFree_v2, cuMemFree);
    CHECK_DECLARATION(cuMemcpyHtoD_v2, cuMemcpyHtoD);
    CHECK_DECLARATION(cuMemcpyDtoH_v2, cuMemcpyDtoH);
    CHECK_DECLARATION(cuMemsetD32Async, cuMemsetD32Async);
    CHECK_DECLARATION(cuStreamCreate, cuStreamCreate);
    CHECK_DECLARATION(cuStreamDestroy_v2, cuStreamDestroy);
    CHECK_DECLARATION(cuStreamSynchronize, cuStreamSynchronize);
    CHECK_DECLARATION(cuStreamBeginCapture_v2, cuStreamBeginCapture);
    CHECK_DECLARATION(cuStreamEndCapture, cuStreamEndCapture);
    CHECK_DECLARATION(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags);
    CHECK_DECLARATION(cuGraphDestroy, cuGraphDestroy);
    CHECK_DECLARATION(cuGraphLaunch, cuGraphLaunch);
    CHECK_DECLARATION(cuGraphExecDestroy, cuGraphExecDestroy);
    CHECK_DECLARATION(cuEventCreate, cuEventCreate);
    CHECK_DECLARATION(cuEventDestroy_v2, cuEventDestroy);
    CHECK_DECLARATION(cuEventRecord, cuEventRecord);
    CHECK_DECLARATION(cuEventSynchronize, cuEventSynchronize);
    CHECK_DECLARATION(cuEventElapsedTime, cuEventElapsedTime);
    CHECK_DECLARATION(cuGetErrorName, cuGetErrorName);
    CHECK_DECLARATION(cuGetErrorString, cuGetErrorString);
}

TEST_CASE("CUDA header: constants have its values")
{
    CHECK(cuda::attribute_major == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    CHECK(cuda::attribute_minor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    CHECK(cuda::function_registers == CU_FUNC_ATTRIBUTE_NUM_REGS);
    CHECK(cuda::stream_non_blocking == CU_STREAM_NON_BLOCKING);
    CHECK(cuda::capture_thread_local == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    CHECK(cuda::launch_end == CU_LAUNCH_PARAM_END);
    CHECK(cuda::launch_buffer == CU_LAUNCH_PARAM_BUFFER_POINTER);
    CHECK(cuda::launch_buffer_size == CU_LAUNCH_PARAM_BUFFER_SIZE);
    CHECK(sizeof(cuda::address) == sizeof(CUdeviceptr));
}
