// tools/mhc-bench/timing.hpp -- how long a call takes: graphs between events on a GPU, a clock round each call on host.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include <mhc/jit/device.hpp>

namespace mhc::tools {

struct timing {
    double median_us = 0, p10_us = 0, p90_us = 0;
};

/// What the user asked for; empty: 3 replays and 20 replays of a graph on a GPU, 3 calls and 50 calls on host.
struct repetition {
    std::optional<int> warmup, iters;
    bool may_overlap = false;  ///< calls, the one ahead: compiled_layer::overlapping
};

/// One call on set `set` of the operands, enqueued on `stream`. Throws mhc::jit::exception.
using timed_call = std::function<void(std::size_t set, void* stream)>;

/// Calls rotate over `sets` sets. On a GPU a graph of back-to-back calls, each set at least once and 20 calls at least, is
/// replayed, and a replay's time is divided by its calls: gaps between kernels count, the host does not.
timing time_calls(jit::device& on, std::size_t sets, const timed_call& call, const repetition& asked);

/// Median, tenth and ninetieth percentile, interpolated between neighbours. `samples` is not empty.
timing percentiles(std::vector<double> samples);

}  // namespace mhc::tools
