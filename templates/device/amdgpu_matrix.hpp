// mhc/device/amdgpu_matrix.hpp -- what kernels that use matrix instructions need of AMD GPUs, whichever those are.
#pragma once

namespace mhc {

using uint4 = u32 __attribute__((ext_vector_type(4)));

/// Words of 16 bytes on their way to a lane: in registers, where a load brings them in the background.
template <int Words, int Block, int = 1>
struct lane_queue {
    static constexpr int stages = 1, room = 0;
    static constexpr bool stays = false;  ///< a set's words are taken before the next one is asked for
    uint4 words[Words];

    explicit MHC_MEMBER lane_queue(uint4*) {}
    template <int Align>
    MHC_MEMBER void ask(int, int word, int, const void* p, bool is_there)
    {
        words[word] = (uint4)(0U);
        if (is_there) words[word] = static_cast<const packed_vector<u32, 4, smaller(Align, 16)>*>(p)->v;
    }
    MHC_MEMBER void end_set() const {}
    MHC_MEMBER void wait() const {}
    MHC_MEMBER void wait_for_all() const {}
    MHC_MEMBER uint4 word(int, int word, int) const { return words[word]; }
};
/// Count words for LDS, brought by all lanes of a work-group: they are there after a barrier.
template <int Block, int Count>
MHC_DEVICE void bring_words(uint4* to, const uint4* from, int thread)
{
#pragma unroll 8
    for (int e = thread; e < Count; e += Block) to[e] = from[e];
}

/// Where a queue keeps a lane's words: its own registers.
MHC_DEVICE int place_of_columns(int thread) { return thread; }
/// LDS for `count` times 16 bytes.
#define MHC_LARGE_LDS(name, count) static __attribute__((shared)) mhc::uint4 name[count]

/// The upper halves of two floats, the first in the low half.
MHC_DEVICE u32 upper_halves(u32 low, u32 high) { return __builtin_amdgcn_perm(high, low, 0x07060302U); }

MHC_DEVICE u32 lower_halves(u32 low, u32 high) { return __builtin_amdgcn_perm(high, low, 0x05040100U); }

/// The i-th of four words.
MHC_DEVICE u32 word_of(const uint4& v, int i) { return v[i]; }

/// The 8 values of 16 bytes of bf16.
MHC_DEVICE vec<float, 8> widen_bf16(uint4 v)
{
    return widen<8>(__builtin_bit_cast(vec<u16, 8>, v), static_cast<const bf16*>(nullptr));
}

/// The 8 values of one word of 16 bytes, or of two.
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const bf16*) { return widen_bf16(*v); }
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const fp16* type)
{
    return widen<8>(__builtin_bit_cast(vec<u16, 8>, *v), type);
}
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const fp32*)
{
    vec<float, 8> wide;
    wide.lo = __builtin_bit_cast(vec<float, 4>, v[0]);
    wide.hi = __builtin_bit_cast(vec<float, 4>, v[1]);
    return wide;
}

/// 16 bytes at `p`, a multiple of Align, that other waves read too.
template <int Align>
MHC_DEVICE uint4 load_words_of(const bf16* p)
{
    return reinterpret_cast<const packed_vector<u32, 4, smaller(Align, 16)>*>(p)->v;
}

/// The upper halves of eight floats.
MHC_DEVICE uint4 upper_halves(vec<u32, 8> bits)
{
    u32 pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const u32 low = bits[2 * i], high = bits[2 * i + 1];
        pairs[i] = upper_halves(low, high);
    }
    return {pairs[0], pairs[1], pairs[2], pairs[3]};
}

/// Eight weights as bf16: the nearest, and the nearest of what is left.
struct weight_parts {
    uint4 high, low;
};
MHC_DEVICE weight_parts split_weights(vec<float, 8> w, bool has_low)
{
    if (!has_low) return {__builtin_bit_cast(uint4, narrow<8>(w, static_cast<const bf16*>(nullptr))), (uint4)(0U)};
    const vec<u32, 8> bits = __builtin_bit_cast(vec<u32, 8>, w);
    // Either neighbour will do for a value in the middle. A NaN may become anything here, but what is left of it is one.
    const vec<u32, 8> high = bits + 0x8000U;
    // w - high, in pairs: Clang has no packed subtraction.
    const vec<float, 8> minus = splat<8>(-1.0f);
    const vec<float, 8> left = fma<8>(minus, __builtin_bit_cast(vec<float, 8>, high & 0xffff0000U), w);
    // To 8 bits by Dekker's splitting, which leaves a NaN one.
    const vec<float, 8> scaled = left * 65537.0f, low = fma<8>(minus, fma<8>(minus, left, scaled), scaled);
    return {upper_halves(high), upper_halves(__builtin_bit_cast(vec<u32, 8>, low))};
}

/// v, as if it were not known before: what follows from it is not kept in registers from one turn of a loop to the next.
MHC_DEVICE int made_anew(int v) { return made_here(v); }

}  // namespace mhc
