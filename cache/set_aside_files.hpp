// cache/set_aside_files.hpp -- databases moved out of the way: renamed with what belongs to them, and not kept for ever.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace mhc::cache {

/// Renames the database with its log or journal if it is still the file `inode`; false: it is another, or gone. Throws
/// sqlite::error when it cannot be renamed. Another's write-ahead log beside a new database would be played into it, hence
/// the log goes first.
bool move_database(const std::string& from, ino_t inode, const std::string& to);

/// `path`.corrupt-TIME-PID
std::string name_for_corrupt(const std::string& path, std::int64_t now);

void keep_newest_corrupt(const std::string& path, std::size_t count);

}  // namespace mhc::cache
