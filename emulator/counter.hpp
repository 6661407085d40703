// emulator/counter.hpp -- the counter of an emulated device: what its launches executed and what their memory accesses cost.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <mhc/jit/counters.hpp>

#include "emulator/address_range.hpp"
#include "emulator/cache_model.hpp"
#include "emulator/processor_facts.hpp"

namespace mhc::emulator {

/// What a launch that is counted gathers.
struct launch_record {
    explicit launch_record(u32 line, std::vector<address_range> of_all_tokens = {})
        : line_bytes(line), shared(std::move(of_all_tokens))
    {
    }

    u32 line_bytes;
    std::vector<address_range> shared;  ///< what is also counted apart
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
    explicit counter(const processor_facts& on) : facts_(on) {}

    const processor_facts& facts() const noexcept { return facts_; }
    jit::modelled_cache cache() const override;
    jit::result<void> start(std::int64_t cache_bytes, std::span<const jit::memory_range> shared) override;
    jit::execution_counts stop() override;

    /// What a launch that begins now is to fill; nothing where none is counted.
    std::unique_ptr<launch_record> record() const;
    void add(const launch_record& of);

private:
    struct session {
        jit::execution_counts counts;
        cache_model cache;
        std::vector<address_range> shared;
    };
    const processor_facts& facts_;
    mutable std::mutex mutex_;
    std::optional<session> session_;
};

}  // namespace mhc::emulator
