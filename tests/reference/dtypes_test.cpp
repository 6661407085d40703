// tests/reference/dtypes_test.cpp -- bf16 and fp16 conversions against the definition of the formats, over every number
// there is.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/reference/dtypes.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::reference;

TEST_CASE("dtypes: widening a 16-bit number and rounding it again gives its bits back")
{
    int wrong = 0;
    for (int pattern = 0; pattern < 65536; ++pattern) {
        const auto bits = static_cast<std::uint16_t>(pattern);
        const float bf16 = from_bf16(bits), fp16 = from_fp16(bits);
        wrong += std::isnan(bf16) ? !std::isnan(from_bf16(bf16_bits(bf16))) : bf16_bits(bf16) != bits;
        wrong += std::isnan(fp16) ? !std::isnan(from_fp16(fp16_bits(fp16))) : fp16_bits(fp16) != bits;
    }
    CHECK(wrong == 0);
}

TEST_CASE("dtypes: widened numbers are what the formats define")
{
    CHECK(from_bf16(0x3F80) == 1.0F);
    CHECK(from_bf16(0xC049) == -3.140625F);
    CHECK(from_bf16(0x0001) == std::ldexp(1.0F, -133));
    CHECK(from_fp16(0x3C00) == 1.0F);
    CHECK(from_fp16(0x7BFF) == 65504.0F);
    CHECK(from_fp16(0x0001) == std::ldexp(1.0F, -24));
    CHECK(from_fp16(0x8400) == -std::ldexp(1.0F, -14));
    CHECK(std::isinf(from_fp16(0xFC00)));
    CHECK(std::isnan(from_fp16(0x7C01)));
}

TEST_CASE("dtypes: float32 is rounded to the nearest number, ties to the even one, on and beside every middle")
{
    int wrong = 0;
    const auto check = [&](float value) {
        wrong += static_cast<double>(rounded(jit::dtype::bf16, value)) != rounded_to_bf16(static_cast<double>(value));
        wrong += static_cast<double>(rounded(jit::dtype::fp16, value)) != rounded_to_fp16(static_cast<double>(value));
    };
    for (int pattern = 0; pattern < 0x7F80; ++pattern) {  // the middles of neighbouring bf16 numbers
        const float low = from_bf16(static_cast<std::uint16_t>(pattern));
        const float high = from_bf16(static_cast<std::uint16_t>(pattern + 1));
        const float middle = std::isinf(high) ? 0x1.FFp127F : (low / 2 + high / 2);
        for (const float v : {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 3.4e38F)}) check(v), check(-v);
    }
    for (int pattern = 0; pattern < 0x7C00; ++pattern) {  // and of fp16 numbers
        const float low = from_fp16(static_cast<std::uint16_t>(pattern));
        const float high = from_fp16(static_cast<std::uint16_t>(pattern + 1));
        const float middle = std::isinf(high) ? 65520.0F : (low + high) / 2;
        for (const float v : {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 3.4e38F)}) check(v), check(-v);
    }
    for (std::uint64_t i = 0; i < 200'000; ++i)
        check(std::ldexp(testing::random_normal(1, i), static_cast<int>(i % 60) - 30));
    CHECK(wrong == 0);
    CHECK(rounded_to_bf16(1.00390625) == 1.0);       // half way between 1 and 1.0078125: even is 1
    CHECK(rounded_to_bf16(1.01171875) == 1.015625);  // half way between 1.0078125 and 1.015625
    CHECK(rounded_to_fp16(65519.9) == 65504.0);
    CHECK(std::isinf(rounded_to_fp16(65520.0)));
}

TEST_CASE("dtypes: float64 is rounded to bf16 once, not by way of float32")
{
    const double just_above_a_middle = 1.00390625 + 0x1p-40;  // float32 would first round it down to the middle
    CHECK(rounded_to_bf16(just_above_a_middle) == 1.0078125);
}

TEST_CASE("dtypes: only numbers near a middle are in doubt")
{
    CHECK(bf16_rounding_doubt(1.001, 1e-4) == 0);
    CHECK(bf16_rounding_doubt(1.0039, 1e-5) == 0x1p-7);
    CHECK(bf16_rounding_doubt(1.0039, 1e-6) == 0);
}

TEST_CASE("dtypes: fp8 e4m3 has the numbers of its definition, and rounds to the nearest, ties to even, never beyond 448")
{
    CHECK(from_e4m3(0x00) == 0);
    CHECK(from_e4m3(0x01) == 0x1p-9);
    CHECK(from_e4m3(0x07) == 7 * 0x1p-9);
    CHECK(from_e4m3(0x08) == 0x1p-6);
    CHECK(from_e4m3(0x38) == 1);
    CHECK(from_e4m3(0xC4) == -3);
    CHECK(from_e4m3(0x7E) == 448);
    CHECK(std::isnan(from_e4m3(0x7F)));
    CHECK(std::isnan(from_e4m3(0xFF)));
    int wrong = 0;
    for (int pattern = 0; pattern < 0x7E; ++pattern) {
        const auto bits = static_cast<std::uint8_t>(pattern);
        const double low = from_e4m3(bits), high = from_e4m3(static_cast<std::uint8_t>(pattern + 1));
        const double middle = (low + high) / 2, even = (pattern & 1) == 0 ? low : high;
        wrong += e4m3_bits(low) != bits;
        wrong += e4m3_bits(-low) != (bits | 0x80);
        wrong += rounded_to_e4m3(middle) != even || rounded_to_e4m3(-middle) != -even;
        wrong += rounded_to_e4m3(std::nextafter(middle, 0.0)) != low;
        wrong += rounded_to_e4m3(std::nextafter(middle, 1e3)) != high;
    }
    CHECK(wrong == 0);
    for (const double beyond : {449.0, 464.0, 465.0, 1e30, std::numeric_limits<double>::infinity()}) {
        CHECK(rounded_to_e4m3(beyond) == 448);
        CHECK(e4m3_bits(-beyond) == 0xFE);
    }
    CHECK(std::isnan(rounded_to_e4m3(std::nan(""))));
    CHECK((e4m3_bits(std::nan("")) & 0x7F) == 0x7F);
    CHECK(std::signbit(rounded_to_e4m3(-0.0)));
    CHECK(e4m3_rounding_doubt(17.0, 1e-9) == 2);
    CHECK(e4m3_rounding_doubt(16.5, 0.4) == 0);
    CHECK(e4m3_rounding_doubt(16.5, 0.6) == 2);
}
