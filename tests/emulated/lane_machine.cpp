// tests/emulated/lane_machine.cpp -- registers, and one line at a time.
#include "tests/emulated/lane_machine.hpp"

#include <algorithm>

#include "emulator/coverage.hpp"
#include "emulator/read_line.hpp"
#include "emulator/start_state.hpp"

namespace mhc::emulator::testing {

lane_machine::lane_machine(int generation, u32 lds_bytes) : generation_(generation)
{
    constexpr u32 vectors = 512;
    state.lanes = generation == 9 ? 64 : 32;
    registers_.assign(std::size_t{vectors} * state.lanes + 16, unwritten);
    const auto begin = reinterpret_cast<std::uintptr_t>(registers_.data());
    state.v = registers_.data() + (64 - begin % 64) % 64 / sizeof(u32);
    state.group = &group;
    group.memory = &memory;
    group.code = &code_;
    group.lds.assign(lds_bytes, 0);
    group.alive = 1;
    set_exec(state.all_lanes());
}

void lane_machine::run(std::string_view line)
{
    code_.halves.clear();
    const std::string text(line);
    operation op;
    op.text = &text;
    read_line(line, generation_, code_, op);
    state.halves = code_.halves.data();
    op.run(state, op);
    if (generation_ == 9) {
        keep_coverage("gfx90a", line);
        keep_coverage("gfx942", line);
    } else {
        keep_coverage(generation_ == 11 ? "gfx1100" : "gfx1200", line);
    }
}

void lane_machine::set_vector(u32 number, const std::function<u32(u32)>& value)
{
    for (u32 lane = 0; lane < state.lanes; ++lane) vector(number, lane) = value(lane);
}
void lane_machine::set_vector(u32 number, u32 value)
{
    set_vector(number, [&](u32) { return value; });
}
void lane_machine::set_exec(u64 mask)
{
    state.s[scalar::exec] = static_cast<u32>(mask);
    state.s[scalar::exec + 1] = static_cast<u32>(mask >> 32);
    state.spread_exec();
}

}  // namespace mhc::emulator::testing
