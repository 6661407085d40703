// cache/eviction.hpp -- which rows go when there are too many bytes.
#pragma once

#include <set>

#include "cache/sqlite.hpp"

namespace mhc::cache {

/// Removes rows, as below, down to four fifths of `allowed` when the file and its blobs are larger; notes the event.
std::int64_t evict_above(sqlite::connection& db, std::int64_t allowed, std::int64_t now, const std::set<digest>& kept);

/// Removes rows, least recently used first, until the blobs hold at most `bytes`; never a pinned row nor one of `kept`.
/// To be called inside a write transaction. Returns how many rows went.
std::int64_t evict_to(sqlite::connection& db, std::int64_t bytes, std::int64_t now, const std::set<digest>& kept);

}  // namespace mhc::cache
