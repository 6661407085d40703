// runtime/hip_api.hpp -- what is used of the HIP runtime: declarations of our own, so that no part of HIP is needed to
// build.
//
// tests/fake_hip/declarations_test.cpp compares them with HIP's own header where one is installed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <mhc/jit/result.hpp>

namespace mhc::runtime::hip {

// Handles (hipStream_t, hipModule_t, hipFunction_t, hipEvent_t, hipGraph_t, hipGraphExec_t) are pointers to types that
// only the runtime knows; hipError_t, hipMemcpyKind and hipStreamCaptureMode are enumerations as wide as an int.
using status = int;

inline constexpr status success = 0;
inline constexpr status error_out_of_memory = 2;
inline constexpr status error_insufficient_driver = 35;
inline constexpr status error_no_device = 100;
inline constexpr status error_invalid_device = 101;
inline constexpr status error_invalid_image = 200;
inline constexpr status error_no_binary_for_gpu = 209;
inline constexpr status error_not_found = 500;
inline constexpr status error_illegal_address = 700;
inline constexpr status error_launch_failure = 719;
inline constexpr status error_stream_capture_unsupported = 900;

inline constexpr int memcpy_host_to_device = 1;
inline constexpr int memcpy_device_to_host = 2;
inline constexpr unsigned stream_non_blocking = 1;
/// Only the capturing thread is kept from calls that a capture forbids.
inline constexpr int capture_mode_thread_local = 1;

// How `extra` of hipModuleLaunchKernel names its parts.
inline constexpr std::uintptr_t launch_param_buffer_pointer = 1;
inline constexpr std::uintptr_t launch_param_buffer_size = 2;
inline constexpr std::uintptr_t launch_param_end = 3;

/// Where what is read lies in hipDeviceProp_t, which HIP 6 laid out anew under a function of another name. Both texts are
/// 256 bytes long; the number of compute units, multiProcessorCount, is an int.
struct properties_layout {
    std::size_t name, compute_units, arch_name, size;
};
inline constexpr properties_layout properties_r0000{0, 336, 396, 792};    // hipGetDeviceProperties: HIP 5
inline constexpr properties_layout properties_r0600{0, 388, 1160, 1472};  // hipGetDevicePropertiesR0600: HIP 6 and 7
inline constexpr std::size_t properties_text_bytes = 256;

/// The runtime's functions. What stands behind `// optional` may be null.
struct api {
    std::string path;                               ///< of the library, for messages
    const properties_layout* properties = nullptr;  ///< of what `get_device_properties` fills
    const char* properties_call = nullptr;          ///< its name, for messages

    const char* (*get_error_name)(status) = nullptr;
    const char* (*get_error_string)(status) = nullptr;
    status (*runtime_get_version)(int*) = nullptr;
    status (*get_device_count)(int*) = nullptr;
    status (*get_device)(int*) = nullptr;
    status (*set_device)(int) = nullptr;
    status (*get_device_properties)(void*, int) = nullptr;

    status (*malloc)(void**, std::size_t) = nullptr;
    status (*free)(void*) = nullptr;
    status (*memcpy)(void*, const void*, std::size_t, int kind) = nullptr;
    status (*memset_d32_async)(void*, int, std::size_t, void* stream) = nullptr;

    status (*stream_create_with_flags)(void**, unsigned) = nullptr;
    status (*stream_destroy)(void*) = nullptr;
    status (*stream_synchronize)(void*) = nullptr;
    status (*event_create)(void**) = nullptr;
    status (*event_destroy)(void*) = nullptr;
    status (*event_record)(void*, void* stream) = nullptr;
    status (*event_synchronize)(void*) = nullptr;
    status (*event_elapsed_time)(float* ms, void* first, void* second) = nullptr;

    status (*module_load_data)(void**, const void* image) = nullptr;
    status (*module_unload)(void*) = nullptr;
    status (*module_get_function)(void**, void* module, const char*) = nullptr;
    status (*module_launch_kernel)(void*, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                   unsigned block_y, unsigned block_z, unsigned lds_bytes_dynamic, void* stream,
                                   void** parameters, void** extra) = nullptr;

    std::string missing_of_graphs;                              ///< the first of those below that is not there
    status (*stream_begin_capture)(void*, int mode) = nullptr;  // optional, like all that follow
    status (*stream_end_capture)(void*, void** graph) = nullptr;
    status (*graph_instantiate)(void** executable, void* graph, void** node, char* log, std::size_t) = nullptr;
    status (*graph_launch)(void* executable, void* stream) = nullptr;
    status (*graph_destroy)(void*) = nullptr;
    status (*graph_exec_destroy)(void*) = nullptr;
};

/// Opens the first of `libraries` that is there: one that the process has loaded already before any other, as a second HIP
/// runtime would know nothing of the first one's streams and memory. It stays loaded: it cannot be unloaded safely.
/// Errors: unsupported_target, saying what was tried.
jit::result<api> open_library(std::initializer_list<const char*> libraries);

/// The process's HIP runtime: libamdhip64.so.{7,6,5}, else ROCm's. Opened at the first call that finds one, then kept.
jit::result<const api*> open();

/// One line: what was called, the runtime's name and text for `error`, and what to do where that is known.
std::string describe(const api& from, std::string_view call, status error);

/// What keeps HIP from seeing a GPU, judged by the `errno` with which /dev/kfd, the driver's device, was refused; 0: opened.
std::string why_no_device(int kfd_errno);

/// "6.3.42134" of 60342134.
std::string version_text(int version);
int major_version(int version);

}  // namespace mhc::runtime::hip
