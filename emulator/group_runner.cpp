// emulator/group_runner.cpp -- a work-group's memory, and its waves in turn.
#include "emulator/group_runner.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mhc::emulator {
namespace {

/// Instructions that a wave runs before the next one has its turn: enough that turns cost nothing, few enough that waves
/// that wait for each other in loops get on.
constexpr u64 turn = 4096;

/// A work-item's scratch memory, in whole words.
u32 scratch_bytes(const kernel_entry& kernel) { return (kernel.scratch_bytes + 3) / 4 * 4; }

}  // namespace

// Accumulation registers are above the others, where a kernel has any.
u32 vectors_of(const program& code)
{
    u32 last = 0;
    const auto look = [&](const operation& op) {
        for (const operand& each : op.to)
            if (each.kind == operand_kind::vector) last = std::max(last, u32{each.index} + each.words);
        for (const operand& each : op.from)
            if (each.kind == operand_kind::vector) last = std::max(last, u32{each.index} + each.words);
    };
    for (const operation& op : code.operations) look(op);
    for (const operation& op : code.halves) look(op);
    return std::max(last, 1U);
}

group_runner::group_runner(const group_context& in) : in_(in)
{
    const kernel_entry& kernel = *in.what.kernel;
    const u32 waves = (static_cast<u32>(in.what.block) + kernel.wave_size - 1) / kernel.wave_size;
    group_.memory = &in.memory;
    group_.code = in.what.image->code.get();
    group_.image = in.what.image->base;
    group_.waves.resize(waves);
    words_of_wave_ = std::size_t{in.vectors} * kernel.wave_size;
    registers_.resize(words_of_wave_ * waves + 16);
    prepare_scratch();
    if (in.what.checks_all) {
        checks_.emplace(group_, in.what.image->code_effects, in.vectors, kernel.wave_size, in.what.all_lds_bytes(),
                        scratch_bytes(kernel));
        group_.checks = &*checks_;
    }
    if (in.what.record == nullptr) return;
    const code_image& image = *in.what.image;
    counts_.emplace(
        *image.code, in.what.record->line_bytes,
        std::array{address_range{in.arguments.address(), kernel.argument_bytes}, address_range{image.base, image.size}},
        in.what.record->shared);
    group_.counts = &*counts_;
}
group_runner::~group_runner()
{
    if (!counts_) return;
    const std::lock_guard lock(in_.what.record->mutex);
    in_.what.record->counts += counts_->counts();
}
void group_runner::prepare_scratch()
{
    constexpr std::size_t alignment = 256;
    scratch_of_wave_ = std::size_t{scratch_bytes(*in_.what.kernel)} * in_.what.kernel->wave_size;
    scratch_.resize(scratch_of_wave_ * group_.waves.size() + alignment);
    group_.scratch = (reinterpret_cast<std::uintptr_t>(scratch_.data()) + alignment - 1) / alignment * alignment;
    group_.has_architected_scratch = in_.what.image->processor != "gfx90a";
}
void group_runner::begin(u32 number)
{
    const kernel_entry& kernel = *in_.what.kernel;
    group_.number = number;
    group_.arrived = group_.phase = 0;
    group_.alive = static_cast<u32>(group_.waves.size());
    group_.lds.assign(in_.what.all_lds_bytes(), 0xAD);
    std::fill(registers_.begin(), registers_.end(), unwritten);
    const auto begin = reinterpret_cast<std::uintptr_t>(registers_.data());
    u32* const aligned = registers_.data() + ((64 - begin % 64) % 64) / sizeof(u32);
    std::fill(scratch_.begin(), scratch_.end(), u8{0xAD});
    if (checks_) checks_->begin();
    executed_ = 0;
    at_ = nullptr;
    for (u32 i = 0; i < group_.waves.size(); ++i) {
        wave& w = group_.waves[i];
        w = wave();
        w.v = aligned + words_of_wave_ * i;
        w.lanes = kernel.wave_size;
        w.vector_count = in_.vectors;
        w.number = i;
        w.next = kernel.first;
        w.group = &group_;
        w.halves = group_.code->halves.data();
        w.scratch = reinterpret_cast<u8*>(static_cast<std::uintptr_t>(group_.scratch)) + scratch_of_wave_ * i;
        w.scratch_bytes = scratch_bytes(kernel);
        const scalar_set given = start(w, in_.what, in_.arguments);
        if (checks_) checks_->begin(w, given);
    }
}

template <bool Counts, bool Checks>
u64 group_runner::run_turn(wave& w)
{
    if (w.state == wave_state::ended) return 0;
    if (w.state == wave_state::waiting) {
        if (group_.phase == w.barrier_phase) return 0;
        w.state = wave_state::running;
    }
    at_ = &w;
    const operation* const code = group_.code->operations.data();
    u64 left = turn;
    while (left != 0 && w.state == wave_state::running) {
        if constexpr (Counts) counts_->executes(w, w.next);
        const u32 number = w.next++;
        const operation& op = code[number];
        if constexpr (Checks)
            checks_->run(w, op, number);
        else
            op.run(w, op);
        --left;
    }
    at_ = nullptr;
    return turn - left;
}

bool group_runner::advance(u64 slice)
{
    const auto turn = counts_ ? (checks_ ? &group_runner::run_turn<true, true> : &group_runner::run_turn<true, false>)
                              : (checks_ ? &group_runner::run_turn<false, true> : &group_runner::run_turn<false, false>);
    const u64 until = executed_ + slice;
    while (group_.alive != 0) {
        if (executed_ >= until) return false;
        u64 progress = 0;
        for (wave& w : group_.waves) progress += (this->*turn)(w);
        executed_ += progress;
        if (progress == 0)
            throw fault("every wave waits at a barrier that the others do not reach: " + waves_and_places(group_));
        if (executed_ > in_.what.instructions_max)
            throw fault(fmt::format("more than {} wave instructions in a work-group; the kernel may not end: {}",
                                    in_.what.instructions_max, waves_and_places(group_)));
    }
    if (counts_) in_.what.record->groups[group_.number] = counts_->take_lines();
    return true;
}

std::string group_runner::place_of_fault(int lane) const
{
    if (at_ == nullptr) return fmt::format("work-group {}", group_.number);
    const operation& op = group_.code->operations[at_->next - 1];
    std::string item;
    if (lane >= 0)
        item = fmt::format(", work-item {}", u64{group_.number} * static_cast<u32>(in_.what.block) +
                                                 at_->number * at_->lanes + static_cast<u32>(lane));
    return fmt::format("work-group {}, wave {}{}, at {:#x} '{}'", group_.number, at_->number, item, op.address, *op.text);
}

}  // namespace mhc::emulator
