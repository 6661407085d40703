// emulator/processor_facts.cpp -- one row a processor; where it is in several products, the one named.
//
// Sources. Compute units, LDS and caches: ROCm documentation, "AMD GPU specifications". Wave slots: LLVM's AMDGPU back end,
// getMaxWavesPerEU (8 a SIMD on gfx90a and gfx942, 16 from gfx10.3 on) by SIMDs a compute unit (4; 2 from gfx10 on). Lines:
// AMD's CDNA 2 and CDNA 3 white papers (L2, 128 bytes), the RDNA white paper (128 bytes), LLVM's getCacheLineSize. Clock
// (peak, boost), bandwidth and peak of bf16 matrix operations: AMD's data sheets of the products (MI250X: half of the two
// dies' 3.2 TB/s and 383 TFLOP/s; MI300X 5.3 TB/s, 1307.4; RX 7900 XTX 960 GB/s, 122.8; RX 9060 XT 320 GB/s, 103). Cycles:
// the white papers: a wave of 64 on a SIMD of 16 lanes takes 4, a wave of 32 on one of 32 lanes 1, and transcendental
// functions run at a quarter of that rate.
#include "emulator/processor_facts.hpp"

#include <array>
#include <stdexcept>
#include <string>

namespace mhc::emulator {
namespace {

constexpr u32 kib = 1024;
constexpr u64 mib = 1024 * 1024;

constexpr std::array rows = {
    // The L2 of an MI250X's die is its last level; the others' is the Infinity Cache.
    processor_facts{"gfx90a", "MI250X, one die", 110, 4, 32, 64 * kib, 128, 8 * mib, 1700, 1638, 191, 4, 16},
    processor_facts{"gfx942", "MI300X", 304, 4, 32, 64 * kib, 128, 256 * mib, 2100, 5300, 1307, 4, 16},
    processor_facts{"gfx1100", "Radeon RX 7900 XTX", 96, 2, 32, 64 * kib, 128, 96 * mib, 2500, 960, 123, 1, 4},
    processor_facts{"gfx1200", "Radeon RX 9060 XT", 32, 2, 32, 64 * kib, 128, 32 * mib, 3130, 320, 103, 1, 4},
};

}  // namespace

const processor_facts& facts_of(std::string_view processor)
{
    for (const processor_facts& row : rows)
        if (row.name == processor) return row;
    throw std::logic_error("no facts about " + std::string(processor));
}

}  // namespace mhc::emulator
