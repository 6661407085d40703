// tools/common/convert.hpp -- float32 to a data type, rounded to nearest even, and exactly back.
#pragma once

#include <cstddef>
#include <cstdint>

#include <mhc/jit/spec.hpp>

namespace mhc::tools {

/// IEEE bits, rounded to nearest even; too large becomes infinity, NaN stays NaN.
std::uint16_t fp16_bits(float value) noexcept;
std::uint16_t bf16_bits(float value) noexcept;
float from_fp16(std::uint16_t bits) noexcept;
float from_bf16(std::uint16_t bits) noexcept;

/// The number that 8 bits of fp8 e4m3 (OCP's e4m3fn) are; exact.
float from_e4m3(std::uint8_t bits) noexcept;

/// `count` values to and from elements of `type`; `elements` needs no alignment.
void round_values(const float* values, std::int64_t count, jit::dtype type, std::byte* elements) noexcept;
void widen_elements(const std::byte* elements, std::int64_t count, jit::dtype type, float* values) noexcept;

}  // namespace mhc::tools
