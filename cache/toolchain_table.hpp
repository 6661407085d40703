// cache/toolchain_table.hpp -- compilers as remembered: which files they are, and whether those still are what they were.
#pragma once

#include <vector>

#include "cache/sqlite.hpp"

namespace mhc::cache {

/// Toolchains whose every recorded file is on disk unchanged, newest first.
std::vector<toolchain> unchanged_toolchains(sqlite::connection& db);

/// Replaces what was recorded of the toolchain's files. To be called inside a write transaction.
void put_toolchain_files(sqlite::connection& db, const toolchain& compiler, const std::vector<toolchain_file>& files,
                         std::int64_t now);

}  // namespace mhc::cache
