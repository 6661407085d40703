// cache/eviction.cpp -- least recently used first.
#include "cache/eviction.hpp"

#include <fmt/format.h>

#include <vector>

#include "cache/rows.hpp"
#include "cache/schema.hpp"

namespace mhc::cache {

std::int64_t evict_to(sqlite::connection& db, std::int64_t bytes, std::int64_t now, const std::set<digest>& kept)
{
    std::vector<digest> candidates;
    // A time in the future, left by a clock that was wrong, must not keep a row for ever.
    for (sqlite::statement s(db, "SELECT key FROM code_object WHERE pinned = 0 ORDER BY min(last_used, ?1), key", now);
         s.step();)
        candidates.push_back(s.hash(0));
    std::int64_t held = stored_bytes(db), rows = 0;
    for (const digest& key : candidates) {
        if (held <= bytes) break;
        if (kept.count(key) != 0) continue;
        held -= remove_row(db, key);
        ++rows;
    }
    return rows;
}

std::int64_t evict_above(sqlite::connection& db, std::int64_t allowed, std::int64_t now, const std::set<digest>& kept)
{
    // The file is never smaller than what it holds, and its size costs nothing to ask for.
    if (db.integer("PRAGMA page_count") * db.integer("PRAGMA page_size") <= allowed || stored_bytes(db) <= allowed) return 0;
    const std::int64_t rows = evict_to(db, allowed / 5 * 4, now, kept);
    if (rows > 0) record_event(db, now, "evict", fmt::format("{} rows over {} bytes", rows, allowed));
    return rows;
}

}  // namespace mhc::cache
