// mhc/device/math.hpp -- exp, log, sigmoid in float: the same operations, so the same bits, on every target with fma.
//
// Series on reduced ranges; exp and log err by less than 2 units in the last place, which tests/unit/device_math_test.cpp
// measures.
#pragma once

namespace mhc {

MHC_DEVICE float infinity() { return bits_to_float(0x7f800000U); }
MHC_DEVICE bool is_finite(float v) { return (float_to_bits(v) & 0x7f800000U) != 0x7f800000U; }
MHC_DEVICE float magnitude(float v) { return bits_to_float(float_to_bits(v) & 0x7fffffffU); }
/// A NaN on either side is the result.
MHC_DEVICE float larger(float a, float b) { return a > b || a != a ? a : b; }

/// e^x. Overflows to infinity above 88.72, underflows through the denormals to 0 below -103.97.
MHC_DEVICE float exp(float x)
{
    // The clamp keeps the power of two in range; a NaN fails both comparisons and stays.
    const float y = x > 89.0f ? 89.0f : (x < -104.5f ? -104.5f : x);
    const float shifted = fma(y, 0x1.715476p+0f, 0x1.8p+23f);  // y / ln 2, rounded to an integer by the large addend
    const float k = shifted - 0x1.8p+23f;
    float r = fma(k, -0x1.62e4p-1f, y);  // ln 2 in two parts; the first product is exact
    r = fma(k, -0x1.7f7d1cp-20f, r);
    // e^r on |r| <= ln 2 / 2, Taylor's series to r^7: its error there is below 2^-27
    float p = 0x1.a01a02p-13f;
    p = fma(p, r, 0x1.6c16c2p-10f);
    p = fma(p, r, 0x1.111112p-7f);
    p = fma(p, r, 0x1.555556p-5f);
    p = fma(p, r, 0x1.555556p-3f);
    p = fma(p, r, 0.5f);
    p = fma(p, r, 1.0f);
    p = fma(p, r, 1.0f);
    // 2^k in two factors, so that a denormal result is rounded once
    const int whole = int(float_to_bits(shifted)) - 0x4b400000;
    const int half = whole / 2;
    return p * bits_to_float(u32(half + 127) << 23) * bits_to_float(u32(whole - half + 127) << 23);
}

/// Natural logarithm of x >= 0: log 0 is -infinity, log infinity is infinity.
MHC_DEVICE float log(float x)
{
    if (x == 0.0f) return -infinity();
    if (!(x < infinity())) return x;
    const bool tiny = x < 0x1p-126f;
    const u32 bits = float_to_bits(tiny ? x * 0x1p24f : x);
    // m in [sqrt(1/2), sqrt(2)), x = m * 2^e
    const u32 offset = bits - 0x3f3504f3U;
    const int e = (int(offset) >> 23) - (tiny ? 24 : 0);
    const float m = bits_to_float((offset & 0x7fffffU) + 0x3f3504f3U);
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716; the series to s^9 errs below 2^-29 of it
    const float f = m - 1.0f;
    const float s = f / (m + 1.0f);
    const float s2 = s * s;
    float q = 0x1.c71c72p-4f;        // 1/9
    q = fma(q, s2, 0x1.24924ap-3f);  // 1/7
    q = fma(q, s2, 0x1.99999ap-3f);  // 1/5
    q = fma(q, s2, 0x1.555556p-2f);  // 1/3
    // 2 atanh(s) = f - s * (f - 2 q s2): f is exact, so only the small correction is rounded
    const float log_m = fma(-s, fma(-2.0f * q, s2, f), f);
    const float k = float(e);
    return fma(k, 0x1.62e4p-1f, fma(k, 0x1.7f7d1cp-20f, log_m));
}

/// 1 / (1 + e^-z), without overflow on either side.
MHC_DEVICE float sigmoid(float z)
{
    const float e = exp(-magnitude(z));
    const float s = 1.0f / (1.0f + e);
    return z < 0.0f ? e * s : s;
}

}  // namespace mhc
