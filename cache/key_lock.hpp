// cache/key_lock.hpp -- held by the one process of this machine that compiles a key.
#pragma once

#include <chrono>
#include <string>

#include "cache/code_store.hpp"
#include "cache/file_lock.hpp"
#include "cache/fork_hook.hpp"

namespace mhc::cache {

/// A lock of `dir`, at a place that the key gives; byte 0 is the maintenance lock's. Nothing depends on it but how often a
/// key is compiled: where there is no such lock, everybody compiles.
class key_lock {
public:
    using state = file_lock::state;

    /// Opens the file; takes nothing yet.
    key_lock(const std::string& dir, const digest& key, file_lock_seams seams = {});

    state try_take() { return lock_.try_take(); }
    /// Tries again and again, at most this long.
    state wait(std::chrono::milliseconds at_most);

private:
    file_lock lock_;
    fork_hook hook_;
};

}  // namespace mhc::cache
