// emulator/processor_facts.hpp -- what the counters' models know of a processor.
#pragma once

#include <string_view>

#include "emulator/integers.hpp"

namespace mhc::emulator {

struct processor_facts {
    std::string_view name;
    u32 compute_units = 0;
    u32 waves_of_unit = 0;  ///< wave slots of a compute unit
    u32 lds_of_unit = 0;    ///< bytes
    u32 line_bytes = 0;     ///< of the last-level cache, a power of two
    u64 cache_bytes = 0;    ///< the last-level cache
};

/// Of a processor that the emulator has.
const processor_facts& facts_of(std::string_view processor);

}  // namespace mhc::emulator
