// emulator/numbers.cpp -- fp16 and classes.
#include "emulator/numbers.hpp"

namespace mhc::emulator {

float half_to_single(u32 bits)
{
    const u32 sign = (bits & 0x8000U) << 16, magnitude = bits & 0x7FFFU;
    if (magnitude >= 0x7C00U) {  // infinity and NaN, which becomes quiet
        const u32 nan = magnitude > 0x7C00U ? 0x00400000U : 0;
        return to_float(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13 | nan);
    }
    if (magnitude >= 0x0400U) return to_float(sign | ((magnitude << 13) + 0x38000000U));
    const float value = static_cast<float>(magnitude) * 0x1p-24F;
    return to_float(to_bits(value) | sign);
}

u32 double_to_half(double value)
{
    const u64 bits = to_bits(value);
    const u32 sign = static_cast<u32>(bits >> 48) & 0x8000U;
    if (value != value) return sign | 0x7E00U | (static_cast<u32>(bits >> 42) & 0x3FFU);
    const double size = std::fabs(value);
    if (size >= 65520.0) return sign | 0x7C00U;
    if (size < 0x1p-14) {  // multiples of 2^-24: the addition rounds to them
        const double rounded = size * 0x1p24 + 0x1p52 - 0x1p52;
        return sign | static_cast<u32>(rounded);
    }
    const u64 magnitude = bits & 0x7FFFFFFFFFFFFFFFU;
    const u64 rounded = magnitude + 0x1FFFFFFFFFFU + (magnitude >> 42 & 1);  // 42 bits fewer, to nearest even
    return sign | static_cast<u32>((rounded >> 42) - (u64{1023 - 15} << 10));
}

u32 single_to_half(float value) { return double_to_half(static_cast<double>(value)); }

u32 class_of(u32 bits)
{
    const u32 magnitude = bits & 0x7FFFFFFFU;
    const bool is_negative = (bits & sign_bit) != 0;
    if (magnitude > 0x7F800000U) return (bits & 0x00400000U) == 0 ? 1U << 0 : 1U << 1;
    if (magnitude == 0x7F800000U) return is_negative ? 1U << 2 : 1U << 9;
    if (magnitude >= 0x00800000U) return is_negative ? 1U << 3 : 1U << 8;
    if (magnitude != 0) return is_negative ? 1U << 4 : 1U << 7;
    return is_negative ? 1U << 5 : 1U << 6;
}

u32 class_of_double(u64 bits)
{
    const u64 magnitude = bits & 0x7FFFFFFFFFFFFFFFU;
    const bool is_negative = bits >> 63 != 0;
    if (magnitude > 0x7FF0000000000000U) return (bits & 0x0008000000000000U) == 0 ? 1U << 0 : 1U << 1;
    if (magnitude == 0x7FF0000000000000U) return is_negative ? 1U << 2 : 1U << 9;
    if (magnitude >= 0x0010000000000000U) return is_negative ? 1U << 3 : 1U << 8;
    if (magnitude != 0) return is_negative ? 1U << 4 : 1U << 7;
    return is_negative ? 1U << 5 : 1U << 6;
}

}  // namespace mhc::emulator
