// cache/failure_table.hpp -- compile failures as remembered until they expire.
#pragma once

#include "cache/sqlite.hpp"

namespace mhc::cache {

std::optional<failure_row> read_failure(sqlite::connection& db, const digest& key, std::int64_t now);

/// Also drops those that have expired. To be called inside a write transaction.
void put_failure(sqlite::connection& db, const failure_row& row, std::int64_t now);

void remove_failure(sqlite::connection& db, const digest& key);

}  // namespace mhc::cache
