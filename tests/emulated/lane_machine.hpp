// tests/emulated/lane_machine.hpp -- a wave that executes lines of assembly, with registers to set and look at.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "emulator/memory_map.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator::testing {

class lane_machine {
public:
    /// `generation`: 9 has waves of 64, later ones of 32.
    explicit lane_machine(int generation = 9, u32 lds_bytes = 1024);

    /// Executes one line. Throws fault; also for what is not known.
    void run(std::string_view line);

    u32& vector(u32 number, u32 lane) { return state.vector(number)[lane]; }
    void set_vector(u32 number, const std::function<u32(u32)>& value);
    void set_vector(u32 number, u32 value);
    void set_exec(u64 mask);

    wave state;
    work_group group;
    memory_map memory;

private:
    int generation_;
    program code_;
    std::vector<u32> registers_;
};

}  // namespace mhc::emulator::testing
