// tools/mhc-bench/memory.hpp -- a target's memory for a benchmark: buffers, random contents, and how much of it is cold.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <mhc/jit/device.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::tools {

/// Memory of a device, given back at the end.
class buffer {
public:
    /// `bytes` of 0 is no memory. Throws mhc::jit::exception where the device has none left.
    buffer(jit::device& on, std::int64_t bytes);
    ~buffer();
    buffer(buffer&& other) noexcept : on_(other.on_), memory_(std::exchange(other.memory_, nullptr)) {}
    buffer& operator=(buffer&&) = delete;

    void* get() const { return memory_; }

private:
    jit::device* on_;
    void* memory_ = nullptr;
};

/// A normal distribution.
struct distribution {
    float mean = 0.0F, deviation = 1.0F;
    auto operator<=>(const distribution&) const = default;
};

/// Random numbers of a normal distribution, drawn once: a tensor gets a stretch of them, and the next tensor another.
class random_source {
public:
    random_source();

    /// Writes `count` elements of this distribution, rounded to `type`.
    void fill(jit::device& on, void* to, std::int64_t count, jit::dtype type, const distribution& of = {});

private:
    const std::vector<std::byte>& elements(jit::dtype type, const distribution& of);

    std::vector<float> drawn_;
    std::map<std::pair<jit::dtype, distribution>, std::vector<std::byte>> rounded_;
    std::size_t next_ = 0;  ///< element at which the next tensor begins
};

/// Traffic after which no cache holds anything of the first call: 264 MB on a GPU, more than five times the L2 of an H200;
/// on host 4 times the last-level caches, at most 1 GiB.
std::int64_t cold_bytes(const jit::device& on);

/// Bytes of this machine's last-level caches, all of them; 32 MiB where the system does not say.
std::int64_t last_level_cache_bytes();

/// Bytes of this machine's memory.
std::int64_t physical_memory_bytes();

}  // namespace mhc::tools
