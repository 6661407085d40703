// emulator/cache_model.hpp -- a last-level cache: which lines it holds, and in which order they are asked for.
#pragma once

#include <unordered_map>
#include <vector>

#include "emulator/integers.hpp"

namespace mhc::emulator {

/// Lines one instruction asks for, neighbours in one entry: first line << 16 | is the instruction's last entry << 15 |
/// count.
using line_run = u64;

inline line_run make_line_run(u64 first, u32 count) { return first << 16 | count; }
inline constexpr line_run last_of_instruction = 1U << 15;

/// Fully associative, whole lines, the least recently used one leaves; writes fetch lines as reads do. A real cache has
/// sets, which would make counts depend on where buffers happen to lie.
class cache_model {
public:
    /// `capacity` in lines; 0: every request misses.
    explicit cache_model(u64 capacity) : capacity_(capacity) {}

    void request(u64 line);

    u64 touched() const { return slot_of_.size(); }  ///< distinct lines
    u64 missed() const { return missed_; }

private:
    static constexpr u32 none = ~0U;
    struct slot {
        u64 line = 0;
        u32 newer = none, older = none;
    };
    void unlink(u32 at);
    void link_newest(u32 at);

    u64 capacity_, missed_ = 0;
    std::unordered_map<u64, u32> slot_of_;  ///< of every line ever asked for; none: it was put out
    std::vector<slot> slots_;
    u32 newest_ = none, oldest_ = none;
};

/// Requests what the work-groups of a launch recorded, in the order of a machine that keeps `resident` of them: each in turn
/// executes one instruction that touches memory, and where one ends the next in number takes its place.
void replay(const std::vector<std::vector<line_run>>& groups, u64 resident, cache_model& into);

}  // namespace mhc::emulator
