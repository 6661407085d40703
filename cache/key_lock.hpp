// cache/key_lock.hpp -- held by the one process of this machine that compiles a key.
#pragma once

#include <chrono>
#include <string>

#include "cache/code_store.hpp"
#include "cache/file_descriptor.hpp"
#include "cache/fork_hook.hpp"

namespace mhc::cache {

/// One byte of `dir`/mhc.lock, at a place that the key gives; byte 0 is the maintenance lock's. The file is never removed.
/// The kernel frees the lock with the process that held it. Nothing depends on it but how often a key is compiled: where
/// there is no such lock, everybody compiles.
class key_lock {
public:
    enum class state {
        taken,
        held_elsewhere,
        unsupported,  ///< no lock file can be made, or the filesystem has no such locks
    };

    /// Opens the file; takes nothing yet.
    key_lock(const std::string& dir, const digest& key);
    ~key_lock();

    state try_take();
    /// Tries again and again, at most this long.
    state wait(std::chrono::milliseconds at_most);

private:
    bool set(short type);

    file_descriptor file_;
    const long long byte_;
    bool is_taken_ = false;
    fork_hook hook_;
};

}  // namespace mhc::cache
