// tests/support/fake_hip/properties.hpp -- hipDeviceProp_t as HIP 5 and as HIP 6 and 7 lay it out, with members of one type
// that stand together as one array.
#pragma once

#include <cstddef>

namespace mhc::fake_hip {

/// What hipGetDeviceProperties fills, in every version.
struct properties_r0000 {
    char name[256];
    std::size_t memory, lds;
    int registers, wave, block_max, block_dimensions_max[3], grid_max[3];
    int clocks_and_bus[3];
    std::size_t constant_memory;
    int major, minor, processors, l2_bytes, lanes_max, compute_mode, timer_khz;
    unsigned features;
    int concurrent_kernels, pci[3];
    std::size_t lds_of_processor;
    int is_multi_gpu_board, can_map_host_memory, arch_number;
    char arch_name[256];
    int integrated, cooperative[2], texture_limits[7];
    unsigned* flush_registers[2];
    std::size_t pitch_max, texture_alignments[2];
    int has_timeout, has_ecc, is_tcc, cooperative_unmatched[4], has_large_bar, revision, memory_models[5];
};

/// What hipGetDevicePropertiesR0600 fills.
struct properties_r0600 {
    char name[256];
    char uuid[16], luid[8];
    unsigned luid_mask;
    std::size_t memory, lds;
    int registers, wave;
    std::size_t pitch_max;
    int block_max, block_dimensions_max[3], grid_max[3], clock;
    std::size_t constant_memory;
    int major, minor;
    std::size_t texture_alignments[2];
    int has_overlap, processors, has_timeout, integrated, can_map_host_memory, compute_mode;
    int texture_and_surface_limits[40];
    std::size_t surface_alignment;
    int concurrent_kernels, has_ecc, pci[3], is_tcc, copy_engines, unified, memory_clock, memory_bus, l2_bytes;
    int persisting_l2_bytes, lanes_max, has_priorities, l1_cached[2];
    std::size_t lds_of_processor;
    int registers_of_processor, memory_models[9], cooperative[2];
    std::size_t lds_opt_in;
    int more_memory_models[2], groups_max, access_policy_max;
    std::size_t lds_reserved;
    int host_registers[3], semaphores, pools, rdma[3], pool_handles, deferred_mapping, has_ipc_events, has_clusters;
    int has_unified_functions, cuda_reserved[63], hip_reserved[32];
    char arch_name[256];
    std::size_t lds_of_processor_hip;
    int timer_khz;
    unsigned features;
    unsigned* flush_registers[2];
    int cooperative_unmatched[4], has_large_bar, revision;
};

}  // namespace mhc::fake_hip
