// tools/mhc-tune/request.hpp -- the command line, and the operators and shapes it names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/mhc-bench/measure.hpp"
#include "tools/mhc-bench/request.hpp"

namespace mhc::tools {

/// The command line as it was given; lists as in mhc-bench.
struct tune_arguments {
    std::vector<std::string> ops, shapes, tokens, settings;
    std::string warmup, iters, import_file, export_file;
    bool is_json = false, stores = true;
    engine_flags engine;

    /// Whether something is to be measured: not where a table is only carried in or out.
    bool measures() const;
};

/// One operator of one shape, which has one choice for all of these token counts.
struct tune_case {
    bench_case what;  ///< `tokens` is of no meaning
    std::vector<std::int64_t> tokens;
};

/// Every operator on every shape; with `all` those that have a choice on the target. Without --tokens 128, 2048 and 8192 on
/// a GPU, 64 and 512 on host. Fails with exit code 2, naming the flag, its value and what is allowed.
std::vector<tune_case> tune_cases_of(const tune_arguments& args, const std::string& target);

}  // namespace mhc::tools
