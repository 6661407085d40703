// cache/maintenance_lock.cpp -- an OFD lock, taken by polling.
#include "cache/maintenance_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "cache/sqlite.hpp"

namespace mhc::cache {

maintenance_lock::maintenance_lock(const std::string& dir)
    : file_(open((dir + "/mhc.lock").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600))
{
    using namespace std::chrono;
    if (!file_) throw sqlite::error(sqlite::fault::cannot_open, "cannot open " + dir + "/mhc.lock");
    const auto deadline = steady_clock::now() + seconds(2);
    while (true) {
        // Not F_SETLK: those locks belong to the process, and any close of the file would drop them.
        struct flock byte {};
        byte.l_type = F_WRLCK;
        byte.l_whence = SEEK_SET;
        byte.l_len = 1;
        if (fcntl(file_.get(), F_OFD_SETLK, &byte) == 0) return;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) return;
        if (steady_clock::now() > deadline)
            throw sqlite::error(sqlite::fault::busy, "another process keeps " + dir + "/mhc.lock");
        std::this_thread::sleep_for(milliseconds(5));
    }
}

}  // namespace mhc::cache
