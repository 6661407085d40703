// emulator/lanes.hpp -- how vector instructions read sources, go over lanes and write results.
//
// A source is read as a row: one word a lane. Registers without modifiers are rows already; everything else is made into
// one in a buffer. Results are made in a buffer too and then written to the active lanes, so that no instruction sees its
// own results. The loops have fixed lengths, for the compiler to vectorise.
#pragma once

#include <cmath>
#include <cstring>

#include "emulator/wave.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace mhc::emulator {

struct alignas(64) row {
    u32 at[lanes_max];
    u32& operator[](u32 lane) { return at[lane]; }
    u32 operator[](u32 lane) const { return at[lane]; }
};

/// Calls f(lane) for 32 lanes. The first is a constant: else the compiler must reckon with lane numbers that wrap round, and
/// leaves loops scalar.
template <u32 First, class F>
inline __attribute__((always_inline)) void each_of_32_lanes(F f)
{
#pragma GCC ivdep
    for (u32 i = 0; i < 32; ++i) f(First + i);
}

/// Calls f(lane) for every lane of the wave, active or not.
template <class F>
inline __attribute__((always_inline)) void each_lane(const wave& w, F f)
{
    each_of_32_lanes<0>(f);
    if (w.lanes == 64) each_of_32_lanes<32>(f);
}

u32 read_special(const wave& w, u32 index);  ///< scc, vccz, execz

/// Word `word` of a scalar source, the same in all lanes.
inline u32 scalar_word(const wave& w, const operand& from, u32 word = 0)
{
    if (from.kind == operand_kind::constant) return word == 0 ? from.value : from.high;
    if (from.index >= scalar::scc) return read_special(w, from.index);
    return w.s[from.index + word];
}
inline u64 scalar_pair(const wave& w, const operand& from)
{
    return joined(scalar_word(w, from, 0),
                  from.words == 1 && from.kind == operand_kind::scalar ? 0 : scalar_word(w, from, 1));
}
/// A bit a lane, as wide as the wave.
inline u64 mask_of(const wave& w, const operand& from)
{
    return w.lanes == 64 ? scalar_pair(w, from) : scalar_word(w, from);
}

/// Lanes that DPP may write, and the words it brings.
u64 move_lanes(const wave& w, const lane_move& by, const u32* from, row& into);

u32 scalar_part(const wave& w, const operand& from);  ///< of a scalar that SDWA or op_sel takes a part of

/// The word of a source in every lane, before modifiers of floats.
const u32* read_modified(const wave& w, const operation& op, const operand& from, u32 word, row& buffer);
inline const u32* read(const wave& w, const operation& op, const operand& from, u32 word, row& buffer)
{
    if (from.kind != operand_kind::vector) {
        const u32 value = from.selected == part::dword ? scalar_word(w, from, word) : scalar_part(w, from);
        for (u32& each : buffer.at) each = value;
        return buffer.at;
    }
    if (from.selected != part::dword || from.is_moved) return read_modified(w, op, from, word, buffer);
    return w.vector(from.index + word);
}

inline constexpr u32 is_denormal_below = 0x00800000;  ///< of a float's bits without sign

inline u32 flushed(u32 bits) { return (bits & 0x7FFFFFFFU) < is_denormal_below ? bits & sign_bit : bits; }

/// A source with |x| and -x.
inline const u32* read_signed(const wave& w, const operation& op, const operand& from, row& buffer, u32 word = 0)
{
    const u32* bits = read(w, op, from, word, buffer);
    if (from.is_negated || from.is_absolute) {
        const u32 keep = from.is_absolute ? ~sign_bit : ~0U, flip = from.is_negated ? sign_bit : 0;
        each_lane(w, [&](u32 lane) { buffer[lane] = (bits[lane] & keep) ^ flip; });
        bits = buffer.at;
    }
    return bits;
}

/// A source of fp32, without denormals where the mode says so.
inline const u32* read_single(const wave& w, const operation& op, const operand& from, row& buffer, u32 word = 0)
{
    const u32* bits = read_signed(w, op, from, buffer, word);
    if (!w.single.in) {
        each_lane(w, [&](u32 lane) { buffer[lane] = flushed(bits[lane]); });
        bits = buffer.at;
    }
    return bits;
}

/// Two words of a source of 64 bits.
struct wide_row {
    row low_buffer, high_buffer;
    const u32 *low = nullptr, *high = nullptr;
    u64 operator[](u32 lane) const { return joined(low[lane], high[lane]); }
};
inline void read_wide(const wave& w, const operation& op, const operand& from, wide_row& into)
{
    into.low = read(w, op, from, 0, into.low_buffer);
    into.high = read(w, op, from, 1, into.high_buffer);
}
inline void read_double(const wave& w, const operation& op, const operand& from, wide_row& into)
{
    read_wide(w, op, from, into);
    if (!from.is_negated && !from.is_absolute) return;
    const u32 keep = from.is_absolute ? ~sign_bit : ~0U, flip = from.is_negated ? sign_bit : 0;
    each_lane(w, [&](u32 lane) { into.high_buffer[lane] = (into.high[lane] & keep) ^ flip; });
    into.high = into.high_buffer.at;
}

/// Writes the active lanes of register `word` of a destination.
void write_modified(wave& w, const operation& op, u32 word, const row& result);
inline void write(wave& w, const operation& op, const row& result, u32 word = 0)
{
    if (op.written != part::dword || op.move.how != lane_move::kind::none) return write_modified(w, op, word, result);
    u32* const to = w.vector(op.to[0].index + word);
    if (w.is_full) {
        std::memcpy(to, result.at, w.lanes * sizeof(u32));
        return;
    }
    each_lane(w, [&](u32 lane) { to[lane] = (to[lane] & ~w.active[lane]) | (result[lane] & w.active[lane]); });
}

/// The result of fp32: scaled, clamped, without denormals, as instruction and mode say.
inline void write_single(wave& w, const operation& op, row& result, u32 word = 0)
{
    if (op.result_scale != 0) {
        const float by = op.result_scale == 1 ? 2.0F : op.result_scale == 2 ? 4.0F : 0.5F;
        each_lane(w, [&](u32 lane) { result[lane] = to_bits(to_float(result[lane]) * by); });
    }
    if (op.clamps) {  // a NaN becomes 0
        each_lane(w, [&](u32 lane) {
            const float value = to_float(result[lane]);
            result[lane] = to_bits(value > 0.0F ? (value < 1.0F ? value : 1.0F) : 0.0F);
        });
    }
    if (!w.single.out) each_lane(w, [&](u32 lane) { result[lane] = flushed(result[lane]); });
    write(w, op, result, word);
}

/// The lanes where `flags` is not 0, as a mask.
inline u64 packed(const wave& w, const row& flags)
{
    u64 mask = 0;
#if defined(__AVX2__)
    const __m256i zero = _mm256_setzero_si256();
    for (u32 lane = 0; lane < w.lanes; lane += 8) {
        const __m256i eight = _mm256_load_si256(reinterpret_cast<const __m256i*>(flags.at + lane));
        const int zeros = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(eight, zero)));
        mask |= u64{static_cast<u32>(~zeros) & 0xFFU} << lane;
    }
#else
    for (u32 lane = 0; lane < w.lanes; ++lane) mask |= u64{flags[lane] != 0} << lane;
#endif
    return mask;
}

/// A mask as all ones or zeros a lane.
inline void unpack(const wave& w, u64 mask, row& into)
{
    each_lane(w, [&](u32 lane) { into[lane] = 0U - static_cast<u32>(mask >> lane & 1); });
}

}  // namespace mhc::emulator
