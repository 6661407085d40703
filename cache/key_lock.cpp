// cache/key_lock.cpp -- waited for by polling, because a wait in the kernel has no time limit.
#include "cache/key_lock.hpp"

#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

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

// A forked child would share the lock, and keep it when its parent is killed.
key_lock::key_lock(const std::string& dir, const digest& key, file_lock_seams seams)
    : lock_(dir, byte_of(key), std::move(seams)),
      hook_([] {},
            [this](bool is_child) {
                if (is_child) lock_.forget();
            })
{
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
