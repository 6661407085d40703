// tools/mhc-bench/measure.hpp -- one operator, one shape, one target: its time, and its floor's in the same run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <mhc/jit/device.hpp>
#include <mhc/jit/engine.hpp>

#include "tools/mhc-bench/memory.hpp"
#include "tools/mhc-bench/timing.hpp"

namespace mhc::tools {

/// What is timed.
struct bench_case {
    jit::operation op = jit::operation::pre_fwd;
    jit::layer_spec spec;  ///< `wanted` is `op` alone
    std::int64_t tokens = 0;
};

/// A target under test: its engine, its memory, and the rate of a copy there.
struct bench_target {
    std::string name;  ///< as the engine calls it
    std::unique_ptr<jit::engine> engine;
    std::shared_ptr<jit::device> device;
    double copy_gbps = 0;
};

/// Opens what `options.target` names. Throws mhc::jit::exception, saying why it cannot be.
bench_target open_target(const jit::engine_options& options);

/// How many sets of operands of so many bytes a call rotates over until no cache holds the first: cold_bytes, at most 200
/// sets.
std::int64_t sets_for(const jit::device& on, std::int64_t traffic_bytes);

/// GB/s of a large copy, read and written bytes: the floor kernel with 1 row in and 1 out over `bytes` on a GPU; memcpy on
/// all threads on host.
double measure_copy(bench_target& on, std::int64_t bytes, random_source& random, const repetition& asked);

/// One row of the result.
struct bench_row {
    bench_case what;
    std::string target;
    timing time;
    double floor_us = 0;
    std::int64_t ideal_bytes = 0;
    double gbps = 0, share_of_copy = 0;
};
bench_row measure(bench_target& on, const bench_case& what, random_source& random, const repetition& asked);

}  // namespace mhc::tools
