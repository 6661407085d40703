// emulator/shadow.hpp -- which bits of a wave's registers depend on something that nothing wrote.
//
// Nearly always all bits that an instruction reads are defined, and then a few masks say so. Where they are not, the exact
// bits are kept; see trial.hpp for how they spread.
#pragma once

#include <string>
#include <vector>

#include "emulator/effects.hpp"
#include "emulator/wave.hpp"

namespace mhc::emulator {

/// Where undefined bits come from, for messages.
struct origin {
    enum class kind : u8 { vector, scalar, scc, lds, scratch };
    kind from = kind::vector;
    u32 number = 0;  ///< of the register; of the byte
    std::string text() const;
};

/// One vector register: a bit a lane.
struct lane_shadow {
    u64 some = ~u64{0};   ///< lanes with an undefined bit
    u64 whole = ~u64{0};  ///< lanes whose bits are all undefined; within `some`
};

class wave_shadow {
public:
    wave_shadow(u32 vectors, u32 lanes);

    /// Nothing is defined but the scalars `given`, and in v0 the active lanes.
    void begin(const wave& w, const scalar_set& given);

    u64 lanes_of(u32 vector) const { return vectors_[vector].some; }
    /// Lanes of all the registers that have an undefined bit.
    u64 lanes_of(const vector_ranges& of) const
    {
        u64 found = 0;
        for (const vector_range& range : of)
            for (u32 i = range.first; i < u32{range.first} + range.count; ++i) found |= vectors_[i].some;
        return found;
    }
    u32 bits(u32 vector, u32 lane) const
    {
        const lane_shadow& of = vectors_[vector];
        if ((of.some >> lane & 1) == 0) return 0;
        return (of.whole >> lane & 1) != 0 ? ~0U : bits_[std::size_t{vector} * lanes_ + lane];
    }
    void set_bits(u32 vector, u32 lane, u32 undefined);
    void define(const vector_ranges& of, u64 lanes)
    {
        for (const vector_range& range : of)
            for (u32 i = range.first; i < u32{range.first} + range.count; ++i) {
                vectors_[i].some &= ~lanes;
                vectors_[i].whole &= ~lanes;
            }
    }

    u32 scalar_bits(u32 index) const { return undefined_scalars.has(index) ? scalar_bits_[index] : 0; }
    void set_scalar_bits(u32 index, u32 undefined);

    scalar_set undefined_scalars;  ///< those with an undefined bit
    bool scc = true;               ///< SCC is undefined
    origin scc_origin;
    std::vector<origin> vector_origins;
    std::vector<origin> scalar_origins;

private:
    u32 lanes_;
    std::vector<lane_shadow> vectors_;
    std::vector<u32> bits_;  ///< where `some` without `whole`
    std::vector<u32> scalar_bits_;
};

/// "v5", "a3", "s7", "vcc_lo": for messages.
std::string vector_name(u32 index);
std::string scalar_name(u32 index);

}  // namespace mhc::emulator
