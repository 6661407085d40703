// emulator/atomics.hpp -- what atomic operations make of the old value, for memory and LDS alike.
#pragma once

#include <type_traits>

#include "emulator/numbers.hpp"

namespace mhc::emulator::atomics {

// All take and give bits: (old, data). Sums of floats are rounded to nearest even and keep denormals, whatever the mode:
// what a kernel's mode does to them differs by generation, and is not modelled.
inline u32 add_single(u32 old, u32 data) { return to_bits(to_float(old) + to_float(data)); }
inline u64 add_double(u64 old, u64 data) { return to_bits(to_double(old) + to_double(data)); }
inline u32 add_halves(u32 old, u32 data)
{
    const auto sum = [&](u32 shift) {
        return single_to_half(half_to_single(old >> shift & 0xFFFFU) + half_to_single(data >> shift & 0xFFFFU)) << shift;
    };
    return sum(0) | sum(16);
}
inline u32 rounded_bfloat(float v)
{
    const u32 bits = to_bits(v);
    return is_nan(bits) ? quieted(bits) >> 16 : (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
}
inline u32 add_bfloats(u32 old, u32 data)
{
    const u32 low = rounded_bfloat(to_float(old << 16) + to_float(data << 16));
    return low | rounded_bfloat(to_float(old & 0xFFFF0000U) + to_float(data & 0xFFFF0000U)) << 16;
}

template <class T>
T add(T old, T data)
{
    return old + data;
}
template <class T>
T subtract(T old, T data)
{
    return old - data;
}
template <class T>
T subtract_from(T old, T data)
{
    return data - old;
}
template <class T>
T swap(T, T data)
{
    return data;
}
template <class T>
T bits_and(T old, T data)
{
    return old & data;
}
template <class T>
T bits_or(T old, T data)
{
    return old | data;
}
template <class T>
T bits_xor(T old, T data)
{
    return old ^ data;
}
template <class T>
T least_unsigned(T old, T data)
{
    return old < data ? old : data;
}
template <class T>
T most_unsigned(T old, T data)
{
    return old > data ? old : data;
}
template <class T>
T least_signed(T old, T data)
{
    using S = std::make_signed_t<T>;
    return static_cast<S>(old) < static_cast<S>(data) ? old : data;
}
template <class T>
T most_signed(T old, T data)
{
    using S = std::make_signed_t<T>;
    return static_cast<S>(old) > static_cast<S>(data) ? old : data;
}
/// Up to the data, then 0 again.
template <class T>
T increment(T old, T data)
{
    return old >= data ? 0 : old + 1;
}
template <class T>
T decrement(T old, T data)
{
    return old == 0 || old > data ? data : old - 1;
}

}  // namespace mhc::emulator::atomics
