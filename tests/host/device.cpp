// tests/host/device.cpp -- a stream for each thread, and arrays between guard zones on any device.
#include "tests/host/device.hpp"

#include <algorithm>
#include <cstring>

namespace mhc::testing {
namespace {

/// A digest that any single changed byte changes, added up over pieces of which all but the last are multiples of 32 bytes.
struct digest {
    std::uint64_t lanes[4] = {1, 2, 3, 4};

    void add(std::span<const std::byte> memory)
    {
        std::size_t at = 0;
        for (; at + 32 <= memory.size(); at += 32) {
            std::uint64_t words[4];
            std::memcpy(words, memory.data() + at, 32);
            for (int lane = 0; lane < 4; ++lane) {
                lanes[lane] = (lanes[lane] ^ words[lane]) * 0x9E3779B97F4A7C15ULL;
                lanes[lane] ^= lanes[lane] >> 29;
            }
        }
        for (; at < memory.size(); ++at)
            lanes[0] = (lanes[0] ^ static_cast<std::uint64_t>(memory[at])) * 0x9E3779B97F4A7C15ULL;
    }
    std::uint64_t value() const { return ((lanes[0] * 31 + lanes[1]) * 31 + lanes[2]) * 31 + lanes[3]; }
};

// Large arrays go up and come back in pieces: the largest weights are 1 GB, and a second copy of them is not needed.
constexpr std::size_t piece_bytes = std::size_t{16} << 20;
constexpr std::int64_t guard_bytes = 512;

}  // namespace

device::~device()
{
    for (const auto& [thread, stream] : streams_) on_->destroy_stream(stream);
}

void* device::stream()
{
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = streams_.try_emplace(std::this_thread::get_id(), nullptr);
    if (is_new) at->second = on_->create_stream().value();
    return at->second;
}

void device::download(std::span<std::byte> to, const void* from)
{
    synchronize();
    on_->download(to.data(), from, to.size()).value();
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
    total_ = static_cast<std::size_t>((start_ + bytes_ + guard_bytes + 3) / 4 * 4);
    memory_ = static_cast<std::byte*>(device_.allocate(total_));
    const std::vector<std::uint32_t> words(std::min(total_, piece_bytes) / 4, fill_);
    const std::span<const std::byte> filled = std::as_bytes(std::span(words));
    for (std::size_t at = 0; at < total_; at += piece_bytes) {
        device_.upload(memory_ + at, filled.first(std::min(piece_bytes, total_ - at)));
    }
    if (!content.empty()) device_.upload(memory_ + start_, content);
    digest_ = current_digest();
}

std::uint64_t guarded_array::current_digest() const
{
    std::vector<std::byte> piece(std::min(total_, piece_bytes));
    digest sum;
    for (std::size_t at = 0; at < total_; at += piece_bytes) {
        const std::span<std::byte> here = std::span(piece).first(std::min(piece_bytes, total_ - at));
        device_.download(here, memory_ + at);
        sum.add(here);
    }
    return sum.value();
}

guarded_array::~guarded_array() { device_.release(memory_); }

std::vector<std::byte> guarded_array::read_all() const
{
    std::vector<std::byte> all(total_);
    device_.download(all, memory_);
    return all;
}

bool guarded_array::is_unchanged() const { return current_digest() == digest_; }

}  // namespace mhc::testing
