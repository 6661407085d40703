// cache/eviction.cpp -- least recently used first.
#include "cache/eviction.hpp"

#include <vector>

#include "cache/rows.hpp"

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

}  // namespace mhc::cache
