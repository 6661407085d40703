// mhc/device/cuda_group_products.hpp -- the vocabulary of NVIDIA GPUs of compute capability 9.0: products of four waves
// whose left factor is in lanes and whose right one is in LDS by_sum.
#pragma once

#include <mhc/device/cuda_group_matrix.hpp>

namespace mhc {

/// A factor by_sum of octets of rows: the words of 8 rows that have the same 8 of what is summed follow each other, then
/// those of the next 8 places. `next`: words to the next 8 rows. It is by_rows' pair of distances.
MHC_DEVICE lds_factor factor_by_octets(int first, int next) { return lds_factor::by_rows(first, next); }

/// sums += left * right, of 16 of what is summed: `left` is in lanes, `right` by_sum.
MHC_DEVICE void add_products(group_sums<16>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {" MHC_SUMS_0
                 "}, {%8, %9, %10, %11}, %12, 1, 1, 1, 0;"
                 : MHC_EIGHT(0)
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}
MHC_DEVICE void add_products(group_sums<32>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1
                 "}, {%16, %17, %18, %19}, %20, 1, 1, 1, 0;"
                 : MHC_EIGHT(0), MHC_EIGHT(8)
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}
MHC_DEVICE void add_products(group_sums<48>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n48k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2
                 "}, {%24, %25, %26, %27}, %28, 1, 1, 1, 0;"
                 : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16)
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}
MHC_DEVICE void add_products(group_sums<72>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n72k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2
                 ", " MHC_SUMS_3 ", %32, %33, %34, %35}, {%36, %37, %38, %39}, %40, 1, 1, 1, 0;"
                 : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16), MHC_EIGHT(24), "+f"(sums.at[32]), "+f"(sums.at[33]),
                   "+f"(sums.at[34]), "+f"(sums.at[35])
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}
MHC_DEVICE void add_products(group_sums<80>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n80k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2
                 ", " MHC_SUMS_3 ", " MHC_SUMS_4 "}, {%40, %41, %42, %43}, %44, 1, 1, 1, 0;"
                 : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16), MHC_EIGHT(24), MHC_EIGHT(32)
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}
MHC_DEVICE void add_products(group_sums<96>& sums, const group_left& left, lds_factor right)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2
                 ", " MHC_SUMS_3 ", " MHC_SUMS_4 ", " MHC_SUMS_5 "}, {%48, %49, %50, %51}, %52, 1, 1, 1, 0;"
                 : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16), MHC_EIGHT(24), MHC_EIGHT(32), MHC_EIGHT(40)
                 : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits));
}

}  // namespace mhc
