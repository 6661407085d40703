// mhc/jit/counters.hpp -- what kernels executed and moved, counted by a device that can: an emulated one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <mhc/jit/result.hpp>

namespace mhc::jit {

/// What was executed between `start` and `stop` of an `execution_counter`. The same on every machine, whatever its number
/// of threads. emulator/COUNTERS.md says what each figure means and where its model comes from.
struct execution_counts {
    // Instructions that waves executed, each in one class; a dual issue is one instruction.
    std::uint64_t vector = 0;          ///< vector arithmetic, moves and conversions, but for the next
    std::uint64_t transcendental = 0;  ///< exp, log, rcp, rsq, sqrt, sin, cos
    std::uint64_t scalar = 0;          ///< scalar arithmetic
    std::uint64_t scalar_memory = 0;   ///< scalar loads
    std::uint64_t global = 0;          ///< loads and stores of memory by lanes, scratch too
    std::uint64_t lds = 0;             ///< LDS, swizzles and permutes through it
    std::uint64_t matrix = 0;          ///< MFMA, WMMA
    std::uint64_t other = 0;           ///< branches, barriers, waits, hints, the end

    std::uint64_t barriers = 0;             ///< arrivals of waves; they are among `other`
    std::uint64_t lds_cycles = 0;           ///< of the LDS of compute units, with conflicts
    std::uint64_t lds_conflict_cycles = 0;  ///< cycles that bank conflicts add

    std::uint64_t bytes_read = 0;         ///< of memory, asked for by active lanes
    std::uint64_t bytes_written = 0;      ///< likewise
    std::uint64_t scalar_bytes_read = 0;  ///< by scalar loads, but for the kernel's arguments
    std::uint64_t shared_bytes = 0;       ///< of these three, those in the ranges that `start` was told of
    std::uint64_t lines_touched = 0;      ///< distinct cache lines of those accesses
    std::uint64_t lines_missed = 0;       ///< requests of lines that the modelled last-level cache does not hold

    std::uint64_t wave_instructions() const
    {
        return vector + transcendental + scalar + scalar_memory + global + lds + matrix + other;
    }
    execution_counts& operator+=(const execution_counts& other);
    bool operator==(const execution_counts&) const = default;
};

inline execution_counts& execution_counts::operator+=(const execution_counts& other)
{
    vector += other.vector, transcendental += other.transcendental, scalar += other.scalar;
    scalar_memory += other.scalar_memory, global += other.global, lds += other.lds, matrix += other.matrix;
    this->other += other.other;
    barriers += other.barriers;
    lds_cycles += other.lds_cycles, lds_conflict_cycles += other.lds_conflict_cycles;
    bytes_read += other.bytes_read, bytes_written += other.bytes_written, scalar_bytes_read += other.scalar_bytes_read;
    shared_bytes += other.shared_bytes;
    lines_touched += other.lines_touched, lines_missed += other.lines_missed;
    return *this;
}

/// The modelled last-level cache: whole lines, the least recently used one leaves first.
struct modelled_cache {
    std::int64_t bytes = 0;  ///< 0: none, every request of a line misses
    std::int64_t line_bytes = 0;
};

/// Memory of the device.
struct memory_range {
    const void* begin = nullptr;
    std::size_t bytes = 0;
};

/// Counts the launches of one device, those of all its streams. For counts that repeat, launch from one thread. Thread-safe.
class execution_counter {
public:
    virtual ~execution_counter() = default;

    /// What the device's processor has.
    virtual modelled_cache cache() const = 0;
    /// From now on launches are counted, from zero and with an empty cache of `cache_bytes`, a multiple of the line's size
    /// (negative: the processor's own size). Accesses to `shared`, tensors that all tokens use, are also counted apart.
    /// Errors: bad_spec, naming what is allowed.
    virtual result<void> start(std::int64_t cache_bytes = -1, std::span<const memory_range> shared = {}) = 0;
    /// The counts since `start`, of launches that did not fail; none are counted any more.
    virtual execution_counts stop() = 0;
};

}  // namespace mhc::jit
