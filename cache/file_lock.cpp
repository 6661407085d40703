// cache/file_lock.cpp -- OFD locks, else flock.
#include "cache/file_lock.hpp"

#include <sys/file.h>

#include <cerrno>
#include <utility>

namespace mhc::cache {
namespace {

constexpr long long whole_files = 63;

file_descriptor open_lock_file(const std::string& path)
{
    return file_descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
}

}  // namespace

file_lock_seams::file_lock_seams()
    // Not F_SETLK: those locks belong to the process, and any close of the file would drop them.
    : set_ofd([](int fd, struct flock* byte) { return fcntl(fd, F_OFD_SETLK, byte); }),
      set_flock([](int fd, int operation) { return flock(fd, operation); })
{
}

file_lock::file_lock(const std::string& dir, long long byte, file_lock_seams seams)
    : seams_(std::move(seams)), dir_(dir), byte_(byte), file_(open_lock_file(dir + "/mhc.lock"))
{
}

file_lock::~file_lock()
{
    if (!is_taken_) return;
    // Not by closing alone: a child that is between its fork and its exec has the file open too.
    if (is_whole_file_)
        seams_.set_flock(file_->get(), LOCK_UN);
    else
        set_byte(F_UNLCK);
}

void file_lock::forget()
{
    file_.reset();
    is_taken_ = false;
}

bool file_lock::set_byte(short type)
{
    int result = -1;
    do {
        struct flock byte {};
        byte.l_type = type;
        byte.l_whence = SEEK_SET;
        byte.l_start = byte_;
        byte.l_len = 1;
        result = seams_.set_ofd(file_->get(), &byte);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

file_lock::state file_lock::try_take()
{
    if (!is_open()) return state::unsupported;
    if (is_whole_file_) return try_whole_file();
    is_taken_ = set_byte(F_WRLCK);
    if (is_taken_) return state::taken;
    if (errno == EAGAIN || errno == EACCES) return state::held_elsewhere;
    // EINVAL: a kernel that does not know them; ENOLCK and others: a filesystem that has none.
    const std::string number = std::to_string(byte_ == 0 ? 0 : 1 + byte_ % whole_files);
    file_.emplace(open_lock_file(dir_ + "/mhc.lock." + number));
    is_whole_file_ = true;
    return is_open() ? try_whole_file() : state::unsupported;
}

file_lock::state file_lock::try_whole_file()
{
    int result = -1;
    do {
        result = seams_.set_flock(file_->get(), LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    is_taken_ = result == 0;
    if (is_taken_) return state::taken;
    return errno == EWOULDBLOCK ? state::held_elsewhere : state::unsupported;
}

}  // namespace mhc::cache
