// emulator/numbers.hpp -- arithmetic of single numbers as the ISA defines it, where C++ has no such operation.
#pragma once

#include <cmath>

#include "emulator/integers.hpp"

namespace mhc::emulator {

inline bool is_nan(u32 bits) { return (bits & 0x7FFFFFFFU) > 0x7F800000U; }
inline u32 quieted(u32 bits) { return bits | 0x00400000U; }

// A NaN loses against a number, and -0 is below 0.
inline u32 larger(u32 a, u32 b)
{
    const float x = to_float(a), y = to_float(b);
    const u32 when_equal = a & b, when_greater = x > y ? a : b;
    const u32 of_numbers = x == y ? when_equal : when_greater;
    return x != x ? b : y != y ? a : of_numbers;
}
inline u32 smaller(u32 a, u32 b)
{
    const float x = to_float(a), y = to_float(b);
    const u32 when_equal = a | b, when_less = x < y ? a : b;
    const u32 of_numbers = x == y ? when_equal : when_less;
    return x != x ? b : y != y ? a : of_numbers;
}
inline u32 middle(u32 a, u32 b, u32 c)
{
    if (is_nan(a) || is_nan(b) || is_nan(c)) return smaller(smaller(a, b), c);
    return larger(smaller(a, b), smaller(larger(a, b), c));
}

inline u64 larger_double(u64 a, u64 b)
{
    const double x = to_double(a), y = to_double(b);
    return x != x ? b : y != y ? a : x == y ? (a & b) : x > y ? a : b;
}
inline u64 smaller_double(u64 a, u64 b)
{
    const double x = to_double(a), y = to_double(b);
    return x != x ? b : y != y ? a : x == y ? (a | b) : x < y ? a : b;
}

/// a * b + c in double with the last bit set when anything was lost: rounding that again to a narrower type rounds once.
inline double fma_to_odd(double a, double b, double c)
{
    const double sum = std::fma(a, b, c);
    if (!std::isfinite(sum) || !std::isfinite(c)) return sum;
    // What the product and the sum lost, exactly: products of floats and halves are exact in double.
    const double product = a * b, rest = sum - product;
    const double lost = (product - (sum - rest)) + (c - rest);
    if (lost == 0 || (to_bits(sum) & 1) != 0) return sum;
    const bool is_too_large = (lost < 0) == (sum > 0);
    return to_double(is_too_large ? to_bits(sum) - 1 : to_bits(sum) + 1);
}

/// fp16 with denormals, to and from fp32; to fp16 rounds to nearest even.
float half_to_single(u32 bits);
u32 single_to_half(float value);
/// As above, from a value that was rounded to odd.
u32 double_to_half(double value);

/// The bit of v_cmp_class's mask that the number is of: signalling and quiet NaN, -infinity, ...
u32 class_of(u32 bits);
u32 class_of_double(u64 bits);

}  // namespace mhc::emulator
