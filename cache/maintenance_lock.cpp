// cache/maintenance_lock.cpp -- taken by polling.
#include "cache/maintenance_lock.hpp"

#include <chrono>
#include <thread>

#include "cache/sqlite.hpp"

namespace mhc::cache {

maintenance_lock::maintenance_lock(const std::string& dir) : lock_(dir, 0)
{
    using namespace std::chrono;
    if (!lock_.is_open()) throw sqlite::error(sqlite::fault::cannot_open, "cannot open " + dir + "/mhc.lock");
    const auto deadline = steady_clock::now() + seconds(2);
    while (lock_.try_take() == file_lock::state::held_elsewhere) {
        if (steady_clock::now() > deadline)
            throw sqlite::error(sqlite::fault::busy, "another process keeps " + dir + "/mhc.lock");
        std::this_thread::sleep_for(milliseconds(5));
    }
}

}  // namespace mhc::cache
