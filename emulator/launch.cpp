// emulator/launch.cpp -- work-groups over threads; within one, waves take turns.
#include "emulator/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include "emulator/checks.hpp"
#include "emulator/coverage.hpp"
#include "emulator/recorder.hpp"
#include "emulator/start_state.hpp"

namespace mhc::emulator {
namespace {

/// Instructions that a wave runs before the next one has its turn: enough that turns cost nothing, few enough that waves
/// that wait for each other in loops get on.
constexpr u64 turn = 4096;

/// Accumulation registers are above the others, where a kernel has any.
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

/// A work-item's scratch memory, in whole words.
u32 scratch_bytes(const kernel_entry& kernel) { return (kernel.scratch_bytes + 3) / 4 * 4; }

/// What all threads of a launch share.
struct shared_state {
    shared_state(const launch_request& of, const memory_map& map, const argument_block& block)
        : what(of), memory(map), arguments(block), vectors(vectors_of(*of.image->code))
    {
    }

    const launch_request& what;
    const memory_map& memory;
    const argument_block& arguments;
    u32 vectors;  ///< registers to give each wave
    std::atomic<i64> next_group{0};
    std::atomic<u64> executed{0};
    std::atomic<bool> has_failed{false};
    std::mutex mutex;
    i64 failed_group = -1;
    std::string why;
};

/// One work-group after the other, with memory that is kept between them.
class group_runner {
public:
    explicit group_runner(shared_state& in) : in_(in)
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
            checks_.emplace(group_, in.what.image->code_effects, in.vectors, kernel.wave_size, kernel.lds_bytes,
                            scratch_bytes(kernel));
            group_.checks = &*checks_;
        }
        if (in.what.record == nullptr) return;
        const code_image& image = *in.what.image;
        counts_.emplace(*image.code, in.what.record->line_bytes,
                        std::array{uncounted_range{in.arguments.address(), kernel.argument_bytes},
                                   uncounted_range{image.base, image.size}});
        group_.counts = &*counts_;
    }
    ~group_runner()
    {
        if (!counts_) return;
        const std::lock_guard lock(in_.what.record->mutex);
        in_.what.record->counts += counts_->counts();
    }
    group_runner(const group_runner&) = delete;
    group_runner& operator=(const group_runner&) = delete;

    void run(u32 number)
    {
        begin(number);
        const auto turn = counts_ ? (checks_ ? &group_runner::run_turn<true, true> : &group_runner::run_turn<true, false>)
                                  : (checks_ ? &group_runner::run_turn<false, true> : &group_runner::run_turn<false, false>);
        u64 executed = 0;
        while (group_.alive != 0) {
            u64 progress = 0;
            for (wave& w : group_.waves) progress += (this->*turn)(w);
            executed += progress;
            if (progress == 0)
                throw fault("every wave waits at a barrier that the others do not reach: " + waves_and_places(group_));
            if (executed > in_.what.instructions_max)
                throw fault(fmt::format("more than {} wave instructions in a work-group; the kernel may not end: {}",
                                        in_.what.instructions_max, waves_and_places(group_)));
        }
        in_.executed.fetch_add(executed, std::memory_order_relaxed);
        if (counts_) in_.what.record->groups[number] = counts_->take_lines();
    }

