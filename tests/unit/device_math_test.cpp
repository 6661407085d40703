// tests/unit/device_math_test.cpp -- exp, log and sigmoid of templates/device/math.hpp, compiled for this test as they are.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

// What the vocabulary gives math.hpp.
#define MHC_DEVICE static inline
namespace mhc {
using u32 = unsigned int;
static inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
static inline float bits_to_float(u32 bits) { return __builtin_bit_cast(float, bits); }
static inline u32 float_to_bits(float v) { return __builtin_bit_cast(u32, v); }
}  // namespace mhc
#include "templates/device/math.hpp"

namespace {

/// Units in the last place of a normal float near `exact` (of the smallest normal below it).
double ulp_of(double exact)
{
    const double magnitude = std::max(std::fabs(exact), double{std::numeric_limits<float>::min()});
    return std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

/// Largest error of f in units in the last place, over floats from `low` to `high` in steps of `stride` bit patterns.
template <class F, class Exact>
double worst_ulps(F f, Exact exact, float low, float high, std::uint32_t stride)
{
    double worst = 0;
    for (std::uint64_t bits = 0; bits < 0x7f800000U; bits += stride)
        for (const float sign : {1.0F, -1.0F}) {
            float x;
            const auto pattern = static_cast<std::uint32_t>(bits);
            std::memcpy(&x, &pattern, sizeof x);
            x *= sign;
            if (x < low || x > high) continue;
            const double want = exact(double{x});
            worst = std::max(worst, std::fabs(double{f(x)} - want) / ulp_of(want));
        }
    return worst;
}

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("device math: exp errs by less than 2 units in the last place")
{
    const double worst =
        worst_ulps([](float x) { return mhc::exp(x); }, [](double x) { return std::exp(x); }, -103.0F, 88.72F, 997);
    MESSAGE("exp: " << worst << " ulp");
    CHECK(worst < 2);
}

TEST_CASE("device math: log errs by less than 2 units in the last place")
{
    const double worst = worst_ulps([](float x) { return mhc::log(x); }, [](double x) { return std::log(x); },
                                    std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::max(), 997);
    MESSAGE("log: " << worst << " ulp");
    CHECK(worst < 2);
}

TEST_CASE("device math: sigmoid errs by less than 4 units in the last place")
{
    const double worst = worst_ulps([](float x) { return mhc::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); },
                                    -87.0F, 100.0F, 997);
    MESSAGE("sigmoid: " << worst << " ulp");
    CHECK(worst < 4);
}

TEST_CASE("device math: limits and NaN are what the functions have")
{
    CHECK(mhc::exp(0.0F) == 1.0F);
    CHECK(mhc::exp(89.0F) == infinity);
    CHECK(mhc::exp(infinity) == infinity);
    CHECK(mhc::exp(-104.0F) == 0.0F);
    CHECK(mhc::exp(-infinity) == 0.0F);
    CHECK(std::isnan(mhc::exp(NAN)));
    CHECK(mhc::log(1.0F) == 0.0F);
    CHECK(mhc::log(0.0F) == -infinity);
    CHECK(mhc::log(infinity) == infinity);
    CHECK(std::isnan(mhc::log(NAN)));
    CHECK(mhc::sigmoid(0.0F) == 0.5F);
    CHECK(mhc::sigmoid(infinity) == 1.0F);
    CHECK(mhc::sigmoid(-infinity) == 0.0F);
    CHECK(std::isnan(mhc::sigmoid(NAN)));
}
