// tests/reference/dtypes.hpp -- bf16, fp16 and fp8 e4m3: rounding to nearest even, and exact widening; nothing of the
// library in it.
#pragma once

#include <cstdint>

#include <mhc/jit/spec.hpp>

namespace mhc::reference {

/// The nearest bf16 or fp16 number, ties to the even one; overflow gives infinity, NaN stays NaN.
std::uint16_t bf16_bits(float value);
std::uint16_t fp16_bits(float value);

/// The value of a bf16 or fp16 number; exact.
float from_bf16(std::uint16_t bits);
float from_fp16(std::uint16_t bits);

/// `value` rounded to `type` and widened again.
float rounded(jit::dtype type, float value);

/// float64 rounded once to bf16 (not by way of float32), as float64. Written from the definition of the format.
double rounded_to_bf16(double value);

/// The same for fp16; together they are what the bit manipulations above are tested against.
double rounded_to_fp16(double value);

/// OCP fp8 e4m3 (the "fn" kind: no infinities, largest 448, subnormals of 2^-9): ties to even; beyond 448, infinity too,
/// gives 448 of the sign; NaN stays NaN.
double rounded_to_e4m3(double value);

/// The same as its 8 bits, and the value of 8 bits; exact.
std::uint8_t e4m3_bits(double value);
double from_e4m3(std::uint8_t bits);

/// The largest change of rounded_to_e4m3(v) over |v - value| <= window.
double e4m3_rounding_doubt(double value, double window);

/// The largest change of rounded_to_bf16(v) over |v - value| <= window: 0 where every such v rounds to the same number.
double bf16_rounding_doubt(double value, double window);

}  // namespace mhc::reference
