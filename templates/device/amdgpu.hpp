// mhc/device/amdgpu.hpp -- the vocabulary on AMD GPUs: wavefronts, LDS, barriers, by Clang's and HIPRTC's builtins alone.
#pragma once

#define MHC_DEVICE static inline __attribute__((device, always_inline))
#define MHC_MEMBER __attribute__((device, always_inline))
// On a lambda: inlined early, or its captures stay in memory.
#define MHC_INLINE __attribute__((always_inline))
/// Before a loop of which a lane makes a turn or two: vectors and copies of its body would only cost instructions.
#define MHC_SHORT_LOOP _Pragma("clang loop vectorize(disable) unroll(disable)")
#define MHC_LDS(name, count) static __attribute__((shared)) float name[count]
#define MHC_FUSED true

#define MHC_KERNEL(name, block, ...) \
    extern "C" __attribute__((global, amdgpu_flat_work_group_size(block, block))) void name(__VA_ARGS__)
#define MHC_GRID(block, wave) \
    mhc::grid<block, wave> { __builtin_amdgcn_workgroup_id_x(), groups }

#include <mhc/device/types.hpp>

namespace mhc {

/// Of a vector of w channels: how many sums one lane keeps apart where it makes many. Registers are what decides.
constexpr int sum_width(int w) { return smaller(w, 2); }

template <int W>
using half_bits = u16 __attribute__((ext_vector_type(W)));
template <int W>
using float_lanes = float __attribute__((ext_vector_type(W)));

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
    // What is rounded is a float, whatever made it: LLVM would have an fma and this conversion be one v_fma_mixlo_f16, which
    // rounds once, here or there as it likes, and a number would have other bits in another kernel.
#pragma unroll
    for (int i = 0; i < W; ++i) {
        float each = v[i];
        asm("" : "+v"(each));
        v[i] = each;
    }
    const half_lanes narrow = __builtin_convertvector(v, half_lanes);
    return __builtin_bit_cast(half_bits<W>, narrow);
}

/// Where this lane is: work-group `group` of `groups`. `groups` is an argument, so that no kernel needs the hidden
/// arguments whose layout differs between code object versions.
template <int Block, int Wave>
struct grid {
    static_assert(Block % Wave == 0, "a work-group is whole wavefronts");
    static constexpr int block = Block, wave_size = Wave, waves = Block / Wave;
    i64 group;
    i64 groups;

    MHC_MEMBER int thread() const { return int(__builtin_amdgcn_workitem_id_x()); }
    MHC_MEMBER int lane() const { return thread() % Wave; }
    /// The same in all lanes of a wave, and the compiler knows it.
    MHC_MEMBER int wave() const { return waves == 1 ? 0 : __builtin_amdgcn_readfirstlane(thread() / Wave); }
};

/// All waves of the work-group have come here, and see each other's LDS writes.
MHC_DEVICE void barrier()
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}

/// The lanes of this wave see each other's LDS writes.
MHC_DEVICE void wave_sync()
{
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}

MHC_DEVICE float shuffle_xor(float v, int lane, int distance)
{
    return __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute((lane ^ distance) * 4, __builtin_bit_cast(int, v)));
}

/// Sum over the lanes of a wave, in every lane: a butterfly, so every lane adds the same pairs.
template <int Wave>
MHC_DEVICE float wave_sum(float v)
{
    const int lane = int(__builtin_amdgcn_workitem_id_x()) % Wave;
    for (int distance = 1; distance < Wave; distance *= 2) v += shuffle_xor(v, lane, distance);
    return v;
}

MHC_DEVICE float square_root(float v) { return __builtin_sqrtf(v); }

}  // namespace mhc

#include <mhc/device/clang_vector.hpp>
#include <mhc/device/simd.hpp>
