// tests/fuzz/fuzz.hpp -- what the fuzzers share.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace mhc::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

/// Ends the run: something that holds for every input does not hold for this one.
inline void require(bool holds)
{
    if (!holds) std::abort();
}

/// A file in memory, for readers that take a path.
class memory_file {
public:
    explicit memory_file(std::string_view bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC))
    {
        require(fd_ >= 0 && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    }
    ~memory_file() { close(fd_); }
    memory_file(const memory_file&) = delete;
    memory_file& operator=(const memory_file&) = delete;
    std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

}  // namespace mhc::fuzz
