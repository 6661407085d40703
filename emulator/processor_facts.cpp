// emulator/processor_facts.cpp -- one row a processor; where it is in several products, the one named.
//
// Sources. Compute units, LDS and caches: ROCm documentation, "AMD GPU specifications". Wave slots: LLVM's AMDGPU back end,
// getMaxWavesPerEU (8 a SIMD on gfx90a and gfx942, 16 from gfx10.3 on) by SIMDs a compute unit (4; 2 from gfx10 on). Lines:
// AMD's CDNA 2 and CDNA 3 white papers (L2, 128 bytes), the RDNA white paper (128 bytes), LLVM's getCacheLineSize.
#include "emulator/processor_facts.hpp"

#include <array>
#include <stdexcept>
#include <string>

namespace mhc::emulator {
namespace {

constexpr u32 kib = 1024;
constexpr u64 mib = 1024 * 1024;

constexpr std::array rows = {
    processor_facts{"gfx90a", 110, 32, 64 * kib, 128, 8 * mib},    // one die of an MI250X; the L2 is its last level
    processor_facts{"gfx942", 304, 32, 64 * kib, 128, 256 * mib},  // MI300X, Infinity Cache
    processor_facts{"gfx1100", 96, 32, 64 * kib, 128, 96 * mib},   // Radeon RX 7900 XTX, Infinity Cache
    processor_facts{"gfx1200", 32, 32, 64 * kib, 128, 32 * mib},   // Radeon RX 9060 XT, Infinity Cache
};

}  // namespace

const processor_facts& facts_of(std::string_view processor)
{
    for (const processor_facts& row : rows)
        if (row.name == processor) return row;
    throw std::logic_error("no facts about " + std::string(processor));
}

}  // namespace mhc::emulator
