// cache/schema.hpp -- what a database of ours looks like, and how one is told from any other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/sqlite.hpp"

namespace mhc::cache {

inline constexpr std::uint32_t application_id = 0x6D484331;  // "mHC1"
inline constexpr std::int32_t schema_version = 1;

/// What the first bytes of a file say, read without any effect on it.
struct file_identity {
    enum class kind { empty, ours, foreign, not_a_database } is = kind::empty;
    std::int32_t version = 0;  ///< user_version, where the file is ours
};
file_identity identify(const std::string& header);

/// Makes the tables in an empty database that nobody else has open.
void create_schema(sqlite::connection& db);

/// Every column that this library reads is there.
bool columns_fit(sqlite::connection& db);

/// Whether SQLite finds nothing wrong with it. Reads the whole file.
bool is_whole(sqlite::connection& db);

/// Whether the file is another one than the database was last known to be: a copy, which may have been taken while somebody
/// wrote. Its device is not compared, as that changes from one start of a machine to the next.
bool is_copy(sqlite::connection& db, std::uint64_t inode);
void note_file(sqlite::connection& db, std::uint64_t inode);
/// What is_whole reads, without the write-ahead log, which grows by what was written and not by what is stored.
std::int64_t bytes_in_pages(sqlite::connection& db);

/// Notes what happened in the ring of the last 1000 events.
void record_event(sqlite::connection& db, std::int64_t now, const char* kind, const std::string& detail);
/// Those, oldest first.
std::vector<code_store::event> read_events(sqlite::connection& db);

}  // namespace mhc::cache
