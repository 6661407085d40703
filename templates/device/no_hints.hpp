// mhc/device/no_hints.hpp -- what amdgpu.hpp says to its compiler about values, for targets whose compilers need no telling.
#pragma once

namespace mhc {

/// What nothing writes while the kernel runs, at an address that all lanes of a wave have.
MHC_DEVICE float load_uniform(const float* p) { return *p; }

/// v; where registers are few, as if it were not known before.
MHC_DEVICE int made_here(int v) { return v; }

/// fetch of what is not read again soon.
template <int W, int Align, class T>
MHC_DEVICE vec<typename storage<T>::element, W> fetch_once(const T* p)
{
    return fetch<W, Align>(p);
}

/// splat of what several vectors are multiplied by.
template <int W>
MHC_DEVICE vec<float, W> broadcast(float s)
{
    return splat<W>(s);
}

}  // namespace mhc
