// mhc/device/cuda_matrix.hpp -- the vocabulary of NVIDIA GPUs from compute capability 8.0 on that only kernels for them use:
// matrix units, and the overlap of kernels that follow each other.
#pragma once

namespace mhc {

/// Sums of a matrix product of 16 x 16 by 16 x 8: lane 4 g + q has rows g and g + 8, columns 2 q and 2 q + 1 of each.
struct tile_16x8 {
    float at[4];
};

/// sums += a * b. Pairs of bf16, the lower k in the low half: `a` has k = 2 q, 2 q + 1 of rows g and g + 8, then k + 8 of
/// both; `b` has k = 2 q, 2 q + 1 of column g, then k + 8. Products are exact; they are added in an order of the GPU's, the
/// same for every row.
MHC_DEVICE void add_product(tile_16x8& sums, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// Sum over the four lanes that share g, in each of them.
MHC_DEVICE float quad_sum(float v)
{
    v += __shfl_xor_sync(0xffffffffU, v, 1);
    return v + __shfl_xor_sync(0xffffffffU, v, 2);
}

/// The value of lane `from` of the warp, in every lane.
MHC_DEVICE float of_lane(float v, int from) { return __shfl_sync(0xffffffffU, v, from); }

/// 16 bytes at `p`, a multiple of Align, that this block reads once. It stays where it is written: loads of a loop run ahead of
/// their use, and none is moved in front of wait_for_last_kernel.
template <int Align>
MHC_DEVICE uint4 load_once(const void* p)
{
    uint4 v;
    if constexpr (Align >= 16) {
        asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(p));
    } else if constexpr (Align >= 4) {
        u32 words[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) asm volatile("ld.global.u32 %0, [%1];" : "=r"(words[i]) : "l"(static_cast<const u32*>(p) + i));
        v = {words[0], words[1], words[2], words[3]};
    } else {
        u16 halves[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) asm volatile("ld.global.u16 %0, [%1];" : "=h"(halves[i]) : "l"(static_cast<const u16*>(p) + i));
        const auto pair = [&](int i) { return u32(halves[i]) | u32(halves[i + 1]) << 16; };
        v = {pair(0), pair(2), pair(4), pair(6)};
    }
    return v;
}

/// What the kernel before may have written: as load_once, never moved in front of wait_for_last_kernel.
MHC_DEVICE float load_fresh(const float* p)
{
    float v;
    asm volatile("ld.global.f32 %0, [%1];" : "=f"(v) : "l"(p));
    return v;
}

/// Where kernels can overlap (from compute capability 9.0 on): the next kernel of the stream may start, and wait for this one.
template <bool Overlaps>
MHC_DEVICE void let_next_kernel_start()
{
    if constexpr (Overlaps) asm volatile("griddepcontrol.launch_dependents;");
}
/// The kernel before has ended, and what it wrote is seen.
template <bool Overlaps>
MHC_DEVICE void wait_for_last_kernel()
{
    if constexpr (Overlaps) asm volatile("griddepcontrol.wait;" ::: "memory");
}

}  // namespace mhc
