// mhc/device/cuda_group_matrix.hpp -- the vocabulary of NVIDIA GPUs of compute capability 9.0: products that four waves make
// together and in the background, of factors that are in LDS.
#pragma once

#include <mhc/device/cuda_cluster.hpp>

namespace mhc {

/// A product of 64 rows by some columns, 16 of what is summed at a time. Wave w of the four has rows 16 w to 16 w + 15:
/// lane 4 g + q those g and g + 8 after the first, and of each 8 columns 2 q and 2 q + 1.
struct group_matrix {
    static constexpr int waves = 4, rows = 64, step = 16;
    static MHC_MEMBER int row(int wave, int lane, int half) { return wave * 16 + half * 8 + lane / 4; }
    static MHC_MEMBER int column(int lane) { return lane % 4 * 2; }
    /// The place among a lane's sums of the e-th of its two columns of the eight columns `block`.
    static constexpr MHC_MEMBER int place(int block, int half, int e) { return block * 4 + half * 2 + e; }
};

template <int Columns>
struct group_sums {
    static constexpr int count = Columns / 2;
    float at[count];
};

/// The number of a word of 16 bytes in LDS: the first ones of a factor are named by it.
MHC_DEVICE int lds_word(const uint4* at) { return int(lds_address(at) / 16); }
/// The same where work-groups are in clusters, whose addresses tell the group too, which a factor's does not.
MHC_DEVICE int lds_word_of_group(const uint4* at) { return lds_word(at) & 0x3fff; }

/// Where a factor is in LDS: words of 16 bytes, eight bf16 each. As the matrix units take it: the first word's number, and
/// two distances in words.
struct lds_factor {
    unsigned long long bits;

    /// A word is 8 of what is summed, of one row; rows follow each other. `next`: words to the same row's other 8.
    static MHC_MEMBER lds_factor by_sum(int first, int next) { return of(first, next, 8); }
    /// A word is 8 rows at one place of what is summed; places follow each other. `next`: words to the next 8 rows.
    static MHC_MEMBER lds_factor by_rows(int first, int next) { return of(first, 8, next); }

private:
    static MHC_MEMBER lds_factor of(int first, int leading, int stride)
    {
        return {u32(first | leading << 16) | static_cast<unsigned long long>(u32(stride)) << 32};
    }
};

/// A wave's rows of a left factor, 16 of what is summed, in its lanes.
struct group_left {
    u32 at[4];
};

/// Where word `word` of 8 is that place `k` of what is summed has: neither lanes that read it as rows nor those that read
/// it as a factor meet in a bank.
MHC_DEVICE int turned_word(int k, int word) { return k * 8 + (word ^ (k % 2 * 4 + k / 2 % 4)); }

/// The rows of a wave, of eight words of rows as turned_word has them from `first` on, as a left factor.
MHC_DEVICE group_left left_of_turned(int first, int wave, int lane)
{
    const u32 address = u32(first + turned_word(lane / 16 * 8 + lane % 8, wave * 2 + lane / 8 % 2)) * 16;
    group_left v;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.at[0]), "=r"(v.at[1]), "=r"(v.at[2]), "=r"(v.at[3])
                 : "r"(address)
                 : "memory");
    return v;
}

/// Registers are as the products find them; before the first one.
MHC_DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Products since the last call are one group.
MHC_DEVICE void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// All groups of products but the last Count are made. Their sums are then passed to `made`.
template <int Count>
MHC_DEVICE void products_but()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Count) : "memory");
}
/// Sums that products in the background have made: they are not read ahead of this.
template <int Columns>
MHC_DEVICE void made(group_sums<Columns>& sums)
{
#pragma unroll
    for (int i = 0; i < sums.count; ++i) asm volatile("" : "+f"(sums.at[i])::"memory");
}

/// Names of eight of a lane's sums in a product's text, and those sums as its operands from the first on.
#define MHC_SUMS_0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define MHC_SUMS_1 "%8, %9, %10, %11, %12, %13, %14, %15"
#define MHC_SUMS_2 "%16, %17, %18, %19, %20, %21, %22, %23"
#define MHC_SUMS_3 "%24, %25, %26, %27, %28, %29, %30, %31"
#define MHC_SUMS_4 "%32, %33, %34, %35, %36, %37, %38, %39"
#define MHC_SUMS_5 "%40, %41, %42, %43, %44, %45, %46, %47"
#define MHC_EIGHT(first)                                                                                \
    "+f"(sums.at[first]), "+f"(sums.at[first + 1]), "+f"(sums.at[first + 2]), "+f"(sums.at[first + 3]), \
        "+f"(sums.at[first + 4]), "+f"(sums.at[first + 5]), "+f"(sums.at[first + 6]), "+f"(sums.at[first + 7])

