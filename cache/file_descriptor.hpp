// cache/file_descriptor.hpp -- an open file that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace mhc::cache {

class file_descriptor {
public:
    explicit file_descriptor(int fd) : fd_(fd) {}
    ~file_descriptor()
    {
        if (fd_ >= 0) close(fd_);
    }
    file_descriptor(file_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file_descriptor& operator=(file_descriptor&&) = delete;

    explicit operator bool() const { return fd_ >= 0; }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

}  // namespace mhc::cache
