// mhc/device/simd.hpp -- rows of channels as vectors: what follows from a target's vectors, `fetch` and `store`.
#pragma once

namespace mhc {

/// The first `count` elements at `p`, then zeros, as they are stored.
template <int W, class T>
MHC_DEVICE vec<typename storage<T>::element, W> fetch_some(const T* p, int count)
{
    vec<typename storage<T>::element, W> v = {};
#pragma unroll
    for (int i = 0; i < W; ++i)
        if (i < count) v[i] = fetch<1, int(sizeof(T))>(p + i)[0];
    return v;
}

/// W elements at `p`, which is a multiple of Align bytes.
template <int W, int Align, class T>
MHC_DEVICE vec<float, W> load(const T* p)
{
    return widen<W>(fetch<W, Align>(p), p);
}
template <int W, class T>
MHC_DEVICE void store_some(T* p, vec<float, W> v, int count)
{
#pragma unroll
    for (int i = 0; i < W; ++i)
        if (i < count) store<1, int(sizeof(T))>(p + i, splat<1>(v[i]));
}

/// v rounded to T and back.
template <class T, int W>
MHC_DEVICE vec<float, W> rounded_to(vec<float, W> v)
{
    return widen<W>(narrow<W>(v, static_cast<const T*>(nullptr)), static_cast<const T*>(nullptr));
}

}  // namespace mhc
