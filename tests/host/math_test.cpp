// tests/host/math_test.cpp -- the device's exp, log and sigmoid against float64, over every binade, as the compiler here
// builds them.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

// The device header needs these few words of the vocabulary and nothing else.
#define MHC_DEVICE inline
namespace mhc {
using u32 = std::uint32_t;
inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
inline float bits_to_float(u32 bits) { return __builtin_bit_cast(float, bits); }
inline u32 float_to_bits(float v) { return __builtin_bit_cast(u32, v); }
}  // namespace mhc
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include "templates/device/math.hpp"
#pragma GCC diagnostic pop

namespace {

/// The error in units in the last place of the exact result; denormal results count units of 2^-149.
double units(float got, double exact)
{
    const int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
    return std::abs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 23);
}

/// The largest error of `f` over floats of either sign from all binades, where the exact result is below `limit`.
template <class Function, class Exact>
double worst(std::uint32_t first, std::uint32_t last, const Function& f, const Exact& exact, float& where)
{
    double largest = 0;
    for (std::uint32_t bits = first; bits < last; bits += 1009) {  // a prime: no pattern of the fraction is left out
        const float x = std::bit_cast<float>(bits);
        const double expected = exact(static_cast<double>(x));
        if (std::abs(expected) > static_cast<double>(std::numeric_limits<float>::max())) continue;
        const double error = units(f(x), expected);
        if (!(error <= largest)) {
            largest = error;
            where = x;
        }
    }
    return largest;
}

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::uint32_t infinity_bits = 0x7F800000U, sign_bit = 0x80000000U;

}  // namespace

TEST_CASE("math: exp errs by less than 2 units in the last place")
{
    const auto exact = [](double x) { return std::exp(x); };
    for (const std::uint32_t sign : {0U, sign_bit}) {
        float where = 0;
        const double error = worst(
            sign, sign | infinity_bits, [](float x) { return mhc::exp(x); }, exact, where);
        CAPTURE(where);
        CHECK(error < 2);
        MESSAGE("exp: " << error << " units at " << where);
    }
    CHECK(mhc::exp(0.0F) == 1);
    CHECK(mhc::exp(-infinity) == 0);
    CHECK(mhc::exp(infinity) == infinity);
    CHECK(mhc::exp(89.0F) == infinity);
    CHECK(std::isnan(mhc::exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("math: log errs by less than 2 units in the last place, for denormal numbers too")
{
    float where = 0;
    const double error = worst(
        1, infinity_bits, [](float x) { return mhc::log(x); }, [](double x) { return std::log(x); }, where);
    CAPTURE(where);
    CHECK(error < 2);
    MESSAGE("log: " << error << " units at " << where);
    CHECK(mhc::log(1.0F) == 0);
    CHECK(mhc::log(0.0F) == -infinity);
    CHECK(mhc::log(infinity) == infinity);
    CHECK(std::isnan(mhc::log(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("math: sigmoid errs by less than 4 units in the last place and is 0 and 1 at the ends")
{
    // exp's 2 units, the sum, the quotient and the product add half a unit each, and a quotient near 1/2 doubles them.
    for (const std::uint32_t sign : {0U, sign_bit}) {
        float where = 0;
        const double error = worst(
            sign, sign | infinity_bits, [](float x) { return mhc::sigmoid(x); },
            [](double x) { return 1 / (1 + std::exp(-x)); }, where);
        CAPTURE(where);
        CHECK(error < 4);
        MESSAGE("sigmoid: " << error << " units at " << where);
    }
    CHECK(mhc::sigmoid(0.0F) == 0.5F);
    CHECK(mhc::sigmoid(infinity) == 1);
    CHECK(mhc::sigmoid(-infinity) == 0);
    CHECK(std::isnan(mhc::sigmoid(std::numeric_limits<float>::quiet_NaN())));
}
