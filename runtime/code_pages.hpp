// runtime/code_pages.hpp -- a code object in memory of its own, for runtimes that read it as long as its module lives.
#pragma once

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <mhc/jit/result.hpp>

namespace mhc::runtime {

/// Whole pages that nobody can write: HIP looks for the mapping an image lies in, and may read its last page to the end.
class code_pages {
public:
    static jit::result<code_pages> copy(std::string_view code)
    {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t bytes = std::max<std::size_t>((code.size() + page - 1) / page, 1) * page;
        void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return jit::failure{jit::errc::load_failed,
                                fmt::format("mmap of {} bytes for a code object: {}", bytes, std::strerror(errno))};
        std::memcpy(at, code.data(), code.size());
        ::mprotect(at, bytes, PROT_READ);
        return code_pages(at, bytes);
    }
    code_pages(code_pages&& from) noexcept : at_(std::exchange(from.at_, nullptr)), bytes_(std::exchange(from.bytes_, 0)) {}
    code_pages& operator=(code_pages&&) = delete;
    ~code_pages()
    {
        if (at_ != nullptr) ::munmap(at_, bytes_);
    }
    const void* data() const { return at_; }

private:
    code_pages(void* at, std::size_t bytes) : at_(at), bytes_(bytes) {}
    void* at_;
    std::size_t bytes_;
};

}  // namespace mhc::runtime
