// cache/key_lock.cpp -- an OFD lock on one byte, waited for by polling, because a wait in the kernel has no time limit.
#include "cache/key_lock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>

namespace mhc::cache {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto shortest_sleep = 1ms, longest_sleep = 50ms;

/// The first 62 bits of the key, which every off_t holds; never 0.
long long byte_of(const digest& key)
{
    unsigned long long bits = 0;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | key[static_cast<std::size_t>(i)];
    return static_cast<long long>(std::max(bits >> 2, 1ULL));
}

}  // namespace

// A forked child would share the lock, and keep it when its parent is killed: it closes its copy of the file.
key_lock::key_lock(const std::string& dir, const digest& key)
    : file_(open((dir + "/mhc.lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)),
      byte_(byte_of(key)),
      hook_([] {},
            [this](bool is_child) {
                if (is_child && file_) close(file_.release());
            })
{
}

key_lock::~key_lock()
{
    // Not by closing alone: a child that is between its fork and its exec has the file open too.
    if (is_taken_) set(F_UNLCK);
}

bool key_lock::set(short type)
{
    struct flock byte {};
    byte.l_type = type;
    byte.l_whence = SEEK_SET;
    byte.l_start = byte_;
    byte.l_len = 1;
    int result = -1;
    do {
        result = fcntl(file_.get(), F_OFD_SETLK, &byte);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

key_lock::state key_lock::try_take()
{
    if (!file_) return state::unsupported;
    is_taken_ = set(F_WRLCK);
    if (is_taken_) return state::taken;
    return errno == EAGAIN || errno == EACCES ? state::held_elsewhere : state::unsupported;
}

key_lock::state key_lock::wait(std::chrono::milliseconds at_most)
{
    const auto deadline = steady_clock::now() + at_most;
    // Thousands of ranks that start together must not all look at the same moments.
    std::minstd_rand random(static_cast<unsigned>(getpid()) ^
                            static_cast<unsigned>(steady_clock::now().time_since_epoch().count()));
    for (auto sleep = std::chrono::microseconds(shortest_sleep);;
         sleep = std::min<std::chrono::microseconds>(sleep * 2, longest_sleep)) {
        const state now = try_take();
        const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - steady_clock::now());
        if (now != state::held_elsewhere || left <= 0us) return now;
        const auto jittered = sleep / 2 + std::chrono::microseconds(random() % static_cast<unsigned long>(sleep.count()));
        std::this_thread::sleep_for(std::min(left, jittered));
    }
}

}  // namespace mhc::cache
