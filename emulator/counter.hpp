// emulator/counter.hpp -- the counter of an emulated device: what its launches executed and what their memory accesses cost.
#pragma once

#include <mutex>
#include <optional>

#include <mhc/jit/counters.hpp>

#include "emulator/cache_model.hpp"
#include "emulator/processor_facts.hpp"

namespace mhc::emulator {

/// What a launch that is counted gathers.
struct launch_record {
    explicit launch_record(u32 line) : line_bytes(line) {}

    u32 line_bytes;
    std::mutex mutex;
    jit::execution_counts counts;               ///< of all threads, without lines
    std::vector<std::vector<line_run>> groups;  ///< lines, at the work-group's number
    u64 resident = 1;                           ///< work-groups that the processor keeps at once
};

/// Work-groups of a kernel that a whole processor has room for, by wave slots and LDS. Registers are not looked at: where
/// they keep work-groups out, the modelled working set is larger than the real one.
u64 resident_groups(const processor_facts& on, u32 waves, u32 lds_bytes);

class counter final : public jit::execution_counter {
public:
    explicit counter(std::string_view processor) : facts_(facts_of(processor)) {}

    jit::modelled_cache cache() const override;
    jit::result<void> start(std::int64_t cache_bytes) override;
    jit::execution_counts stop() override;

    const processor_facts& facts() const { return facts_; }
    bool is_counting() const;
    void add(const launch_record& of);

private:
    struct session {
        jit::execution_counts counts;
        cache_model cache;
    };
    const processor_facts& facts_;
    mutable std::mutex mutex_;
    std::optional<session> session_;
};

}  // namespace mhc::emulator
