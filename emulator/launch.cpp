// emulator/launch.cpp -- work-groups over threads, and those that wait for each other in turns.
#include "emulator/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include "emulator/coverage.hpp"
#include "emulator/group_runner.hpp"
#include "emulator/processor_facts.hpp"

namespace mhc::emulator {
namespace {

/// Wave instructions after which a work-group makes room for others. It may be waiting for them.
constexpr u64 slice = u64{1} << 18;

/// What all threads of a launch share.
struct shared_state {
    shared_state(group_context of, u64 at_once) : context(of), resident(at_once) {}

    group_context context;
    u64 resident;  ///< work-groups that the processor holds at once
    std::atomic<i64> next_group{0};
    std::atomic<u64> executed{0};
    std::atomic<bool> has_failed{false};
    std::mutex mutex;
    i64 failed_group = -1;
    std::string why;

    void fail(i64 group, std::string of)
    {
        has_failed = true;
        const std::lock_guard lock(mutex);
        if (failed_group >= 0 && failed_group < group) return;
        failed_group = group;
        why = std::move(of);
    }
};

/// The work-groups of one thread, a slice each in turn. Those that were begun are to end first: only when each of them has
/// had a slice and none has ended, more are begun, twice as many, up to those that the processor has room for.
class group_queue {
public:
    explicit group_queue(shared_state& in) : in_(in) {}

    void run()
    {
        while (!in_.has_failed) {
            std::unique_ptr<group_runner> group = begin_next();
            if (!group) {
                if (waiting_.empty()) return;
                group = std::move(waiting_.front());
                waiting_.pop_front();
            }
            if (!advance(*group)) {
                waiting_.push_back(std::move(group));
                if (++without_end_ < waiting_.size()) continue;
                allowed_ = std::min(2 * allowed_, in_.resident);
                without_end_ = 0;
                continue;
            }
            without_end_ = 0;
            in_.executed.fetch_add(group->executed(), std::memory_order_relaxed);
            idle_ = std::move(group);
        }
    }

private:
    std::unique_ptr<group_runner> begin_next()
    {
        const i64 groups = in_.context.what.all_groups();
        if (waiting_.size() >= allowed_ || in_.next_group >= groups) return nullptr;
        const i64 number = in_.next_group++;
        if (number >= groups) return nullptr;
        if (!idle_) idle_ = std::make_unique<group_runner>(in_.context);
        idle_->begin(static_cast<u32>(number));
        return std::move(idle_);
    }
    /// True when it has ended, or failed.
    bool advance(group_runner& group)
    {
        try {
            return group.advance(slice);
        } catch (const std::exception& why) {
            const auto* of_lane = dynamic_cast<const fault*>(&why);
            const int lane = of_lane != nullptr ? of_lane->lane : -1;
            in_.fail(group.number(), fmt::format("{}: {}", group.place_of_fault(lane), why.what()));
            return true;
        }
    }

    shared_state& in_;
    u64 allowed_ = 1, without_end_ = 0;  ///< work-groups at once; slices since one ended
    std::deque<std::unique_ptr<group_runner>> waiting_;
    std::unique_ptr<group_runner> idle_;  ///< its memory is the next one's
};

void serve(const void* context, i64)
{
    auto& in = *static_cast<shared_state*>(const_cast<void*>(context));
    try {
        group_queue(in).run();
    } catch (const std::exception& why) {
        in.fail(0, fmt::format("memory: {}", why.what()));
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
    constexpr i64 items_max = 0xFFFFFFFF;
    if (what.groups < 1 || what.groups > items_max / what.block)
        return fail(fmt::format("{} work-groups of {} are none, or 2^32 work-items or more", what.groups, what.block));
    if (what.groups_y < 1 || what.groups_z < 1 || u64{what.groups_y} * what.groups_z > u64{0xFFFFFFFF} / what.groups)
        return fail(
            fmt::format("{} x {} x {} work-groups are none, or 2^32 or more", what.groups, what.groups_y, what.groups_z));
    constexpr u32 lds_max = 65536;
    if (what.lds_bytes > lds_max || what.all_lds_bytes() > lds_max)
        return fail(fmt::format("{} bytes of LDS that the kernel declares and {} of the launch; a work-group has {}",
                                kernel.lds_bytes, what.lds_bytes, lds_max));
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
    const u32 waves = (static_cast<u32>(what.block) + kernel.wave_size - 1) / kernel.wave_size;
    const processor_facts& on = what.on != nullptr ? *what.on : facts_of(what.image->processor);
    shared_state shared({what, memory, block, vectors_of(*what.image->code)},
                        resident_groups(on, waves, what.all_lds_bytes()));
    if (what.record != nullptr) {
        what.record->groups.resize(static_cast<std::size_t>(what.all_groups()));
        what.record->resident = shared.resident;
    }
    threads.run(std::min<i64>(what.all_groups(), 256), serve, &shared);

    keep_coverage(what.image->processor, *what.image->code);
    if (shared.failed_group >= 0) return fail(shared.why);
    return launch_counts{.instructions = shared.executed};
}

}  // namespace mhc::emulator
