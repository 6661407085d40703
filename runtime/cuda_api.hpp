// runtime/cuda_api.hpp -- what is used of the CUDA driver: declarations of our own, so that CUDA is not needed to build.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mhc::runtime::cuda {

using status = int;                  // CUresult
using device_id = int;               // CUdevice
using handle = void*;                // CUcontext, CUmodule, CUfunction, CUstream, CUevent, CUgraph, CUgraphExec
using address = unsigned long long;  // CUdeviceptr

inline constexpr int attribute_major = 75, attribute_minor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
inline constexpr int attribute_lds_bytes = 97;                    // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
inline constexpr int attribute_multiprocessors = 16;              // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
inline constexpr int function_registers = 4;                      // CU_FUNC_ATTRIBUTE_NUM_REGS
inline constexpr int function_static_lds = 1;                     // CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
inline constexpr int function_dynamic_lds = 8;                    // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
inline constexpr unsigned stream_non_blocking = 1;                // CU_STREAM_NON_BLOCKING
inline constexpr int capture_thread_local = 1;                    // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

// cuLaunchKernel's `extra`: pairs of a name and a value.
inline void* const launch_end = nullptr;
inline void* const launch_buffer = reinterpret_cast<void*>(1);
inline void* const launch_buffer_size = reinterpret_cast<void*>(2);

inline constexpr int launch_attribute_overlap = 6;  // CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
inline constexpr int launch_attribute_cluster = 4;  // CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
inline constexpr int function_any_cluster = 14;     // CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED

// cuTensorMapEncodeTiled
inline constexpr int map_of_bf16 = 9;          // CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
inline constexpr int map_of_fp32 = 7;          // CU_TENSOR_MAP_DATA_TYPE_FLOAT32
inline constexpr int map_not_interleaved = 0;  // CU_TENSOR_MAP_INTERLEAVE_NONE
inline constexpr int map_swizzled_in_128 = 3;  // CU_TENSOR_MAP_SWIZZLE_128B
inline constexpr int map_fetches_128 = 2;      // CU_TENSOR_MAP_L2_PROMOTION_L2_128B
inline constexpr int map_zeros_outside = 0;    // CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE

/// CUlaunchAttribute: a value is 64 bytes, of which a switch takes the first four, and a cluster the first twelve.
struct launch_attribute {
    int id;
    char padding[4];
    union {
        int is_on;
        unsigned groups[3];
        char bytes[64];
    } value;
};
static_assert(sizeof(launch_attribute) == 72);

/// CUlaunchConfig
struct launch_configuration {
    unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
    handle stream;
    launch_attribute* attributes;
    unsigned attribute_count;
};
static_assert(sizeof(launch_configuration) == 56);

struct functions {
    status (*cuInit)(unsigned flags);
    status (*cuDriverGetVersion)(int* version);
    status (*cuDeviceGetCount)(int* count);
    status (*cuDeviceGet)(device_id* device, int ordinal);
    status (*cuDeviceGetName)(char* name, int length, device_id device);
    status (*cuDeviceGetAttribute)(int* value, int attribute, device_id device);
    status (*cuDevicePrimaryCtxRetain)(handle* context, device_id device);
    status (*cuCtxGetCurrent)(handle* context);
    status (*cuCtxGetDevice)(device_id* device);
    status (*cuCtxPushCurrent_v2)(handle context);
    status (*cuCtxPopCurrent_v2)(handle* context);
    status (*cuModuleLoadData)(handle* module, const void* image);
    status (*cuModuleUnload)(handle module);
    status (*cuModuleGetFunction)(handle* function, handle module, const char* name);
    status (*cuFuncGetAttribute)(int* value, int attribute, handle function);
    status (*cuFuncSetAttribute)(handle function, int attribute, int value);
    status (*cuLaunchKernel)(handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned shared_bytes, handle stream, void** parameters,
                             void** extra);
    status (*cuLaunchKernelEx)(const launch_configuration* how, handle function, void** parameters, void** extra);
    status (*cuTensorMapEncodeTiled)(void* map, int type, std::uint32_t rank, void* base, const std::uint64_t* sizes,
                                     const std::uint64_t* stride_bytes, const std::uint32_t* box, const std::uint32_t* steps,
                                     int interleave, int swizzle, int promotion, int fill);
    status (*cuMemAlloc_v2)(address* memory, std::size_t bytes);
    status (*cuMemFree_v2)(address memory);
    status (*cuMemcpyHtoD_v2)(address to, const void* from, std::size_t bytes);
    status (*cuMemcpyDtoH_v2)(void* to, address from, std::size_t bytes);
    status (*cuMemsetD32Async)(address to, unsigned word, std::size_t count, handle stream);
    status (*cuStreamCreate)(handle* stream, unsigned flags);
    status (*cuStreamDestroy_v2)(handle stream);
    status (*cuStreamSynchronize)(handle stream);
    status (*cuStreamBeginCapture_v2)(handle stream, int mode);
    status (*cuStreamEndCapture)(handle stream, handle* graph);
    status (*cuGraphInstantiateWithFlags)(handle* executable, handle graph, unsigned long long flags);
    status (*cuGraphDestroy)(handle graph);
    status (*cuGraphLaunch)(handle executable, handle stream);
    status (*cuGraphExecDestroy)(handle executable);
    status (*cuEventCreate)(handle* event, unsigned flags);
    status (*cuEventDestroy_v2)(handle event);
    status (*cuEventRecord)(handle event, handle stream);
    status (*cuEventSynchronize)(handle event);
    status (*cuEventElapsedTime)(float* milliseconds, handle first, handle second);
    status (*cuGetErrorName)(status error, const char** text);
    status (*cuGetErrorString)(status error, const char** text);
};

}  // namespace mhc::runtime::cuda
