// cache/maintenance_lock.hpp -- held by the one process that makes the user database or moves it out of the way.
#pragma once

#include <string>

#include "cache/file_descriptor.hpp"

namespace mhc::cache {

/// Byte 0 of `dir`/mhc.lock, a file that is never removed. The kernel frees the lock with the process that held it.
class maintenance_lock {
public:
    /// Waits 2 s at most. Throws sqlite::error (busy) when another keeps it; a filesystem without such locks is no error.
    explicit maintenance_lock(const std::string& dir);

private:
    file_descriptor file_;
};

}  // namespace mhc::cache
