// tools/mhc-bench/first_use.hpp -- what a layer costs the first time: with an empty cache, and with a full one.
#pragma once

#include <vector>

#include <mhc/jit/engine.hpp>

#include "tools/mhc-bench/report.hpp"

namespace mhc::tools {

/// Times `layer(spec)` of each distinct spec on two new engines of one temporary cache folder, which is removed.
/// Throws mhc::jit::exception.
std::vector<first_use_row> time_first_uses(const jit::engine_options& options, const std::vector<bench_case>& cases);

}  // namespace mhc::tools
