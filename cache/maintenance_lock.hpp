// cache/maintenance_lock.hpp -- held by the one process that makes the user database or moves it out of the way.
#pragma once

#include <string>

#include "cache/file_lock.hpp"

namespace mhc::cache {

/// Byte 0 of the lock file of `dir`.
class maintenance_lock {
public:
    /// Waits 2 s at most. Throws sqlite::error (busy) when another keeps it; a filesystem without locks is no error.
    explicit maintenance_lock(const std::string& dir);

private:
    file_lock lock_;
};

}  // namespace mhc::cache
