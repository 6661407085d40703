// mhc/device/cuda_matrix.hpp -- the vocabulary of NVIDIA GPUs from compute capability 9.0 on that only kernels for them use:
// matrix units, and the overlap of kernels that follow each other.
#pragma once

namespace mhc {

/// Sums of a matrix product of 16 x 16 by 16 x 8: lane 4 g + q has rows g and g + 8, columns 2 q and 2 q + 1 of each.
struct tile_16x8 {
    float at[4];
};

/// 16 rows of a left factor, 16 columns: pairs of bf16, the lower column in the low half. In lane 4 g + q the first two
/// words have columns 2 q and 2 q + 1 of rows g and g + 8, the others the columns 8 further on.
struct tile_16x16 {
    u32 at[4];
};

/// sums += a * b. b has rows 2 q and 2 q + 1 of column g, then those 8 further on. Products are exact; they are added in an
/// order of the GPU's, the same for every column.
MHC_DEVICE void add_product(tile_16x8& sums, const tile_16x16& a, u32 b0, u32 b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b0), "r"(b1));
}

/// Sum over the four lanes that share g, in each of them.
MHC_DEVICE float quad_sum(float v)
{
    v += __shfl_xor_sync(0xffffffffU, v, 1);
    return v + __shfl_xor_sync(0xffffffffU, v, 2);
}

/// The value of lane `from` of each group of Lanes, in all of its lanes. All lanes of the warp must call it.
template <int Lanes>
MHC_DEVICE float of_lane(float v, int from)
{
    return __shfl_sync(0xffffffffU, v, from, Lanes);
}

/// 16 bytes at `p`, a multiple of Align, that this block reads once; where MayLack, zeros unless `is_there`. It stays where
/// it is written: loads of a loop run ahead of their use, and none is moved in front of wait_for_last_kernel. A load under
/// an `if` would be waited for where the branches meet.
template <int Align, bool MayLack>
MHC_DEVICE uint4 load_once(const void* p, bool is_there)
{
    uint4 v;
    if constexpr (Align >= 16 && !MayLack) {
        asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(p));
        return v;
    }
    v = {0, 0, 0, 0};
    if constexpr (Align >= 16) {
        asm volatile(
            "{ .reg .pred there; setp.ne.u32 there, %5, 0; "
            "@there ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4]; }"
            : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w)
            : "l"(p), "r"(u32(is_there)));
    } else if (!MayLack || is_there) {
        u16 halves[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const u16* const from = static_cast<const u16*>(p) + i;
            asm volatile("ld.global.u16 %0, [%1];" : "=h"(halves[i]) : "l"(from));
        }
        const auto pair = [&](int i) { return u32(halves[i]) | u32(halves[i + 1]) << 16; };
        v = {pair(0), pair(2), pair(4), pair(6)};
    }
    return v;
}

/// LDS that a launch gives, beside what the kernel declares.
#define MHC_LDS_OF_LAUNCH(name) extern __shared__ uint4 name[]

/// As load_once, into LDS, in the background: this lane sees it there after copies_but.
template <int Align>
MHC_DEVICE void copy_once(uint4* to, const void* p, bool is_there)
{
    if constexpr (Align >= 16)
        asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(u32(__cvta_generic_to_shared(to))),
                     "l"(p), "r"(is_there ? 16 : 0)
                     : "memory");
    else
        *to = load_once<Align, true>(p, is_there);
}
/// What was copied since the last call is one group.
MHC_DEVICE void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// All groups of copies but the last Count have come.
template <int Count>
MHC_DEVICE void copies_but()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(Count) : "memory");
}

/// The 8 values of 16 bytes of bf16.
MHC_DEVICE vec<float, 8> widen_bf16(uint4 v)
{
    const u32 words[4] = {v.x, v.y, v.z, v.w};
    vec<float, 8> wide;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        wide[2 * i] = bits_to_float(words[i] << 16);
        wide[2 * i + 1] = bits_to_float(words[i] & 0xffff0000U);
    }
    return wide;
}

/// What the kernel before may have written: as load_once, never moved in front of wait_for_last_kernel.
MHC_DEVICE float load_fresh(const float* p)
{
    float v;
    asm volatile("ld.global.f32 %0, [%1];" : "=f"(v) : "l"(p));
    return v;
}

/// A kernel of which Resident work-groups must fit a multiprocessor: what registers a lane may have follows from it.
#define MHC_RESIDENT_KERNEL(name, block, resident, ...) \
    extern "C" __global__ void __launch_bounds__(block, resident) name(__VA_ARGS__)

/// The next kernel of the stream may start, and wait for this one.
MHC_DEVICE void let_next_kernel_start() { asm volatile("griddepcontrol.launch_dependents;"); }
/// The kernel before has ended, and what it wrote is seen.
MHC_DEVICE void wait_for_last_kernel() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

}  // namespace mhc
