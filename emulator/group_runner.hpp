// emulator/group_runner.hpp -- executes one work-group: its registers, LDS and scratch memory, its waves in turn.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "emulator/checks.hpp"
#include "emulator/launch.hpp"
#include "emulator/recorder.hpp"
#include "emulator/start_state.hpp"

namespace mhc::emulator {

/// Registers that a wave of the code has.
u32 vectors_of(const program& code);

/// What every work-group of a launch is given.
struct group_context {
    const launch_request& what;
    const memory_map& memory;
    const argument_block& arguments;
    u32 vectors;  ///< registers to give each wave
};

/// One work-group after the other, with memory that is kept between them.
class group_runner {
public:
    explicit group_runner(const group_context& in);
    ~group_runner();
    group_runner(const group_runner&) = delete;
    group_runner& operator=(const group_runner&) = delete;

    /// The work-group `number` from its first instruction on; the one before has ended.
    void begin(u32 number);
    /// Executes about `slice` wave instructions; true when the work-group has ended. Throws fault.
    bool advance(u64 slice);
    /// Wave instructions of this work-group until now.
    u64 executed() const { return executed_; }
    u32 number() const { return group_.number; }

    /// The wave that was running when a fault was thrown, and its instruction; between turns only the work-group.
    std::string place_of_fault(int lane) const;

private:
    void prepare_scratch();
    /// How many instructions the wave executed.
    template <bool Counts, bool Checks>
    u64 run_turn(wave& w);

    const group_context& in_;
    work_group group_;
    std::optional<group_checks> checks_;
    std::vector<u32> registers_;
    std::vector<u8> scratch_;
    std::size_t words_of_wave_ = 0, scratch_of_wave_ = 0;
    std::optional<recorder> counts_;
    u64 executed_ = 0;
    const wave* at_ = nullptr;
};

}  // namespace mhc::emulator
