// tests/reference/dtypes.cpp -- bf16 is the upper half of float32; fp16 has 5 exponent and 10 fraction bits.
#include "tests/reference/dtypes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace mhc::reference {
namespace {

/// Rounds to a binary format of `precision` significant bits whose smallest normal number is 2^exponent_min.
double rounded_to_format(double value, int precision, int exponent_min, double largest)
{
    if (!std::isfinite(value) || value == 0) return value;
    // Numbers of value's binade are multiples of this; below exponent_min the spacing stays (subnormal numbers).
    const int exponent = std::max(std::ilogb(value), exponent_min);
    const double spacing = std::ldexp(1.0, exponent - precision + 1);
    const double nearest = std::nearbyint(value / spacing) * spacing;  // nearbyint: ties to even
    return std::abs(nearest) > largest ? std::copysign(std::numeric_limits<double>::infinity(), value) : nearest;
}

}  // namespace

double rounded_to_bf16(double value) { return rounded_to_format(value, 8, -126, 0x1.FEp127); }

double rounded_to_fp16(double value) { return rounded_to_format(value, 11, -14, 65504.0); }

double rounded_to_e4m3(double value)
{
    if (std::isnan(value)) return value;
    return rounded_to_format(std::clamp(value, -448.0, 448.0), 4, -6, 448.0);
}

std::uint8_t e4m3_bits(double value)
{
    const auto sign = static_cast<std::uint8_t>(std::signbit(value) ? 0x80 : 0);
    if (std::isnan(value)) return sign | 0x7F;
    const double magnitude = std::abs(rounded_to_e4m3(value));
    // The numbers of one sign are in the order of their bits, of which 0x7E is 448.
    std::uint8_t bits = 0;
    while (from_e4m3(bits) < magnitude) ++bits;
    return sign | bits;
}

double from_e4m3(std::uint8_t bits)
{
    const int exponent = (bits >> 3) & 0xF, fraction = bits & 7;
    double magnitude = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
    if ((bits & 0x7F) == 0x7F) magnitude = std::numeric_limits<double>::quiet_NaN();
    return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

double e4m3_rounding_doubt(double value, double window)
{
    const double here = rounded_to_e4m3(value);
    return std::max(std::abs(rounded_to_e4m3(value + window) - here), std::abs(rounded_to_e4m3(value - window) - here));
}

double bf16_rounding_doubt(double value, double window)
{
    const double here = rounded_to_bf16(value);
    return std::max(std::abs(rounded_to_bf16(value + window) - here), std::abs(rounded_to_bf16(value - window) - here));
}

std::uint16_t bf16_bits(float value)
{
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // quiet, so that it stays a NaN
    // Adding just under half of the last kept bit, or exactly half when that bit is odd, carries where one rounds up.
    const std::uint32_t carry = 0x7FFFU + ((bits >> 16) & 1U);
    return static_cast<std::uint16_t>((bits + carry) >> 16);
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t fp16_bits(float value)
{
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
    if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // 65520 and above round to infinity

    if (magnitude >= 0x38800000U) {  // 2^-14 and above: a normal number; drop 13 fraction bits, change the bias by 112
        const std::uint32_t rebiased = magnitude - (112U << 23);
        return static_cast<std::uint16_t>(sign | ((rebiased + 0xFFFU + ((rebiased >> 13) & 1U)) >> 13));
    }
    // A subnormal number counts units of 2^-24; adding 0.5, whose last bit is 2^-24, makes float32 round to one.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5F)));
}

float from_fp16(std::uint16_t bits)
{
    const int exponent = (bits >> 10) & 0x1F;
    const int fraction = bits & 0x3FF;
    float magnitude = 0;
    if (exponent == 31) {
        magnitude = fraction == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    } else if (exponent == 0) {
        magnitude = static_cast<float>(fraction) * 0x1p-24F;
    } else {
        const std::uint32_t widened =
            (static_cast<std::uint32_t>(exponent + 112) << 23) | (static_cast<std::uint32_t>(fraction) << 13);
        magnitude = std::bit_cast<float>(widened);
    }
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

float rounded(jit::dtype type, float value)
{
    switch (type) {
        case jit::dtype::bf16:
            return from_bf16(bf16_bits(value));
        case jit::dtype::fp16:
            return from_fp16(fp16_bits(value));
        case jit::dtype::fp32:
            break;
    }
    return value;
}

}  // namespace mhc::reference
