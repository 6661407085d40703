// tests/host/device.hpp -- where kernels run in a test: memory and a stream. The numerical tests know nothing else of a
// target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include <mhc/jit/device.hpp>

namespace mhc::testing {

/// Memory of one target, and a stream for each thread that uses it. Failures throw jit::exception: the test then says so
/// and stops.
class device {
public:
    explicit device(std::shared_ptr<jit::device> on) : on_(std::move(on)) {}
    ~device();
    device(const device&) = delete;
    device& operator=(const device&) = delete;

    /// `bytes` > 0 of memory, aligned to 256 bytes.
    void* allocate(std::size_t bytes) { return on_->allocate(bytes).value(); }
    void release(void* memory) { on_->release(memory); }
    void upload(void* to, std::span<const std::byte> from) { on_->upload(to, from.data(), from.size()).value(); }
    /// Waits for the calling thread's stream first.
    void download(std::span<std::byte> to, const void* from);
    /// What the calling thread's launches are given: hipStream_t or CUstream; null on `host`.
    void* stream();
    void synchronize() { on_->synchronize(stream()).value(); }

    jit::device& itself() { return *on_; }

private:
    std::shared_ptr<jit::device> on_;
    std::mutex mutex_;
    std::map<std::thread::id, void*> streams_;
};

/// An array on a device between guard zones, whose elements are those of the array's type with the bits of `fill`.
class guarded_array {
public:
    /// The array starts `offset` bytes behind a multiple of 256, so that kernels cannot count on more than they ask for.
    /// `fill` is 4 bytes, or 2 bytes twice. Without content the array is filled like its guards.
    guarded_array(device& on, std::int64_t bytes, std::int64_t offset, std::uint32_t fill);
    guarded_array(device& on, std::span<const std::byte> content, std::int64_t offset, std::uint32_t fill);
    ~guarded_array();
    guarded_array(const guarded_array&) = delete;
    guarded_array& operator=(const guarded_array&) = delete;

    void* pointer() const { return memory_ + start_; }
    std::int64_t bytes() const { return bytes_; }
    std::uint32_t fill() const { return fill_; }

    /// The whole allocation with its guards, as it is now.
    std::vector<std::byte> read_all() const;
    /// Where the array starts in `read_all`.
    std::int64_t start() const { return start_; }
    /// Whether array and guards are what they were when made.
    bool is_unchanged() const;

private:
    device& device_;
    std::byte* memory_ = nullptr;
    std::int64_t bytes_ = 0, start_ = 0;
    std::uint32_t fill_ = 0;
    std::size_t total_ = 0;
    std::uint64_t digest_ = 0;

    void make(std::span<const std::byte> content);
    std::uint64_t current_digest() const;
};

}  // namespace mhc::testing
