// emulator/code_image.hpp -- a code object as the HSA loader leaves it in memory, and its kernels.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>

#include "emulator/effects.hpp"
#include "emulator/operation.hpp"
#include "runtime/code_object.hpp"

namespace mhc::emulator {

/// A kernel descriptor, decoded (LLVM's AMDGPUUsage, "Kernel Descriptor").
struct kernel_entry {
    std::string name;
    u32 first = 0;  ///< number of its first operation
    u32 lds_bytes = 0, scratch_bytes = 0, argument_bytes = 0;
    u32 wave_size = 64, workgroup_max = 1024;
    u32 user_scalars = 0;
    bool has_private_buffer = false, has_dispatch_ptr = false, has_queue_ptr = false, has_argument_ptr = false,
         has_dispatch_id = false, has_scratch_init = false, has_private_size = false, has_scratch_offset = false;
    u32 preload_offset = 0, preload_count = 0;  ///< words of the arguments that come in scalars
    bool has_group_x = false, has_group_y = false, has_group_z = false, has_group_info = false;
    u32 work_item_dimensions = 1;
    u32 denormals_single = 3, denormals_half = 3;  ///< as the mode register has them
    std::vector<runtime::metadata_argument> arguments;
};

/// A part of the object that a kernel may read, and perhaps write: its code, constants, variables.
struct image_segment {
    u64 offset = 0, size = 0;
    bool is_writable = false;
};

struct code_image {
    std::string processor;
    std::vector<u8> storage;  ///< the segments; aligned by `base`
    u64 base = 0;             ///< where address 0 of the object is
    u64 size = 0;
    std::vector<image_segment> segments;
    std::unique_ptr<program> code;
    std::vector<effects> code_effects;  ///< of its operations
    std::vector<kernel_entry> kernels;

    const kernel_entry* find(std::string_view name) const;
};

/// Errors: load_failed.
jit::result<std::unique_ptr<code_image>> load_image(std::string_view elf, std::string_view processor);

}  // namespace mhc::emulator
