// tools/common/convert.cpp -- float32 to a data type, rounded to nearest even, and exactly back.
#include "tools/common/convert.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace mhc::tools {
namespace {

template <class Round>
void round_halves(const float* values, std::int64_t count, std::byte* elements, Round round) noexcept
{
    for (std::int64_t i = 0; i < count; ++i) {
        const std::uint16_t bits = round(values[i]);
        std::memcpy(elements + 2 * i, &bits, sizeof bits);
    }
}

template <class Widen>
void widen_halves(const std::byte* elements, std::int64_t count, float* values, Widen widen) noexcept
{
    for (std::int64_t i = 0; i < count; ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, elements + 2 * i, sizeof bits);
        values[i] = widen(bits);
    }
}

}  // namespace

std::uint16_t bf16_bits(float value) noexcept
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);  // rounding could carry it to infinity
    return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(std::uint16_t bits) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t fp16_bits(float value) noexcept
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (bits >> 16) & 0x8000;
    const std::uint32_t size = bits & 0x7FFFFFFF;
    std::uint32_t half = 0;
    if (size > 0x7F800000) {
        half = 0x7E00 | ((size >> 13) & 0x3FF);
    } else if (size >= 0x477FF000) {  // 65520, half way from the largest number to what would be the next
        half = 0x7C00;
    } else if (size < 0x38800000) {  // below 2^-14: adding 0.5 puts the last bit kept at 2^-24, and the FPU rounds
        half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5F) - std::bit_cast<std::uint32_t>(0.5F);
    } else {
        half = (size - ((127U - 15U) << 23) + 0xFFF + ((size >> 13) & 1)) >> 13;
    }
    return static_cast<std::uint16_t>(sign | half);
}

float from_fp16(std::uint16_t bits) noexcept
{
    const std::uint32_t sign = (bits & 0x8000U) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1F;
    const std::uint32_t fraction = bits & 0x3FF;
    if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(fraction), -24), std::bit_cast<float>(sign));
    const std::uint32_t wide = exponent == 0x1F ? 0xFF : exponent + (127 - 15);
    return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

float from_e4m3(std::uint8_t bits) noexcept
{
    const int exponent = bits >> 3 & 15, fraction = bits & 7;
    if (exponent == 15 && fraction == 7) return std::numeric_limits<float>::quiet_NaN();
    const float size = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                     : std::ldexp(static_cast<float>(8 + fraction), exponent - 10);
    return (bits & 0x80) != 0 ? -size : size;
}

void round_values(const float* values, std::int64_t count, jit::dtype type, std::byte* elements) noexcept
{
    switch (type) {
        case jit::dtype::fp32:
            if (count != 0) std::memcpy(elements, values, static_cast<std::size_t>(count) * sizeof(float));
            break;
        case jit::dtype::fp16:
            round_halves(values, count, elements, fp16_bits);
            break;
        case jit::dtype::bf16:
            round_halves(values, count, elements, bf16_bits);
            break;
    }
}

void widen_elements(const std::byte* elements, std::int64_t count, jit::dtype type, float* values) noexcept
{
    switch (type) {
        case jit::dtype::fp32:
            if (count != 0) std::memcpy(values, elements, static_cast<std::size_t>(count) * sizeof(float));
            break;
        case jit::dtype::fp16:
            widen_halves(elements, count, values, from_fp16);
            break;
        case jit::dtype::bf16:
            widen_halves(elements, count, values, from_bf16);
            break;
    }
}

}  // namespace mhc::tools
