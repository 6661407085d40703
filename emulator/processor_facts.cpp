// emulator/processor_facts.cpp -- one row a product, of each processor first the one that counts are of.
//
// Sources. Compute units, LDS and caches: ROCm documentation, "AMD GPU specifications". Wave slots: LLVM's AMDGPU back end,
// getMaxWavesPerEU (8 a SIMD on gfx90a and gfx942, 16 from gfx10.3 on) by SIMDs a compute unit (4; 2 from gfx10 on). Lines:
// AMD's CDNA 2 and CDNA 3 white papers (L2, 128 bytes), the RDNA white paper (128 bytes), LLVM's getCacheLineSize. Clock
// (peak, boost), bandwidth and peak of bf16 matrix operations: AMD's data sheets of the products (MI250X: half of the two
// dies' 3.2 TB/s and 383 TFLOP/s; MI300X 5.3 TB/s, 1307.4; RX 7900 XTX 960 GB/s, 122.8; RX 9060 XT 320 GB/s, 103). Cycles:
// the white papers: a wave of 64 on a SIMD of 16 lanes takes 4, a wave of 32 on one of 32 lanes 1, and transcendental
// functions run at a quarter of that rate.
//
// The other products: compute units and caches from the same table, clock, bandwidth and peak from their data sheets (MI210
// 1.6384 TB/s, 181; MI300A 5.3 TB/s, 980.6; MI325X 6 TB/s, 1307.4; RX 7900 XT 800 GB/s, 103; Radeon PRO W7900 864 GB/s,
// 122.6). A partition of an MI300X in CPX mode is one of its eight dies of 38 compute units, with an eighth of all that the
// dies share ("MI300 partitioning" in AMD's Instinct documentation). Of an MI308X AMD publishes no data sheet: that it is
// gfx942 with 80 compute units is said by AITER, which tunes for it; memory, caches and clock are taken to be MI300X's.
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
    processor_facts{"gfx90a", "mi250x", "MI250X, one die", 110, 4, 32, 64 * kib, 128, 8 * mib, 1700, 1638, 191, 4, 16},
    processor_facts{"gfx90a", "mi210", "MI210", 104, 4, 32, 64 * kib, 128, 8 * mib, 1700, 1638, 181, 4, 16},
    processor_facts{"gfx942", "mi300x", "MI300X", 304, 4, 32, 64 * kib, 128, 256 * mib, 2100, 5300, 1307, 4, 16},
    processor_facts{"gfx942", "mi300x-cpx", "MI300X, CPX mode", 38, 4, 32, 64 * kib, 128, 32 * mib, 2100, 662, 163, 4, 16},
    processor_facts{"gfx942", "mi300a", "MI300A", 228, 4, 32, 64 * kib, 128, 256 * mib, 2100, 5300, 981, 4, 16},
    processor_facts{"gfx942", "mi308x", "MI308X", 80, 4, 32, 64 * kib, 128, 256 * mib, 2100, 5300, 344, 4, 16},
    processor_facts{"gfx942", "mi325x", "MI325X", 304, 4, 32, 64 * kib, 128, 256 * mib, 2100, 6000, 1307, 4, 16},
    processor_facts{"gfx1100", "rx7900xtx", "Radeon RX 7900 XTX", 96, 2, 32, 64 * kib, 128, 96 * mib, 2500, 960, 123, 1, 4},
    processor_facts{"gfx1100", "rx7900xt", "Radeon RX 7900 XT", 84, 2, 32, 64 * kib, 128, 80 * mib, 2400, 800, 103, 1, 4},
    processor_facts{"gfx1100", "w7900", "Radeon PRO W7900", 96, 2, 32, 64 * kib, 128, 96 * mib, 2495, 864, 123, 1, 4},
    processor_facts{"gfx1200", "rx9060xt", "Radeon RX 9060 XT", 32, 2, 32, 64 * kib, 128, 32 * mib, 3130, 320, 103, 1, 4},
};

}  // namespace

const processor_facts& facts_of(std::string_view processor)
{
    for (const processor_facts& row : rows)
        if (row.name == processor) return row;
    throw std::logic_error("no facts about " + std::string(processor));
}

const processor_facts* find_product(std::string_view gpu)
{
    for (const processor_facts& row : rows)
        if (row.gpu == gpu) return &row;
    return nullptr;
}

std::string product_names()
{
    std::string names;
    for (const processor_facts& row : rows) names += (names.empty() ? "" : ", ") + std::string(row.gpu);
    return names;
}

}  // namespace mhc::emulator
