// emulator/matrix_numbers.hpp -- how matrix instructions add products.
//
// AMD documents what MFMA computes and where elements lie, not how sums are rounded. These are the rules that were measured
// on MI210/MI250 and MI300X: "MMA-Sim: Bit-Accurate Reference Model of Tensor Cores and Matrix Cores" (arXiv 2511.10909),
// CDNA2 and CDNA3; and for subnormals of MI200 also MIOpen's "MI200 MFMA behavior specifics":
//
//   fp32, fp64        a chain of fma over k, from C
//   fp16, bf16 gfx90a products of four (bf16 without _1k: two) k are added as a tree in fp32, then to the sum; subnormal
//                     sources, sums and results are zeros
//   the others gfx942 products of eight k (xf32: four; fp8: sixteen) are added exactly but for what lies 24 bits below the
//                     largest exponent, which is cut off; the sum of that and C is rounded once to nearest even
//
// What a NaN looks like is defined by us: the one that IEEE arithmetic of the host gives.
#pragma once

#include <algorithm>
#include <cmath>

#include "emulator/integers.hpp"
#include "emulator/numbers.hpp"

namespace mhc::emulator {

/// A number in parts: significand / 2^fraction_bits * 2^exponent, with the significand below 2, and below 1 if subnormal.
struct number_parts {
    i32 significand = 0;
    i32 exponent = -126;  ///< also of zero, in every format: as measured
};

/// A format of floats with subnormals; Fnuz: one zero, no infinities, and 0x80 is the NaN.
template <u32 ExponentBits, u32 FractionBits, i32 Bias, bool Fnuz = false>
struct float_format {
    static constexpr u32 bits = 1 + ExponentBits + FractionBits, fraction_bits = FractionBits;

    static number_parts parts(u32 v)
    {
        const u32 fraction = v & ((1U << FractionBits) - 1), field = v >> FractionBits & ((1U << ExponentBits) - 1);
        const bool is_negative = (v >> (bits - 1) & 1U) != 0;
        if (field == 0 && fraction == 0) return {};
        const auto size = static_cast<i32>(field == 0 ? fraction : fraction | 1U << FractionBits);
        return {is_negative ? -size : size, std::max<i32>(static_cast<i32>(field), 1) - Bias};
    }
    static bool is_special(u32 v)
    {
        constexpr u32 field = ((1U << ExponentBits) - 1) << FractionBits;
        return Fnuz ? v == 1U << (bits - 1) : (v & field) == field;
    }
    static double value(u32 v)
    {
        constexpr u32 fraction = (1U << FractionBits) - 1;
        if (!is_special(v)) {
            const number_parts p = parts(v);
            return std::ldexp(static_cast<double>(p.significand), p.exponent - static_cast<i32>(FractionBits));
        }
        if (Fnuz || (v & fraction) != 0) return std::numeric_limits<double>::quiet_NaN();
        return (v >> (bits - 1) & 1U) != 0 ? -std::numeric_limits<double>::infinity()
                                           : std::numeric_limits<double>::infinity();
    }
};
using half_format = float_format<5, 10, 15>;
using bfloat_format = float_format<8, 7, 127>;
using single_format = float_format<8, 23, 127>;
using xf32_format = float_format<8, 10, 127>;  ///< fp32 without its last 13 bits
using fp8_fnuz_format = float_format<4, 3, 8, true>;
using bf8_fnuz_format = float_format<5, 2, 16, true>;

inline float without_subnormal(float v) { return std::fabs(v) < 0x1p-126F ? v * 0.0F : v; }

/// The fused sums of gfx942, of one group of products.
struct fused_sum {
    i64 sum = 0;  ///< in units of 2^(exponent - 24)
    i32 exponent = 0;
};

/// Products of every `Step`-th of `Count` elements from `first` on.
template <class A, class B, u32 Count, u32 Step>
fused_sum sum_products(const number_parts* a, const number_parts* b, u32 first)
{
    i32 largest = a[first].exponent + b[first].exponent;
    for (u32 k = first + Step; k < Count; k += Step) largest = std::max(largest, a[k].exponent + b[k].exponent);
    i64 sum = 0;
    for (u32 k = first; k < Count; k += Step) {
        constexpr i32 up = 24 - static_cast<i32>(A::fraction_bits + B::fraction_bits);
        const i64 product = i64{a[k].significand} * b[k].significand;
        const i32 down = std::min(largest - a[k].exponent - b[k].exponent, 62);
        const i64 size = (product < 0 ? -product : product) << up >> down;  // cut off towards zero
        sum += product < 0 ? -size : size;
    }
    return {sum, largest};
}

/// Rounds towards minus infinity.
inline i64 shifted_down(i64 value, i32 by) { return value >> std::min(by, 62); }

/// The group's sum and the addend, cut off below and rounded to fp32.
inline float add_fused(fused_sum of, u32 addend, bool drops_far_addend)
{
    const number_parts c = single_format::parts(addend);
    const i32 largest = std::max(of.exponent, c.exponent);
    const i64 products = shifted_down(of.sum << 7, largest - of.exponent);  // in units of 2^(largest - 31)
    const i64 added = drops_far_addend && c.exponent < largest - 25
                          ? 0
                          : shifted_down(i64{c.significand} << 1, largest - c.exponent);  // of 2^(largest - 24)
    return static_cast<float>(std::ldexp(static_cast<double>(products + (added << 7)), largest - 31));
}

}  // namespace mhc::emulator
