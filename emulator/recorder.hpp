// emulator/recorder.hpp -- what one thread of a counted launch executes, work-group by work-group.
#pragma once

#include <array>
#include <span>
#include <utility>
#include <vector>

#include <mhc/jit/counters.hpp>

#include "emulator/address_range.hpp"
#include "emulator/cache_model.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

class recorder {
public:
    /// Accesses to `uncounted`, the kernel's arguments and its code, are not counted; those to `shared` also apart.
    recorder(const program& code, u32 line_bytes, std::array<address_range, 2> uncounted,
             std::span<const address_range> shared);

    /// An instruction, before it is executed.
    void executes(const wave& w, u32 number)
    {
        ++executed_[number];
        const counting_rule& rule = code_.rules[number];
        sums_.lds_cycles += u64{rule.lds_passes} * w.lanes / 32;
        if (rule.lds_bytes != 0) accesses_lds(w, number);
    }
    /// The lanes of `active`, a bit each, read or write `bytes` each at `addresses`.
    void accesses_memory(u64 active, const u64* addresses, u32 bytes, bool is_write);
    void reads_by_scalar(u64 address, u32 bytes);

    /// What the work-group since the last call asked memory for.
    std::vector<line_run> take_lines() { return std::exchange(lines_, {}); }
    /// Everything but lines, since the beginning.
    jit::execution_counts counts() const;

private:
    void accesses_lds(const wave& w, u32 number);
    bool is_uncounted(u64 address) const;
    bool is_shared(u64 address) const;
    void ask_for(u64 first_line, u64 last_line);
    void end_instruction();

    const program& code_;
    u32 line_shift_;
    std::array<address_range, 2> uncounted_;
    std::span<const address_range> shared_;
    std::vector<u64> executed_;  ///< a number an operation
    std::vector<u64> asked_;     ///< distinct lines of the present instruction, by first lane
    std::vector<line_run> lines_;
    jit::execution_counts sums_;  ///< bytes and conflicts
};

}  // namespace mhc::emulator
