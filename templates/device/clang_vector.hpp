// mhc/device/clang_vector.hpp -- vectors of floats as Clang's vector types, for every compiler that is a Clang.
//
// Needs of the target `half_to_float`, `float_to_half`, `MHC_FUSED` (whether a fused multiply-add is an instruction) and
// `MHC_BRANCH_ON_NAN` (whether a branch costs less than what a NaN takes to stay one).
#pragma once

namespace mhc {

MHC_DEVICE float bits_to_float(u32 bits) { return __builtin_bit_cast(float, bits); }
MHC_DEVICE u32 float_to_bits(float v) { return __builtin_bit_cast(u32, v); }

template <class T, int W>
using vec = T __attribute__((ext_vector_type(W)));

template <int W>
MHC_DEVICE vec<float, W> splat(float s)
{
    return (vec<float, W>)(s);
}

MHC_DEVICE float fma(float a, float b, float c) { return MHC_FUSED ? __builtin_fmaf(a, b, c) : a * b + c; }

/// a * b + c in each element, rounded once where the target can.
template <int W>
MHC_DEVICE vec<float, W> fma(vec<float, W> a, vec<float, W> b, vec<float, W> c)
{
#if __has_builtin(__builtin_elementwise_fma)
    return MHC_FUSED ? __builtin_elementwise_fma(a, b, c) : a * b + c;
#else
    vec<float, W> result = c;
#pragma unroll
    for (int i = 0; i < W; ++i) result[i] = fma(a[i], b[i], c[i]);
    return result;
#endif
}

/// Sum of the elements, in halves: the order is the width's, not the compiler's.
template <int W>
MHC_DEVICE float sum(vec<float, W> v)
{
    if constexpr (W == 1)
        return v[0];
    else
        return sum<W / 2>(v.lo + v.hi);
}

template <int W>
MHC_DEVICE vec<float, W> widen(vec<float, W> v, const fp32*)
{
    return v;
}
template <int W>
MHC_DEVICE vec<float, W> widen(vec<u16, W> v, const bf16*)
{
    const vec<u32, W> bits = __builtin_convertvector(v, vec<u32, W>) << 16;
    return __builtin_bit_cast(vec<float, W>, bits);
}
template <int W>
MHC_DEVICE vec<float, W> widen(vec<u16, W> v, const fp16*)
{
    return half_to_float<W>(v);
}

template <int W>
MHC_DEVICE vec<float, W> narrow(vec<float, W> v, const fp32*)
{
    return v;
}
/// Whether an element is a NaN, in a comparison for two of them; one that has no neighbour is not looked at.
template <int W>
MHC_DEVICE bool has_nan(vec<float, W> v)
{
    bool found = false;
#pragma unroll
    for (int i = 0; i + 1 < W; i += 2) found |= __builtin_isunordered(v[i], v[i + 1]);
    return found;
}

/// To nearest, ties to even; a NaN stays one.
template <int W>
MHC_DEVICE vec<u16, W> narrow(vec<float, W> v, const bf16*)
{
    vec<u32, W> bits = __builtin_bit_cast(vec<u32, W>, v);
    if (!MHC_BRANCH_ON_NAN || W % 2 != 0 || __builtin_expect(has_nan<W>(v), 0)) {
        // A NaN whose lower half is zeros is not rounded.
        const vec<u32, W> quiet = (bits | 0x400000U) & 0xffff0000U;
        const vec<u32, W> is_nan = __builtin_bit_cast(vec<u32, W>, (bits & 0x7fffffffU) > 0x7f800000U);
        bits = (bits & ~is_nan) | (quiet & is_nan);
    }
    return __builtin_convertvector((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16, vec<u16, W>);
}
template <int W>
MHC_DEVICE vec<u16, W> narrow(vec<float, W> v, const fp16*)
{
    return float_to_half<W>(v);
}

/// A vector as it lies in memory, at a multiple of Align bytes.
template <class E, int W, int Align>
struct __attribute__((packed, aligned(Align), may_alias)) packed_vector {
    vec<E, W> v;
};
template <class T, int W, int Align>
using memory = packed_vector<typename storage<T>::element, W, smaller(Align, int(sizeof(T)) * W)>;

/// W elements at `p`, which is a multiple of Align bytes, as they are stored.
template <int W, int Align, class T>
MHC_DEVICE vec<typename storage<T>::element, W> fetch(const T* p)
{
    return reinterpret_cast<const memory<T, W, Align>*>(p)->v;
}
template <int W, int Align, class T>
MHC_DEVICE void store(T* p, vec<float, W> v)
{
    reinterpret_cast<memory<T, W, Align>*>(p)->v = narrow<W>(v, p);
}

}  // namespace mhc
