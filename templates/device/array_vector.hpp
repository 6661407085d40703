// mhc/device/array_vector.hpp -- vectors of floats as arrays, for compilers without vector types: NVRTC.
//
// Needs `half_to_float`, `float_pair_to_half`, `float_pair_to_bf16`, `fused` and `load_words`, `store_words` of the target.
#pragma once

namespace mhc {

/// W values; every loop over them is unrolled, so they are registers.
template <class T, int W>
struct vec {
    T at[W];
    MHC_MEMBER T operator[](int i) const { return at[i]; }
    MHC_MEMBER T& operator[](int i) { return at[i]; }
};

template <int W>
MHC_DEVICE vec<float, W> splat(float s)
{
    vec<float, W> v;
#pragma unroll
    for (int i = 0; i < W; ++i) v.at[i] = s;
    return v;
}

MHC_DEVICE float fma(float a, float b, float c) { return fused(a, b, c); }

/// a * b + c in each element, rounded once.
template <int W>
MHC_DEVICE vec<float, W> fma(vec<float, W> a, vec<float, W> b, vec<float, W> c)
{
#pragma unroll
    for (int i = 0; i < W; ++i) c.at[i] = fused(a.at[i], b.at[i], c.at[i]);
    return c;
}

template <int W>
MHC_DEVICE vec<float, W> operator+(vec<float, W> a, vec<float, W> b)
{
#pragma unroll
    for (int i = 0; i < W; ++i) a.at[i] += b.at[i];
    return a;
}
template <int W>
MHC_DEVICE vec<float, W> operator*(vec<float, W> a, vec<float, W> b)
{
#pragma unroll
    for (int i = 0; i < W; ++i) a.at[i] *= b.at[i];
    return a;
}
template <int W>
MHC_DEVICE vec<float, W> operator*(vec<float, W> a, float s)
{
#pragma unroll
    for (int i = 0; i < W; ++i) a.at[i] *= s;
    return a;
}

/// Sum of the elements, in halves: the order is the width's, not the compiler's.
template <int W>
MHC_DEVICE float sum(vec<float, W> v)
{
#pragma unroll
    for (int half = W / 2; half > 0; half /= 2) {
#pragma unroll
        for (int i = 0; i < half; ++i) v.at[i] += v.at[i + half];
    }
    return v.at[0];
}

MHC_DEVICE float widen_one(float v, const fp32*) { return v; }
MHC_DEVICE float widen_one(u16 v, const bf16*) { return bits_to_float(u32(v) << 16); }
MHC_DEVICE float widen_one(u16 v, const fp16*) { return half_to_float(v); }

template <int W, class E, class T>
MHC_DEVICE vec<float, W> widen(vec<E, W> v, const T* type)
{
    vec<float, W> wide;
#pragma unroll
    for (int i = 0; i < W; ++i) wide.at[i] = widen_one(v.at[i], type);
    return wide;
}
template <int W>
MHC_DEVICE vec<float, W> narrow(vec<float, W> v, const fp32*)
{
    return v;
}
MHC_DEVICE u32 narrow_pair(float low, float high, const bf16*) { return float_pair_to_bf16(low, high); }
MHC_DEVICE u32 narrow_pair(float low, float high, const fp16*) { return float_pair_to_half(low, high); }
/// To nearest, ties to even; a NaN stays one.
template <int W, class T>
MHC_DEVICE vec<u16, W> narrow(vec<float, W> v, const T* type)
{
    vec<u16, W> packed;
    if constexpr (W == 1) {
        packed.at[0] = u16(narrow_pair(v.at[0], 0.0f, type));
    } else {
        union {
            u32 pairs[W / 2];
            vec<u16, W> all;
        } bits;
#pragma unroll
        for (int i = 0; i < W / 2; ++i) bits.pairs[i] = narrow_pair(v.at[2 * i], v.at[2 * i + 1], type);
        packed = bits.all;
    }
    return packed;
}

/// W elements at `p`, which is a multiple of Align bytes, as they are stored.
template <int W, int Align, class T>
MHC_DEVICE vec<typename storage<T>::element, W> fetch(const T* p)
{
    using packed = vec<typename storage<T>::element, W>;
    return load_words<packed, smaller(Align, int(sizeof(packed)))>(p);
}
template <int W, int Align, class T>
MHC_DEVICE void store(T* p, vec<float, W> v)
{
    using packed = vec<typename storage<T>::element, W>;
    store_words<packed, smaller(Align, int(sizeof(packed)))>(p, narrow<W>(v, p));
}

}  // namespace mhc
