// mhc/device/cuda_numbers.hpp -- numbers as matrix units of NVIDIA GPUs take them, and words of them as floats.
#pragma once

namespace mhc {

/// The i-th of four words.
MHC_DEVICE u32 word_of(const uint4& v, int i) { return i < 2 ? (i == 0 ? v.x : v.y) : (i == 2 ? v.z : v.w); }

/// Eight weights as bf16: the nearest, and the nearest of what is left.
struct weight_parts {
    uint4 high, low;
};
MHC_DEVICE weight_parts split_weights(vec<float, 8> w, bool has_low)
{
    u32 high[4], low[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float a = w[2 * i], b = w[2 * i + 1];
        high[i] = float_pair_to_bf16(a, b);
        low[i] = float_pair_to_bf16(a - bits_to_float(high[i] << 16), b - bits_to_float(high[i] & 0xffff0000U));
        if (!has_low) low[i] = 0;
    }
    return {{high[0], high[1], high[2], high[3]}, {low[0], low[1], low[2], low[3]}};
}

/// The same as fp16.
MHC_DEVICE weight_parts split_weights(vec<float, 8> w, const fp16*)
{
    u32 high[4], low[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float a = w[2 * i], b = w[2 * i + 1];
        high[i] = float_pair_to_half(a, b);
        low[i] = float_pair_to_half(a - half_to_float(u16(high[i])), b - half_to_float(u16(high[i] >> 16)));
    }
    return {{high[0], high[1], high[2], high[3]}, {low[0], low[1], low[2], low[3]}};
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

/// The 8 values of one word of 16 bytes, or of two.
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const bf16*) { return widen_bf16(*v); }
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const fp16*)
{
    vec<float, 8> wide;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const u32 pair = word_of(*v, i);
        wide[2 * i] = half_to_float(u16(pair));
        wide[2 * i + 1] = half_to_float(u16(pair >> 16));
    }
    return wide;
}
MHC_DEVICE vec<float, 8> widen_words(const uint4* v, const fp32*)
{
    vec<float, 8> wide;
#pragma unroll
    for (int i = 0; i < 8; ++i) wide[i] = bits_to_float(word_of(v[i / 4], i % 4));
    return wide;
}

/// The values of one word of 16 bytes.
MHC_DEVICE vec<float, 8> widen_word(uint4 v, const bf16*) { return widen_bf16(v); }
MHC_DEVICE vec<float, 8> widen_word(uint4 v, const fp16* type) { return widen_words(&v, type); }
template <class Data>
MHC_DEVICE vec<float, 4> widen_word(uint2 v, const Data* type)
{
    const vec<float, 8> wide = widen_word(uint4{v.x, v.y, 0, 0}, type);
    return {{wide[0], wide[1], wide[2], wide[3]}};
}
MHC_DEVICE vec<float, 4> widen_word(uint4 v, const fp32*)
{
    return {{bits_to_float(v.x), bits_to_float(v.y), bits_to_float(v.z), bits_to_float(v.w)}};
}

}  // namespace mhc
