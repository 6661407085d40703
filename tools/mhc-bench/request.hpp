// tools/mhc-bench/request.hpp -- the command line's lists, and the cases they make.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/common/engine_flags.hpp"
#include "tools/mhc-bench/counting.hpp"
#include "tools/mhc-bench/measure.hpp"

namespace mhc::tools {

/// The command line as it was given: a list may stand in one argument, separated by commas, or in several.
struct bench_arguments {
    std::vector<std::string> ops, targets, tokens, hidden_dims, n_streams, dtypes, settings;
    std::string warmup, iters, copy_mb, output, baseline, last_level_cache_mb;
    bool is_json = false, is_first_use = false, may_overlap = false, wants_emulator_speed = false;
    engine_flags engine;
};

/// Every operator on every shape. Without --tokens and --hidden-dim the shapes are 320x1280, 512x1920 and 256x2560; with
/// one of them, it is combined with the other's three; with both, each with each; and all that with every --n-streams and
/// --dtype. Fails with exit code 2, naming the flag, its value and what is allowed.
std::vector<bench_case> cases_of(const bench_arguments& args);

/// The targets' names, in order; one empty name (the environment's choice) when none is given.
std::vector<std::string> targets_of(const bench_arguments& args);

repetition repetition_of(const bench_arguments& args);
std::int64_t copy_bytes_of(const bench_arguments& args);  ///< that the large copy reads on a GPU
counting_request counting_of(const bench_arguments& args);

/// Fails with exit code 2 where an option says how to time and no target is timed, or how to count and none is counted.
void check_options_apply(const bench_arguments& args, bool has_timed, bool has_counted);

}  // namespace mhc::tools
