// emulator/launch.hpp -- runs a kernel: its argument block, its work-groups on several threads, its waves in turn.
#pragma once

#include <cstddef>

#include <mhc/jit/result.hpp>

#include "emulator/code_image.hpp"
#include "emulator/counter.hpp"
#include "emulator/memory_map.hpp"
#include "runtime/thread_pool.hpp"

namespace mhc::emulator {

struct launch_request {
    const code_image* image = nullptr;
    const kernel_entry* kernel = nullptr;
    i64 groups = 1;                  ///< along x
    u32 groups_y = 1, groups_z = 1;  ///< numbers along x go up first
    i32 block = 1;
    const void* arguments = nullptr;
    std::size_t argument_bytes = 0;
    u64 instructions_max = 0;             ///< of one work-group, in wave instructions
    u32 lds_bytes = 0;                    ///< of a work-group, behind what the kernel declares
    const processor_facts* on = nullptr;  ///< null: the product that the image's processor is counted for
    bool checks_all = true;               ///< false: only bounds; see README.md
    launch_record* record = nullptr;      ///< where what is executed is counted; null: nowhere

    u32 all_lds_bytes() const { return kernel->lds_bytes + lds_bytes; }
    i64 all_groups() const { return groups * groups_y * groups_z; }
};

/// What a launch did.
struct launch_counts {
    u64 instructions = 0;  ///< executed by waves
};

/// Returns when the kernel is done. Errors: launch_failed, naming kernel, work-group, wave and instruction.
jit::result<launch_counts> launch(const launch_request& what, memory_map memory, runtime::thread_pool& threads);

}  // namespace mhc::emulator
