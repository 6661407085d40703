// emulator/wave.hpp -- the state of one wave, and of the work-group it is in.
#pragma once

#include <stdexcept>
#include <vector>

#include "emulator/integers.hpp"
#include "emulator/memory_map.hpp"
#include "emulator/operation.hpp"

namespace mhc::emulator {

inline constexpr u32 lanes_max = 64;

/// What a kernel did wrong, or what the emulator does not know. The launch adds where.
struct fault : std::runtime_error {
    explicit fault(const std::string& what, int of_lane = -1) : std::runtime_error(what), lane(of_lane) {}
    int lane;  ///< whose fault it is, where it is one lane's; the message names it too
};

/// Denormals that the mode register lets through, for one width of numbers.
struct denormals {
    bool in = true, out = true;
};

struct wave;
class group_checks;
class recorder;

/// A work-group being executed.
struct work_group {
    std::vector<u8> lds;
    std::vector<wave> waves;
    const memory_map* memory = nullptr;
    const program* code = nullptr;
    recorder* counts = nullptr;  ///< null: nothing is counted
    u64 image = 0;               ///< where the code object's address 0 is loaded
    u32 number = 0;
    group_checks* checks = nullptr;       ///< null: only bounds are checked
    u64 scratch = 0;                      ///< address of the first wave's scratch memory
    bool has_architected_scratch = true;  ///< the machine, not the kernel, tells scratch instructions where it is

    u32 arrived = 0;  ///< waves that signalled the barrier in its present phase
    u32 phase = 0;    ///< barriers passed
    u32 alive = 0;    ///< waves that have not ended

    /// A wave signals, or ends: the barrier opens when all that live have come.
    void open_barrier_if_complete()
    {
        if (arrived == 0 || arrived < alive) return;
        arrived = 0;
        ++phase;
    }
};

enum class wave_state : u8 { running, waiting, ended };

struct wave {
    u32* v = nullptr;  ///< vector registers, `lanes` words each
    u32 lanes = 64;    ///< 32 or 64
    u32 vector_count = 0;
    u32 next = 0;  ///< number of the next operation
    wave_state state = wave_state::running;
    bool scc = false;
    bool is_full = false;   ///< every lane is active
    u32 number = 0;         ///< in its work-group
    u32 barrier_phase = 0;  ///< the phase that the last signal was for
    u64 executed = 0;
    denormals single, half_and_double;
    work_group* group = nullptr;
    const operation* halves = nullptr;
    u8* scratch = nullptr;                          ///< word by word, each of all lanes
    u32 scratch_bytes = 0;                          ///< a lane's
    mutable const memory_region* recent = nullptr;  ///< the last one that an access was inside
    u32 s[scalar::count] = {};
    alignas(64) u32 active[lanes_max] = {};  ///< all ones in active lanes: exec, a word a lane

    u32* vector(u32 index) { return v + std::size_t{index} * lanes; }
    const u32* vector(u32 index) const { return v + std::size_t{index} * lanes; }

    u64 exec() const { return lanes == 64 ? joined(s[scalar::exec], s[scalar::exec + 1]) : s[scalar::exec]; }
    u64 all_lanes() const { return lanes == 64 ? ~u64{0} : 0xFFFFFFFFU; }

    /// After exec was written.
    void spread_exec()
    {
        const u64 mask = exec();
        is_full = mask == all_lanes();
        for (u32 lane = 0; lane < lanes_max; ++lane) active[lane] = 0U - static_cast<u32>(mask >> lane & 1);
    }
    void set_scalar(u32 index, u32 value)
    {
        if (index == scalar::null) return;
        s[index] = value;
        if (index >= scalar::exec) spread_exec();
    }
    void set_scalar_pair(u32 index, u64 value)
    {
        if (index == scalar::null) return;
        s[index] = static_cast<u32>(value);
        s[index + 1] = static_cast<u32>(value >> 32);
        if (index >= scalar::exec) spread_exec();
    }
    /// A bit a lane, as wide as the wave.
    void set_mask(u32 index, u64 value)
    {
        if (lanes == 64)
            set_scalar_pair(index, value);
        else
            set_scalar(index, static_cast<u32>(value));
    }
    u64 vcc() const { return lanes == 64 ? joined(s[scalar::vcc], s[scalar::vcc + 1]) : s[scalar::vcc]; }
};

}  // namespace mhc::emulator
