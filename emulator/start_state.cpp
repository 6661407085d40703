// emulator/start_state.cpp -- LLVM's AMDGPUUsage, "Initial Kernel Execution State" and "Kernel Argument Segment".
#include "emulator/start_state.hpp"

#include <algorithm>
#include <cstring>

namespace mhc::emulator {
namespace {

/// The value of a hidden argument in a launch of one dimension; 0 for those that have no meaning here.
u64 hidden_value(std::string_view kind, const launch_request& of)
{
    if (kind == "hidden_block_count_x") return static_cast<u64>(of.groups);
    if (kind == "hidden_group_size_x") return static_cast<u64>(of.block);
    if (kind == "hidden_block_count_y" || kind == "hidden_block_count_z") return 1;
    if (kind == "hidden_group_size_y" || kind == "hidden_group_size_z") return 1;
    if (kind == "hidden_grid_dims") return 1;
    return 0;
}

}  // namespace

argument_block::argument_block(const launch_request& of)
{
    constexpr u64 alignment = 64, granule = 16;
    const u64 wanted = std::max<u64>(of.kernel->argument_bytes, of.argument_bytes);
    bytes_ = (wanted + granule - 1) / granule * granule;
    memory_.assign(static_cast<std::size_t>(bytes_ + alignment), 0);
    address_ = (reinterpret_cast<std::uintptr_t>(memory_.data()) + alignment - 1) / alignment * alignment;
    u8* const block = memory_.data() + (address_ - reinterpret_cast<std::uintptr_t>(memory_.data()));
    if (of.argument_bytes != 0) std::memcpy(block, of.arguments, of.argument_bytes);
    for (const runtime::metadata_argument& each : of.kernel->arguments) {
        const u64 value = hidden_value(each.value_kind, of);
        if (!each.value_kind.starts_with("hidden_") || u64{each.offset} + each.size > bytes_) continue;
        std::memcpy(block + each.offset, &value, std::min<std::size_t>(each.size, sizeof(value)));
    }
}

void start(wave& w, const launch_request& of, u64 arguments)
{
    const kernel_entry& kernel = *of.kernel;
    const bool is_gfx12 = of.image->processor.starts_with("gfx12");
    for (u32 i = 0; i < scalar::count; ++i) w.s[i] = unwritten;
    w.s[scalar::null] = 0;

    u32 next = 0;
    const auto give = [&](u32 value) { w.s[next++] = value; };
    const auto give_pair = [&](u64 value) { give(static_cast<u32>(value)), give(static_cast<u32>(value >> 32)); };
    if (kernel.has_private_buffer) next += 4;
    if (kernel.has_dispatch_ptr) give_pair(0);
    if (kernel.has_queue_ptr) give_pair(0);
    if (kernel.has_argument_ptr) give_pair(arguments);
    if (kernel.has_dispatch_id) give_pair(0);
    if (kernel.has_scratch_init) give_pair(0);
    if (kernel.has_private_size) give(kernel.scratch_bytes);
    for (u32 i = 0; i < kernel.preload_count; ++i) {
        u32 word = 0;
        std::memcpy(
            &word,
            reinterpret_cast<const u8*>(static_cast<std::uintptr_t>(arguments)) + (kernel.preload_offset + i) * sizeof(u32),
            sizeof(word));
        give(word);
    }
    next = std::max(next, kernel.user_scalars);
    if (is_gfx12) {  // work-group numbers come in trap temporaries
        w.s[scalar::trap_temporary + 9] = w.group->number;
        w.s[scalar::trap_temporary + 7] = 0;
    } else {
        if (kernel.has_group_x) give(w.group->number);
        if (kernel.has_group_y) give(0);
        if (kernel.has_group_z) give(0);
        if (kernel.has_group_info) give(0);
    }

    const u32 first = w.number * w.lanes, left = static_cast<u32>(of.block) - first;
    const u64 mask = left >= w.lanes ? w.all_lanes() : (u64{1} << left) - 1;
    w.s[scalar::exec] = static_cast<u32>(mask);
    w.s[scalar::exec + 1] = static_cast<u32>(mask >> 32);
    w.spread_exec();
    // Packed from gfx90a on: x in bits 0 to 9, y and z, which are 0, above.
    for (u32 lane = 0; lane < w.lanes; ++lane) w.vector(0)[lane] = first + lane;

    const auto mode = [](u32 bits) { return denormals{(bits & 1U) != 0, (bits & 2U) != 0}; };
    w.single = mode(kernel.denormals_single);
    w.half_and_double = mode(kernel.denormals_half);
}

}  // namespace mhc::emulator
