// emulator/processor_facts.hpp -- what the models of counts and times know of a processor.
#pragma once

#include <string>
#include <string_view>

#include "emulator/integers.hpp"

namespace mhc::emulator {

struct processor_facts {
    std::string_view name;  ///< "gfx942"
    std::string_view gpu;   ///< how a command line says the product, "mi300x"
    std::string_view product;
    u32 compute_units = 0;
    u32 simds_of_unit = 0;
    u32 waves_of_unit = 0;  ///< wave slots of a compute unit
    u32 lds_of_unit = 0;    ///< bytes
    u32 line_bytes = 0;     ///< of the last-level cache, a power of two
    u64 cache_bytes = 0;    ///< the last-level cache
    // How fast its parts are.
    u32 clock_mhz = 0;
    u32 memory_gbps = 0;            ///< 10^9 bytes a second, behind the last-level cache
    u32 matrix_tflops = 0;          ///< of bf16, dense
    u32 vector_cycles = 0;          ///< of a SIMD, for a vector instruction of a wave
    u32 transcendental_cycles = 0;  ///< likewise
};

/// Of a processor that the emulator has, the product that it is counted for.
const processor_facts& facts_of(std::string_view processor);

/// The product that a command line calls so; null: none.
const processor_facts* find_product(std::string_view gpu);

/// The names of all that are known, for a message.
std::string product_names();

}  // namespace mhc::emulator