/// sums = left * right, and what they were where `adds`: of 16 of what is summed. Both factors are by_sum.
MHC_DEVICE void multiply(group_sums<64>& sums, lds_factor left, lds_factor right, bool adds)
{
    asm volatile(
        "{ .reg .pred adds; setp.ne.u32 adds, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2 ", " MHC_SUMS_3
        "}, %32, %33, adds, 1, 1, 0, 0; }"
        : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16), MHC_EIGHT(24)
        : "l"(left.bits), "l"(right.bits), "r"(u32(adds)));
}
MHC_DEVICE void multiply(group_sums<32>& sums, lds_factor left, lds_factor right, bool adds)
{
    asm volatile(
        "{ .reg .pred adds; setp.ne.u32 adds, %18, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1
        "}, %16, %17, adds, 1, 1, 0, 0; }"
        : MHC_EIGHT(0), MHC_EIGHT(8)
        : "l"(left.bits), "l"(right.bits), "r"(u32(adds)));
}
/// The same with the left factor in lanes; the right one is by_rows.
MHC_DEVICE void multiply(group_sums<48>& sums, const group_left& left, lds_factor right, bool adds)
{
    asm volatile(
        "{ .reg .pred adds; setp.ne.u32 adds, %29, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n48k16.f32.bf16.bf16 {" MHC_SUMS_0 ", " MHC_SUMS_1 ", " MHC_SUMS_2
        "}, {%24, %25, %26, %27}, %28, adds, 1, 1, 1; }"
        : MHC_EIGHT(0), MHC_EIGHT(8), MHC_EIGHT(16)
        : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits), "r"(u32(adds)));
}
MHC_DEVICE void multiply(group_sums<16>& sums, const group_left& left, lds_factor right, bool adds)
{
    asm volatile(
        "{ .reg .pred adds; setp.ne.u32 adds, %13, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {" MHC_SUMS_0 "}, {%8, %9, %10, %11}, %12, adds, 1, 1, 1; }"
        : MHC_EIGHT(0)
        : "r"(left.at[0]), "r"(left.at[1]), "r"(left.at[2]), "r"(left.at[3]), "l"(right.bits), "r"(u32(adds)));
}

/// Words that follow each other, to LDS by the copy engine, told to a signal that expects their bytes.
MHC_DEVICE void copy_words(uint4* to, const uint4* from, int count, signal& told) { copy_row(to, from, count * 16, told); }
/// The same for all Ranks work-groups of a cluster, each of which brings all of them a share.
template <int Ranks>
MHC_DEVICE void copy_words_to_all(uint4* to, const uint4* from, int count, signal& told)
{
    if constexpr (Ranks == 1) {
        copy_words(to, from, count, told);
    } else {
        const int share = count / Ranks, first = int(cluster_rank()) * share;
        copy_row_to_all<Ranks>(to + first, from + first, share * 16, told);
    }
}

/// take(k, sum) in each of four lanes that follow each other: the k-th of its quarter of the sums over them, the first
/// lane's being the first.
template <int Count, class Take>
MHC_DEVICE void share_quad_sums(const float (&v)[Count], int lane, Take take)
{
    constexpr int half = Count / 2, quarter = Count / 4;
    static_assert(Count % 4 == 0, "each lane has as many");
    const bool is_second = lane & 2, is_odd = lane & 1;
    float rest[half];
#pragma unroll
    for (int k = 0; k < half; ++k)
        rest[k] = (is_second ? v[half + k] : v[k]) + __shfl_xor_sync(0xffffffffU, is_second ? v[k] : v[half + k], 2);
#pragma unroll
    for (int k = 0; k < quarter; ++k)
        take(k,
             (is_odd ? rest[quarter + k] : rest[k]) + __shfl_xor_sync(0xffffffffU, is_odd ? rest[k] : rest[quarter + k], 1));
}

/// Sum over the eight lanes of a wave that have the same columns, in each of them.
MHC_DEVICE float sum_of_eight(float v)
{
#pragma unroll
    for (int distance = 4; distance < 32; distance *= 2) v += __shfl_xor_sync(0xffffffffU, v, distance);
    return v;
}

/// Stores 8 floats of each lane. Two neighbours, whose numbers follow each other from `to` on, store whole sectors together:
/// first those of the even lane, then those of the odd one, where these are there.
MHC_DEVICE void store_together(float* to, int lane, const vec<float, 8>& v, bool even_is_there, bool odd_is_there)
{
    const bool is_odd = lane % 2 != 0;
    vec<float, 4> first = splat<4>(0.0f), second = first;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const float others = __shfl_xor_sync(0xffffffffU, is_odd ? v[k] : v[k + 4], 1);
        first[k] = is_odd ? others : v[k];
        second[k] = is_odd ? v[k + 4] : others;
    }
    float* const own = to + (is_odd ? 4 : 0);
    if (even_is_there) store<4, 16>(own, first);
    if (odd_is_there) store<4, 16>(own + 8, second);
}

}  // namespace mhc
