// emulator/lds_shadow.hpp -- what the checks know of each LDS byte: its undefined bits, and who touched it.
//
// Two waves race for a byte where one writes it, the other touches it, and no barrier is between them. A wave's access comes
// before another's when the wave signalled the barrier after its access and the other waited for that before its own: with
// signals and waits counted, `waits of the later > signals of the earlier`. A barrier in one instruction is both at once.
#pragma once

#include <string>
#include <vector>

#include "emulator/shadow.hpp"

namespace mhc::emulator {

/// Where a wave is among the barriers. Both count on from one work-group to the next of a thread, so that what is noted of a
/// former group comes before everything.
struct barrier_clock {
    u32 signals = 0, waits = 0;
};

/// Who touches bytes, and at which operation.
struct lds_toucher {
    u32 wave = 0;
    u32 operation = 0;
    barrier_clock clock;
    bool is_write = false, is_atomic = false;
};

class lds_shadow {
public:
    explicit lds_shadow(u32 bytes);

    /// Nothing is written.
    void begin();

    /// Undefined bits of `count` bytes, at most 4, from `byte` on.
    u32 bits(u32 byte, u32 count) const
    {
        u32 found = 0;
        for (u32 i = 0; i < count; ++i) found |= u32{undefined_[byte + i]} << (i * 8);
        return found;
    }
    void set_bits(u32 byte, u32 count, u32 undefined)
    {
        for (u32 i = 0; i < count; ++i) undefined_[byte + i] = static_cast<u8>(undefined >> (i * 8));
    }
    /// Whether [byte, byte + count) is defined, whole words at a time.
    bool is_defined(u32 byte, u32 count) const;

    /// Where a word's undefined bits come from, when something undefined was written; else the byte itself.
    origin origin_of(u32 byte) const;
    void set_origin(u32 byte, const origin& from);

    /// An access that raced with this one, or null. Notes the access.
    struct note {
        u32 signals = 0;  ///< 0: none
        u32 operation = 0;
        u8 wave = 0;
        bool is_atomic = false;
    };
    const note* touch(u32 byte, u32 count, const lds_toucher& by);

private:
    /// The last write, and the two latest reads by different waves: if any wave's read races with a write, one of these
    /// does.
    struct cell {
        note write, reads[2];
    };
    const note* touch(cell& of, const lds_toucher& by);

    std::vector<u8> undefined_;
    std::vector<cell> cells_;      ///< a byte each; the first of a word stands for all four while `is_split_` is not set
    std::vector<u8> is_split_;     ///< a word each
    std::vector<origin> origins_;  ///< a word each; empty until something undefined is written
    note found_;
};

}  // namespace mhc::emulator
