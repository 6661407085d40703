// tools/mhc-bench/counting.hpp -- one operator, one shape on an emulated target: what it executes and moves, in no time.
#pragma once

#include <cstdint>
#include <string>

#include <mhc/jit/counters.hpp>

#include "tools/mhc-bench/measure.hpp"

namespace mhc::tools {

/// One row of the result: one call, which begins with empty caches.
struct counted_row {
    bench_case what;
    std::string target;
    std::int64_t ideal_bytes = 0;
    std::int64_t ideal_data_bytes = 0;  ///< without the parameters that all tokens share
    jit::modelled_cache cache;
    jit::execution_counts counts;
    double instructions_per_cpu_second = 0;  ///< of the emulator, counting nothing; 0: not asked for
};

/// Bytes that instructions asked for of what tokens have (streams, layer_input, outputs, coefficients, the workspace),
/// against the least there are: what parameters cost, which a cache holds, is in neither.
double data_share(const counted_row& row);

/// What the command line says of counting.
struct counting_request {
    std::int64_t cache_bytes = -1;  ///< of the modelled last-level cache; -1: the processor's; 0: none
    bool wants_speed = false;
};

/// Whether `on` counts, and so is not timed: its times would be the emulator's.
inline bool counts_instead_of_timing(const bench_target& on) { return on.device->counter() != nullptr; }

counted_row count(bench_target& on, const bench_case& what, random_source& random, const counting_request& asked);

}  // namespace mhc::tools