    /// The wave that was running when a fault was thrown, and its instruction; between turns only the work-group.
    std::string place_of_fault(int lane) const
    {
        if (at_ == nullptr) return fmt::format("work-group {}", group_.number);
        const operation& op = group_.code->operations[at_->next - 1];
        std::string item;
        if (lane >= 0)
            item = fmt::format(", work-item {}", u64{group_.number} * static_cast<u32>(in_.what.block) +
                                                     at_->number * at_->lanes + static_cast<u32>(lane));
        return fmt::format("work-group {}, wave {}{}, at {:#x} '{}'", group_.number, at_->number, item, op.address,
                           *op.text);
    }

private:
    void prepare_scratch()
    {
        constexpr std::size_t alignment = 256;
        scratch_of_wave_ = std::size_t{scratch_bytes(*in_.what.kernel)} * in_.what.kernel->wave_size;
        scratch_.resize(scratch_of_wave_ * group_.waves.size() + alignment);
        group_.scratch = (reinterpret_cast<std::uintptr_t>(scratch_.data()) + alignment - 1) / alignment * alignment;
        group_.has_architected_scratch = in_.what.image->processor != "gfx90a";
    }
    void begin(u32 number)
    {
        const kernel_entry& kernel = *in_.what.kernel;
        group_.number = number;
        group_.arrived = group_.phase = 0;
        group_.alive = static_cast<u32>(group_.waves.size());
        group_.lds.assign(kernel.lds_bytes, 0xAD);
        std::fill(registers_.begin(), registers_.end(), unwritten);
        const auto begin = reinterpret_cast<std::uintptr_t>(registers_.data());
        u32* const aligned = registers_.data() + ((64 - begin % 64) % 64) / sizeof(u32);
        std::fill(scratch_.begin(), scratch_.end(), u8{0xAD});
        if (checks_) checks_->begin();
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

    /// How many instructions the wave executed.
    template <bool Counts, bool Checks>
    u64 run_turn(wave& w)
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

    shared_state& in_;
    work_group group_;
    std::optional<group_checks> checks_;
    std::vector<u32> registers_;
    std::vector<u8> scratch_;
    std::size_t words_of_wave_ = 0, scratch_of_wave_ = 0;
    std::optional<recorder> counts_;
    const wave* at_ = nullptr;
};

void serve(const void* context, i64)
{
    auto& in = *static_cast<shared_state*>(const_cast<void*>(context));
    std::optional<group_runner> runner;
    for (i64 group = in.next_group++; group < in.what.groups && !in.has_failed; group = in.next_group++) {
        try {
            if (!runner) runner.emplace(in);
            runner->run(static_cast<u32>(group));
        } catch (const std::exception& why) {
            in.has_failed = true;
            const std::lock_guard lock(in.mutex);
            if (in.failed_group >= 0 && in.failed_group < group) return;
            in.failed_group = group;
            const auto* of_lane = dynamic_cast<const fault*>(&why);
            const int lane = of_lane != nullptr ? of_lane->lane : -1;
            in.why = fmt::format("{}: {}", runner ? runner->place_of_fault(lane) : "memory", why.what());
            return;
        }
    }
}

}  // namespace

jit::result<launch_counts> launch(const launch_request& what, memory_map memory, runtime::thread_pool& threads)
{
    const kernel_entry& kernel = *what.kernel;
    const auto fail = [&](const std::string& why) {
        return jit::failure{jit::errc::launch_failed, fmt::format("{}: {}", kernel.name, why)};
    };
    if (what.block < 1 || static_cast<u32>(what.block) > kernel.workgroup_max)
        return fail(fmt::format("{} work-items a group; allowed is 1 to {}", what.block, kernel.workgroup_max));
    if (what.groups < 1 || what.groups > i64{0xFFFFFFFF} / what.block)
        return fail(fmt::format("{} work-groups of {} are none, or 2^32 work-items or more", what.groups, what.block));
    u32 explicit_bytes = 0;
    for (const runtime::metadata_argument& each : kernel.arguments)
        if (!each.value_kind.starts_with("hidden_")) explicit_bytes = std::max(explicit_bytes, each.offset + each.size);
    if (what.argument_bytes < explicit_bytes)
        return fail(fmt::format("{} bytes of arguments; the kernel takes {}", what.argument_bytes, explicit_bytes));

    const argument_block block(what);
    memory.add({block.address(), block.bytes(), "the kernel's arguments", false});
    for (const image_segment& each : what.image->segments)
        memory.add({what.image->base + each.offset, each.size, "the code object", each.is_writable});
    memory.add({block.packet_address(), argument_block::packet_bytes, "the dispatch packet", false});
    shared_state shared(what, memory, block);
    if (what.record != nullptr) {
        what.record->groups.resize(static_cast<std::size_t>(what.groups));
        const u32 waves = (static_cast<u32>(what.block) + kernel.wave_size - 1) / kernel.wave_size;
        what.record->resident = resident_groups(facts_of(what.image->processor), waves, kernel.lds_bytes);
    }
    threads.run(std::min<i64>(what.groups, 256), serve, &shared);

    keep_coverage(what.image->processor, *what.image->code);
    if (shared.failed_group >= 0) return fail(shared.why);
    return launch_counts{.instructions = shared.executed};
}

}  // namespace mhc::emulator
