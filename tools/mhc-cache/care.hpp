// tools/mhc-cache/care.hpp -- the commands that move objects, remove them, sum them up, and find out what is wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <mhc/jit/cache.hpp>

namespace mhc::tools {

struct care_arguments {
    std::string database, file;
    std::optional<std::int64_t> stale_days, unused_days, max_mb;
    std::string op, hidden_dim, n_streams, dtype, target;
    std::vector<std::string> settings;
    bool is_json = false, is_trusted = false;
};

/// Each prints, and returns the exit code.
int doctor(const care_arguments& args, const jit::engine_options& options);
int stats(const care_arguments& args, const jit::engine_options& options);
int prune(const care_arguments& args, const jit::engine_options& options);
int export_objects(const care_arguments& args, const jit::engine_options& options);
int import_objects(const care_arguments& args, const jit::engine_options& options);
int why_miss(const care_arguments& args, const jit::engine_options& options);

}  // namespace mhc::tools
