// mhc/device/cuda.hpp -- the vocabulary on NVIDIA GPUs: warps, shared memory, barriers, by NVRTC's builtins alone.
#pragma once

#define MHC_DEVICE static __forceinline__ __device__
#define MHC_MEMBER __forceinline__ __device__
#define MHC_INLINE
/// Before a loop of which a lane makes a turn or two: vectors and copies of its body would only cost instructions.
#define MHC_SHORT_LOOP _Pragma("unroll 1")
#define MHC_LDS(name, count) __shared__ float name[count]
#define MHC_FUSED true

#define MHC_KERNEL(name, block, ...) extern "C" __global__ void __launch_bounds__(block) name(__VA_ARGS__)
/// A kernel of which Resident work-groups must fit a multiprocessor: the registers a lane may have follow from it. Without
/// that the assembler spares registers, and asks for a row only when it has used the one before.
#define MHC_RESIDENT_KERNEL(name, block, resident, ...) \
    extern "C" __global__ void __launch_bounds__(block, resident) name(__VA_ARGS__)
#define MHC_GRID(block, wave) \
    mhc::grid<block, wave> { blockIdx.x, groups }

#include <mhc/device/types.hpp>

namespace mhc {

/// Whether a lane balances an n x n matrix in its registers sooner than several do in shared memory.
template <int n>
constexpr bool balances_in_lanes = n == 1 || n == 2 || n == 4;
/// Whether lanes that share a matrix keep their lines in registers, and only factors in shared memory.
template <int n>
constexpr bool balances_by_lines = !balances_in_lanes<n> && n <= 16;

/// Of a vector of w channels: how many sums one lane keeps apart where it makes many. Registers are what decides.
constexpr int sum_width(int w) { return smaller(w, 2); }

MHC_DEVICE float bits_to_float(u32 bits) { return __uint_as_float(bits); }
MHC_DEVICE u32 float_to_bits(float v) { return __float_as_uint(v); }

MHC_DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }

MHC_DEVICE float half_to_float(u16 v)
{
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v));
    return wide;
}
/// Two values rounded to nearest even, the first in the low half.
MHC_DEVICE u32 float_pair_to_half(float low, float high)
{
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
MHC_DEVICE u32 float_pair_to_bf16(float low, float high)
{
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/// The next kernel of the stream may start, and wait for this one. Before sm_90 it starts when this one has ended.
MHC_DEVICE void let_next_kernel_start()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
/// The kernel before has ended, and what it wrote is seen.
MHC_DEVICE void wait_for_last_kernel()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// The type that moves Bytes bytes at once.
template <int Bytes>
struct word;
template <>
struct word<2> {
    using type = u16;
};
template <>
struct word<4> {
    using type = u32;
};
template <>
struct word<8> {
    using type = uint2;
};
template <>
struct word<16> {
    using type = uint4;
};

/// A Vector at `p`, in accesses of Align bytes, 16 at most.
template <class Vector, int Align>
MHC_DEVICE Vector load_words(const void* p)
{
    using one = typename word<smaller(Align, 16)>::type;
    constexpr int count = int(sizeof(Vector) / sizeof(one));
    union {
        Vector whole;
        one parts[count];
    } v;
#pragma unroll
    for (int i = 0; i < count; ++i) v.parts[i] = static_cast<const one*>(p)[i];
    return v.whole;
}
template <class T>
MHC_DEVICE void store_word(T* p, T v)
{
    *p = v;
}
/// Written out: of a vector that was put together NVRTC may make four stores.
MHC_DEVICE void store_word(uint4* p, uint4 v)
{
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
MHC_DEVICE void store_word(uint2* p, uint2 v)
{
    asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(p), "r"(v.x), "r"(v.y) : "memory");
}
template <class Vector, int Align>
MHC_DEVICE void store_words(void* p, Vector value)
{
    using one = typename word<smaller(Align, 16)>::type;
    constexpr int count = int(sizeof(Vector) / sizeof(one));
    union {
        Vector whole;
        one parts[count];
    } v;
    v.whole = value;
#pragma unroll
    for (int i = 0; i < count; ++i) store_word(static_cast<one*>(p) + i, v.parts[i]);
}

/// Where this lane is: work-group `group` of `groups`.
template <int Block, int Wave>
struct grid {
    static_assert(Block % Wave == 0 && Wave == 32, "a work-group is whole warps");
    static constexpr int block = Block, wave_size = Wave, waves = Block / Wave;
    i64 group;
    i64 groups;

    MHC_MEMBER int thread() const { return int(threadIdx.x); }
    MHC_MEMBER int lane() const { return thread() % Wave; }
    /// The same in all lanes of a warp, and the compiler knows it.
    MHC_MEMBER int wave() const { return waves == 1 ? 0 : __shfl_sync(0xffffffffU, thread() / Wave, 0); }
};

/// All warps of the block have come here, and see each other's writes to shared memory.
MHC_DEVICE void barrier() { __syncthreads(); }

/// The lanes of this warp see each other's writes to shared memory.
MHC_DEVICE void wave_sync() { __syncwarp(); }
/// Whether a lane of this warp is to take a branch, which all take then: lanes meet in it.
MHC_DEVICE bool wave_takes(bool is_wanted) { return __any_sync(0xffffffffU, is_wanted); }

/// Sum over the lanes of a warp, or of each Wave of them, in every lane: a butterfly, so every lane adds the same pairs.
template <int Wave>
MHC_DEVICE float wave_sum(float v)
{
#pragma unroll
    for (int distance = 1; distance < Wave; distance *= 2) v += __shfl_xor_sync(0xffffffffU, v, distance);
    return v;
}

/// The lower lanes go on with the first Half of 2 Half numbers, the upper ones with the others, each with what both have.
template <int Half>
MHC_DEVICE void halve_sums(float* rest, int lane)
{
    const bool is_upper = lane & Half;
#pragma unroll
    for (int e = 0; e < Half; ++e) {
        const float others = is_upper ? rest[e] : rest[e + Half];
        rest[e] = (is_upper ? rest[e + Half] : rest[e]) + __shfl_xor_sync(0xffffffffU, others, Half);
    }
    if constexpr (Half > 1) halve_sums<Half / 2>(rest, lane);
}

/// put(e, the sum of v[e] over the lanes of a warp) in one lane for each e: next to no more exchanges than lanes.
template <int Wave, int Count, class Put>
MHC_DEVICE void sums_of_wave(const float (&v)[Count], int lane, Put put)
{
    static_assert(Count <= Wave, "a lane has one sum");
    float rest[Wave] = {};
#pragma unroll
    for (int e = 0; e < Count; ++e) rest[e] = v[e];
    halve_sums<Wave / 2>(rest, lane);
    if (lane < Count) put(lane, rest[0]);
}

MHC_DEVICE float square_root(float v) { return __fsqrt_rn(v); }
/// 1 / v within a unit in the last place; a correctly rounded one takes several times as long. IsNormal: neither v nor the
/// result is a denormal.
template <bool IsNormal>
MHC_DEVICE float reciprocal(float v)
{
    float inverse;
    if constexpr (IsNormal)
        asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(v));
    else
        asm("rcp.approx.f32 %0, %1;" : "=f"(inverse) : "f"(v));
    return inverse;
}
/// a / b within two units, where 1 / b is no denormal; IsNormal: nor is b.
template <bool IsNormal>
MHC_DEVICE float quotient(float a, float b)
{
    return a * reciprocal<IsNormal>(b);
}

}  // namespace mhc

#include <mhc/device/array_vector.hpp>
#include <mhc/device/no_hints.hpp>
#include <mhc/device/simd.hpp>
