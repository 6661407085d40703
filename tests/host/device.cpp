// tests/host/device.cpp -- the host device, and arrays between guard zones on any device.
#include "tests/host/device.hpp"

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace mhc::testing {
namespace {

class host_device final : public device {
public:
    void* allocate(std::size_t bytes) override
    {
        void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
        if (memory == nullptr) throw std::bad_alloc();
        return memory;
    }
    void release(void* memory) override { std::free(memory); }
    void upload(void* to, std::span<const std::byte> from) override { std::memcpy(to, from.data(), from.size()); }
    void download(std::span<std::byte> to, const void* from) override { std::memcpy(to.data(), from, to.size()); }
    void* stream() override { return nullptr; }
    void synchronize() override {}
};

/// A digest of memory that any single changed byte changes.
std::uint64_t digest_of(std::span<const std::byte> memory)
{
    std::uint64_t lanes[4] = {1, 2, 3, 4};
    std::size_t at = 0;
    for (; at + 32 <= memory.size(); at += 32) {
        std::uint64_t words[4];
        std::memcpy(words, memory.data() + at, 32);
        for (int lane = 0; lane < 4; ++lane) {
            lanes[lane] = (lanes[lane] ^ words[lane]) * 0x9E3779B97F4A7C15ULL;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    }
    for (; at < memory.size(); ++at) lanes[0] = (lanes[0] ^ static_cast<std::uint64_t>(memory[at])) * 0x9E3779B97F4A7C15ULL;
    return ((lanes[0] * 31 + lanes[1]) * 31 + lanes[2]) * 31 + lanes[3];
}

constexpr std::int64_t guard_bytes = 512;

}  // namespace

std::unique_ptr<device> open_device(const std::string& target)
{
    if (target == "host") return std::make_unique<host_device>();
    throw std::runtime_error("no device for target '" + target + "' in this test program; it has: host");
}

guarded_array::guarded_array(device& on, std::int64_t bytes, std::int64_t offset, std::uint32_t fill)
    : device_(on), bytes_(bytes), start_(guard_bytes + offset), fill_(fill)
{
    make({});
}

guarded_array::guarded_array(device& on, std::span<const std::byte> content, std::int64_t offset, std::uint32_t fill)
    : device_(on), bytes_(static_cast<std::int64_t>(content.size())), start_(guard_bytes + offset), fill_(fill)
{
    make(content);
}

void guarded_array::make(std::span<const std::byte> content)
{
    std::vector<std::uint32_t> words(static_cast<std::size_t>(start_ + bytes_ + guard_bytes + 3) / 4, fill_);
    const std::span<std::byte> all = std::as_writable_bytes(std::span(words));
    if (!content.empty()) std::memcpy(all.data() + start_, content.data(), content.size());
    total_ = all.size();
    memory_ = static_cast<std::byte*>(device_.allocate(total_));
    device_.upload(memory_, all);
    digest_ = digest_of(all);
}

guarded_array::~guarded_array() { device_.release(memory_); }

std::vector<std::byte> guarded_array::read_all() const
{
    std::vector<std::byte> all(total_);
    device_.download(all, memory_);
    return all;
}

bool guarded_array::is_unchanged() const { return digest_of(read_all()) == digest_; }

}  // namespace mhc::testing
