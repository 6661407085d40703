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
#define MHC_BRANCH_ON_NAN true

/// Of how many work-groups are there at once the registers follow, not the other way round.
#define MHC_RESIDENT_KERNEL(name, block, resident, ...) MHC_KERNEL(name, block, __VA_ARGS__)
#define MHC_KERNEL(name, block, ...) \
    extern "C" __attribute__((global, amdgpu_flat_work_group_size(block, block))) void name(__VA_ARGS__)
#define MHC_GRID(block, wave) \
    mhc::grid<block, wave> { __builtin_amdgcn_workgroup_id_x(), groups }

#include <mhc/device/types.hpp>

namespace mhc {

/// Whether a lane balances an n x n matrix in its registers sooner than several do in shared memory.
template <int n>
constexpr bool balances_in_lanes = false;
/// Whether lanes that share a matrix keep their lines in registers.
template <int n>
constexpr bool balances_by_lines = false;

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

/// Whether this lane is to take a branch in which lanes meet: only those that do.
MHC_DEVICE bool wave_takes(bool is_wanted) { return is_wanted; }

/// v of another lane of the same 16, by a DPP control of the ISA.
template <int Control>
MHC_DEVICE float moved(float v)
{
    const int bits = __builtin_bit_cast(int, v);
    return __builtin_bit_cast(float, __builtin_amdgcn_update_dpp(bits, bits, Control, 0xf, 0xf, true));
}
MHC_DEVICE float of_lane(float v, int lane)
{
    return __builtin_bit_cast(float, __builtin_amdgcn_readlane(__builtin_bit_cast(int, v), lane));
}

/// Sum over the lanes of a wave, in every lane: of pairs, then of neighbouring pairs of equal sums, and so on.
template <int Wave>
MHC_DEVICE float wave_sum(float v)
{
    v += moved<0xb1>(v);   // quad_perm 1 0 3 2
    v += moved<0x4e>(v);   // quad_perm 2 3 0 1
    v += moved<0x141>(v);  // row_half_mirror
    v += moved<0x140>(v);  // row_mirror
    const float half = of_lane(v, 0) + of_lane(v, 16);
    return Wave == 32 ? half : half + (of_lane(v, 32) + of_lane(v, 48));
}

/// put(e, the sum of v[e] over the lanes of a wave) in one lane for each e.
template <int Wave, int Count, class Put>
MHC_DEVICE void sums_of_wave(const float (&v)[Count], int lane, Put put)
{
#pragma unroll
    for (int e = 0; e < Count; ++e) {
        const float sum = wave_sum<Wave>(v[e]);
        if (lane == 0) put(e, sum);
    }
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
#include <mhc/device/simd.hpp>

namespace mhc {

/// What nothing writes while the kernel runs, at an address that all lanes of a wave have: a scalar load, which Clang makes
/// of no other after a barrier.
MHC_DEVICE float load_uniform(const float* p) { return *(const float __attribute__((address_space(4)))*)p; }

/// fetch of what is not read again soon: its lines are the first that caches give up, and gfx11's last level does not take
/// them in (LLVM's AMDGPUUsage, "Memory Model"; D127405). Not in pieces of fewer bytes than 16, the next of which want the
/// same line.
template <int W, int Align, class T>
MHC_DEVICE vec<typename storage<T>::element, W> fetch_once(const T* p)
{
    using words __attribute__((may_alias)) = vec<typename storage<T>::element, W>;
    if constexpr (smaller(Align, int(sizeof(words))) == 16)
        return __builtin_nontemporal_load(reinterpret_cast<const words*>(p));
    else
        return fetch<W, Align>(p);
}

/// v, as if it were not known before: what follows from it is not kept in registers from one turn of a loop to the next.
MHC_DEVICE int made_here(int v)
{
    asm volatile("" : "+v"(v));
    return v;
}

/// splat of what several vectors are multiplied by. gfx9's packed instructions take a pair of registers, which Clang makes
/// anew for every vector, two moves for each four products; of a pair that it cannot see through it makes one.
template <int W>
MHC_DEVICE vec<float, W> broadcast(float s)
{
#if defined(__gfx90a__) || defined(__gfx942__) || defined(__gfx950__)
    if constexpr (W % 2 == 0) {
        vec<float, 2> pair = splat<2>(s);
        asm("" : "+v"(pair));
        vec<float, W> all;
#pragma unroll
        for (int i = 0; i < W; i += 2) {
            all[i] = pair[0];
            all[i + 1] = pair[1];
        }
        return all;
    }
#endif
    return splat<W>(s);
}

}  // namespace mhc
