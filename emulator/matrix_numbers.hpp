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

/// Of an exponent within double's.
inline double power_of_two(i32 exponent) { return to_double(static_cast<u64>(exponent + 1023) << 52); }

/// A format of floats with subnormals; Fnuz: one zero, no infinities, and 0x80 is the NaN.
template <u32 ExponentBits, u32 FractionBits, i32 Bias, bool Fnuz = false>
struct float_format {
    static constexpr u32 bits = 1 + ExponentBits + FractionBits, fraction_bits = FractionBits;

    static number_parts parts(u32 v)
    {
        const u32 fraction = v & ((1U << FractionBits) - 1), field = v >> FractionBits & ((1U << ExponentBits) - 1);
        const auto size = static_cast<i32>(field == 0 ? fraction : fraction | 1U << FractionBits);
        const i32 sign = -static_cast<i32>(v >> (bits - 1) & 1U);
        const i32 exponent = std::max<i32>(static_cast<i32>(field), 1) - Bias;
        return {(size ^ sign) - sign, size == 0 ? number_parts{}.exponent : exponent};
    }
    /// As fp32, with zeros for subnormals.
    static float normal_single(u32 v)
    {
        static_assert(!Fnuz && FractionBits <= 23 && Bias <= 127);
        constexpr u32 largest = (1U << ExponentBits) - 1;
        const u32 fraction = v & ((1U << FractionBits) - 1), field = v >> FractionBits & largest;
        const u32 exponent = field == largest ? 255 : field + static_cast<u32>(127 - Bias);
        const u32 single = (v >> (bits - 1) & 1U) << 31 | exponent << 23 | fraction << (23 - FractionBits);
        return to_float(field == 0 ? 0 : single);
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
            return static_cast<double>(p.significand) * power_of_two(p.exponent - static_cast<i32>(FractionBits));
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

/// Rounds towards minus infinity.
inline i32 shifted_down(i32 value, i32 by) { return value >> std::min(by, 31); }

/// The fused sums of gfx942, of one group of products in each column.
template <u32 Columns>
struct fused_sums {
    i32 sum[Columns] = {};  ///< in units of 2^(exponent - 24); sixteen products take 30 bits
    i32 exponent[Columns];

    void join(const fused_sums& others)
    {
        for (u32 j = 0; j < Columns; ++j) {
            const i32 largest = std::max(exponent[j], others.exponent[j]);
            sum[j] = shifted_down(sum[j], largest - exponent[j]) + shifted_down(others.sum[j], largest - others.exponent[j]);
            exponent[j] = largest;
        }
    }
};

/// A group's sum and the addend, cut off below and rounded to fp32.
inline float add_fused(i32 sum, i32 exponent, u32 addend, bool drops_far_addend)
{
    const number_parts c = single_format::parts(addend);
    const i32 largest = std::max(exponent, c.exponent);
    // Rounded towards minus infinity, in units of 2^(largest - 31) and of 2^(largest - 24).
    const double products = std::floor(sum * power_of_two(exponent - largest + 7));
    const double added = drops_far_addend && c.exponent < largest - 25
                             ? 0.0
                             : std::floor(c.significand * power_of_two(c.exponent - largest + 1));
    return static_cast<float>((products + added * 128) * power_of_two(largest - 31));
}

}  // namespace mhc::emulator
