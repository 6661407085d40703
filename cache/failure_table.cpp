// cache/failure_table.cpp -- the statements over compile_failure.
#include "cache/failure_table.hpp"

namespace mhc::cache {

std::optional<failure_row> read_failure(sqlite::connection& db, const digest& key, std::int64_t now)
{
    sqlite::statement s(db, "SELECT kind, log, expires FROM compile_failure WHERE key = ?1 AND expires > ?2", key, now);
    if (!s.step()) return std::nullopt;
    return failure_row{key, static_cast<int>(s.integer(0)), s.text(1), s.integer(2)};
}

void put_failure(sqlite::connection& db, const failure_row& row, std::int64_t now)
{
    sqlite::run(db, "DELETE FROM compile_failure WHERE expires <= ?1", now);
    sqlite::run(db,
                "INSERT INTO compile_failure(key, kind, log, at, expires) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(key)"
                " DO UPDATE SET kind = excluded.kind, log = excluded.log, at = excluded.at, expires = excluded.expires",
                row.key, row.kind, row.log, now, row.expires);
}

void remove_failure(sqlite::connection& db, const digest& key)
{
    sqlite::run(db, "DELETE FROM compile_failure WHERE key = ?1", key);
}

}  // namespace mhc::cache
