// cache/file_lock.hpp -- one byte of a lock file, taken or not: never waited for here.
#pragma once

#include <fcntl.h>

#include <functional>
#include <optional>
#include <string>

#include "cache/file_descriptor.hpp"

namespace mhc::cache {

/// How the locks of the kernel are asked for, where a test has another kernel.
struct file_lock_seams {
    std::function<int(int fd, struct flock* byte)> set_ofd;
    std::function<int(int fd, int operation)> set_flock;

    file_lock_seams();
};

/// A byte of `dir`/mhc.lock, locked for an open file description (OFD): the kernel frees it with the process that held it.
/// Where the kernel or the filesystem has no such locks, one of 64 files `dir`/mhc.lock.N is locked as a whole by flock, so
/// that two bytes may share a lock. None of the files is ever removed.
class file_lock {
public:
    enum class state {
        taken,
        held_elsewhere,
        unsupported,  ///< no lock file can be made, or there are no locks of either kind
    };

    /// Opens the file; takes nothing yet. Byte 0 has a file of its own.
    file_lock(const std::string& dir, long long byte, file_lock_seams seams = {});
    ~file_lock();
    file_lock(const file_lock&) = delete;
    file_lock& operator=(const file_lock&) = delete;

    bool is_open() const { return file_ && *file_; }
    state try_take();
    /// In a forked child, which shares the lock: forgets it without freeing it.
    void forget();

private:
    bool set_byte(short type);
    state try_whole_file();

    file_lock_seams seams_;
    const std::string dir_;
    const long long byte_;
    std::optional<file_descriptor> file_;
    bool is_taken_ = false, is_whole_file_ = false;
};

}  // namespace mhc::cache
