// emulator/start_state.cpp -- LLVM's AMDGPUUsage, "Initial Kernel Execution State" and "Kernel Argument Segment".
#include "emulator/start_state.hpp"

#include <algorithm>
#include <cstring>

namespace mhc::emulator {
namespace {

/// The value of a hidden argument, work-groups having one dimension; 0 for those that have no meaning here.
u64 hidden_value(std::string_view kind, const launch_request& of)
{
    if (kind == "hidden_block_count_x") return static_cast<u64>(of.groups);
    if (kind == "hidden_group_size_x") return static_cast<u64>(of.block);
    if (kind == "hidden_block_count_y") return of.groups_y;
    if (kind == "hidden_block_count_z") return of.groups_z;
    if (kind == "hidden_group_size_y" || kind == "hidden_group_size_z") return 1;
    if (kind == "hidden_dynamic_lds_size") return of.lds_bytes;
    if (kind == "hidden_grid_dims") return of.groups_z > 1 ? 3 : of.groups_y > 1 ? 2 : 1;
    return 0;
}

/// An hsa_kernel_dispatch_packet_t: kernels of code object version 4 find the work-group's size there.
void write_packet(u8* to, const launch_request& of, u64 arguments)
{
    const auto put = [&](std::size_t at, auto value) { std::memcpy(to + at, &value, sizeof(value)); };
    constexpr u16 one = 1;
    put(0, u16{2});  // a kernel's
    put(2, static_cast<u16>(hidden_value("hidden_grid_dims", of)));
    put(4, static_cast<u16>(of.block));
    put(6, one);
    put(8, one);
    put(12, static_cast<u32>(of.groups * of.block));
    put(16, of.groups_y);
    put(20, of.groups_z);
    put(24, of.kernel->scratch_bytes);
    put(28, of.all_lds_bytes());
    put(40, arguments);
}

}  // namespace

argument_block::argument_block(const launch_request& of)
{
    constexpr u64 alignment = 64, granule = 16, gap = 256;
    const u64 wanted = std::max<u64>(of.kernel->argument_bytes, of.argument_bytes);
    bytes_ = (wanted + granule - 1) / granule * granule;
    const u64 packet = (bytes_ + gap + alignment - 1) / alignment * alignment;
    memory_.assign(static_cast<std::size_t>(packet + packet_bytes + alignment), 0);
    address_ = (reinterpret_cast<std::uintptr_t>(memory_.data()) + alignment - 1) / alignment * alignment;
    packet_address_ = address_ + packet;
    u8* const block = memory_.data() + (address_ - reinterpret_cast<std::uintptr_t>(memory_.data()));
    if (of.argument_bytes != 0) std::memcpy(block, of.arguments, of.argument_bytes);
    for (const runtime::metadata_argument& each : of.kernel->arguments) {
        const u64 value = hidden_value(each.value_kind, of);
        if (!each.value_kind.starts_with("hidden_") || u64{each.offset} + each.size > bytes_) continue;
        std::memcpy(block + each.offset, &value, std::min<std::size_t>(each.size, sizeof(value)));
    }
    write_packet(block + packet, of, address_);
}

scalar_set start(wave& w, const launch_request& of, const argument_block& block)
{
    const kernel_entry& kernel = *of.kernel;
    const bool is_gfx12 = of.image->processor.starts_with("gfx12");
    for (u32 i = 0; i < scalar::count; ++i) w.s[i] = unwritten;
    w.s[scalar::null] = 0;

    scalar_set given;
    u32 next = 0;
    const auto put = [&](u32 index, u32 value) {
        w.s[index] = value;
        given.add(index);
    };
    const auto give = [&](u32 value) { put(next++, value); };
    const auto give_pair = [&](u64 value) { give(static_cast<u32>(value)), give(static_cast<u32>(value >> 32)); };
    if (kernel.has_private_buffer) {  // addressed by lane, swizzled; the kernel adds its wave's offset
        give(static_cast<u32>(w.group->scratch));
        give(static_cast<u32>(w.group->scratch >> 32) | 1U << 31);
        give(~0U);
        give(0x00E00000U);
    }
    if (kernel.has_dispatch_ptr) give_pair(block.packet_address());
    if (kernel.has_queue_ptr) give_pair(0);  // what reads the queue is told that there is no memory
    if (kernel.has_argument_ptr) give_pair(block.address());
    if (kernel.has_dispatch_id) give_pair(0);
    if (kernel.has_scratch_init) give_pair(w.group->scratch);
    if (kernel.has_private_size) give(kernel.scratch_bytes);
    const auto* const arguments = reinterpret_cast<const u8*>(static_cast<std::uintptr_t>(block.address()));
    for (u32 i = 0; i < kernel.preload_count; ++i) {
        u32 word = 0;
        const u64 offset = (u64{kernel.preload_offset} + i) * sizeof(u32);
        if (offset + sizeof(u32) <= block.bytes()) std::memcpy(&word, arguments + offset, sizeof(word));
        give(word);
    }
    next = std::max(next, kernel.user_scalars);
    const auto along_x = static_cast<u32>(of.groups);
    const u32 x = w.group->number % along_x, y = w.group->number / along_x % of.groups_y,
              z = w.group->number / along_x / of.groups_y;
    if (is_gfx12) {  // work-group numbers come in trap temporaries, and the wave's
        put(scalar::trap_temporary + 9, x);
        put(scalar::trap_temporary + 7, y | z << 16);
        put(scalar::trap_temporary + 8, w.number << 25);
    } else {
        if (kernel.has_group_x) give(x);
        if (kernel.has_group_y) give(y);
        if (kernel.has_group_z) give(z);
        if (kernel.has_group_info) give(0);
    }
    const bool wants_offset = kernel.has_scratch_offset && !w.group->has_architected_scratch;
    if (wants_offset) give(w.number * w.scratch_bytes * w.lanes);

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
    for (const u32 each : {u32{scalar::null}, u32{scalar::exec}, u32{scalar::exec} + 1}) given.add(each);
    return given;
}

}  // namespace mhc::emulator
