// emulator/integers.hpp -- short names for the machine's words.
#pragma once

#include <bit>
#include <cstdint>

namespace mhc::emulator {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

inline float to_float(u32 bits) { return std::bit_cast<float>(bits); }
inline u32 to_bits(float value) { return std::bit_cast<u32>(value); }
inline double to_double(u64 bits) { return std::bit_cast<double>(bits); }
inline u64 to_bits(double value) { return std::bit_cast<u64>(value); }
inline u64 joined(u32 low, u32 high) { return u64{high} << 32 | low; }

inline constexpr u32 sign_bit = 0x80000000U;

}  // namespace mhc::emulator
