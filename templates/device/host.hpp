// mhc/device/host.hpp -- the vocabulary on a CPU: a work-group has one lane and wide vectors; the loader calls it once a
// group.
#pragma once

#define MHC_DEVICE static inline __attribute__((always_inline))
#define MHC_MEMBER __attribute__((always_inline))
// On a lambda: inlined early, or its captures stay in memory.
#define MHC_INLINE __attribute__((always_inline))
/// Before a loop of which a lane makes a turn or two: vectors and copies of its body would only cost instructions.
#define MHC_SHORT_LOOP _Pragma("clang loop vectorize(disable) unroll(disable)")
#define MHC_LDS(name, count) alignas(64) float name[count]
#if defined(__FMA__) || defined(__aarch64__)
#define MHC_FUSED true
#else
#define MHC_FUSED false
#endif

#define MHC_BRANCH_ON_NAN false

/// A kernel; `mhc_group` is the work-group. The text that follows the parameters is the body.
#define MHC_RESIDENT_KERNEL(name, block, resident, ...) MHC_KERNEL(name, block, __VA_ARGS__)
#define MHC_KERNEL(name, block, ...) MHC_DEVICE void name##_group(__VA_ARGS__, mhc::i64 mhc_group)
#define MHC_GRID(block, wave) \
    mhc::grid<block, wave> { mhc_group, groups }

#include <mhc/device/types.hpp>

namespace mhc {

/// Whether a lane balances an n x n matrix in its registers sooner than several do in shared memory.
template <int n>
constexpr bool balances_in_lanes = false;
/// Whether lanes that share a matrix keep their lines in registers.
template <int n>
constexpr bool balances_by_lines = false;

/// Of a vector of w channels: how many sums one lane keeps apart where it makes many. Registers are what decides.
constexpr int sum_width(int w) { return w; }

template <int W>
using half_bits = u16 __attribute__((ext_vector_type(W)));
template <int W>
using float_lanes = float __attribute__((ext_vector_type(W)));

#if defined(__F16C__) || defined(__aarch64__)
template <int W>
MHC_DEVICE float_lanes<W> half_to_float(half_bits<W> v)
{
    using half_lanes = _Float16 __attribute__((ext_vector_type(W)));
    return __builtin_convertvector(__builtin_bit_cast(half_lanes, v), float_lanes<W>);
}
template <int W>
MHC_DEVICE half_bits<W> float_to_half(float_lanes<W> v)
{
    using half_lanes = _Float16 __attribute__((ext_vector_type(W)));
    const half_lanes narrow = __builtin_convertvector(v, half_lanes);
    return __builtin_bit_cast(half_bits<W>, narrow);
}
#else
// Without F16C the compiler would call a library that a freestanding object has not got.
MHC_DEVICE float half_to_float_1(u32 bits)
{
    const u32 sign = (bits & 0x8000U) << 16, exponent = (bits >> 10) & 0x1fU, fraction = bits & 0x3ffU;
    if (exponent == 0) {
        const float magnitude = float(fraction) * 0x1p-24f;
        return __builtin_bit_cast(float, __builtin_bit_cast(u32, magnitude) | sign);
    }
    const u32 wide = exponent == 31 ? 0xffU : exponent + 112U;
    return __builtin_bit_cast(float, sign | (wide << 23) | (fraction << 13));
}
MHC_DEVICE u16 float_to_half_1(float value)
{
    const u32 bits = __builtin_bit_cast(u32, value), sign = (bits >> 16) & 0x8000U, magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) return u16(sign | 0x7e00U);
    if (magnitude >= 0x477ff000U) return u16(sign | 0x7c00U);  // rounds to 2^16 or more: infinity
    if (magnitude < 0x38800000U) {                             // below 2^-14: denormal, the adder rounds
        const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
        return u16(sign | (__builtin_bit_cast(u32, shifted) - 0x3f000000U));
    }
    const u32 rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U) - 0x38000000U;
    return u16(sign | (rounded >> 13));
}
template <int W>
MHC_DEVICE float_lanes<W> half_to_float(half_bits<W> v)
{
    float_lanes<W> result;
    for (int i = 0; i < W; ++i) {
        const u16 bits = v[i];
        result[i] = half_to_float_1(bits);
    }
    return result;
}
template <int W>
MHC_DEVICE half_bits<W> float_to_half(float_lanes<W> v)
{
    half_bits<W> result;
    for (int i = 0; i < W; ++i) {
        const float value = v[i];
        result[i] = float_to_half_1(value);
    }
    return result;
}
#endif

/// Where this lane is: work-group `group` of `groups`.
template <int Block, int Wave>
struct grid {
    static_assert(Block == 1 && Wave == 1, "a work-group of the host has one lane");
    static constexpr int block = 1, wave_size = 1, waves = 1;
    i64 group;
    i64 groups;

    MHC_MEMBER int thread() const { return 0; }
    MHC_MEMBER int lane() const { return 0; }
    MHC_MEMBER int wave() const { return 0; }
};

MHC_DEVICE void barrier() {}
MHC_DEVICE void wave_sync() {}
MHC_DEVICE bool wave_takes(bool is_wanted) { return is_wanted; }

/// Sum over the lanes of a wave, in every lane.
template <int Wave>
MHC_DEVICE float wave_sum(float v)
{
    return v;
}

MHC_DEVICE float square_root(float v) { return __builtin_sqrtf(v); }

/// Kernels that follow each other do not overlap.
MHC_DEVICE void let_next_kernel_start() {}
MHC_DEVICE void wait_for_last_kernel() {}

template <bool IsNormal>
MHC_DEVICE float quotient(float a, float b)
{
    return a / b;
}

}  // namespace mhc

#include <mhc/device/clang_vector.hpp>
#include <mhc/device/no_hints.hpp>
#include <mhc/device/simd.hpp>
