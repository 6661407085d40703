// tests/support/numeric.hpp -- whether a kernel's result agrees with the float64 reference: the two bounds of MATH.md 6.1a.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/spec.hpp>

#include "tests/reference/tensors.hpp"

namespace mhc::testing {

/// What an output tensor is held to.
struct bounds {
    double relative = 0;  ///< of the tensor: norm(out - ref) <= relative * norm(ref)
    double unit = 0;      ///< u of the type stored: 2^-9 (bf16), 2^-11 (fp16), 2^-24 (fp32)
    /// Half the spacing of the type's smallest numbers for fp16; for the others where float32 numbers become subnormal,
    /// which a kernel may flush. Matters to gradients that vanish.
    double smallest = 0x1p-126;
    /// rounding_doubt is a whole step of what is stored: an element is right at either end of it.
    bool may_step = false;
};

/// The bounds of `tensor` (its name in <mhc/jit/args.hpp>) as `op` of `spec` returns it.
bounds bounds_of(jit::operation op, std::string_view tensor, const jit::layer_spec& spec);

/// Those of a gradient of a tensor with these bounds: three times the relative one.
constexpr bounds of_gradient(const bounds& of) { return {3 * of.relative, of.unit, of.smallest}; }

/// Those of a layer_input in fp8, times its scale, whose bounds are `scale`: rounded as the reference does, but for elements
/// so near the middle of two fp8 numbers that float32 sums end on either side. With one stream, or equal ones, many are:
/// both they and the largest are bf16 numbers.
constexpr bounds of_quantised(bounds scale)
{
    scale.may_step = true;
    return scale;
}

struct comparison {
    bool passed = false;
    double norm_ratio = 0;     ///< error over bound of the whole tensor; above 1 fails
    double element_ratio = 0;  ///< the worst of the elements
    std::string message;       ///< one line, when it failed
};

/// Both must hold, with rms(ref) = norm(ref) / sqrt(size):
///   norm(out - ref) <= relative * norm(ref)
///   |out - ref| <= 4 u * terms + relative * rms(ref) (+ rounding_doubt) for every element,
/// and `smallest` more in both. In the first the error of an element that may step is its distance from the nearer end.
/// Where terms cancel, norm(terms) stands for norm(ref) in the first: when it is more than `cancelling` times as large.
/// NaN and infinities must stand exactly where the reference has them. `dims` name the index in messages, such as
/// {{"t", T}, {"i", n}, {"c", C}}.
struct dimension {
    std::string_view name;
    std::int64_t size;
};
comparison compare(std::span<const float> out, const reference::tensor& expected, const bounds& allowed,
                   const std::vector<dimension>& dims);

/// n random terms of either sign sum to about 1/sqrt(n) of their absolute sum, 6 at 32 streams: not yet a cancellation.
inline constexpr double cancelling = 16;

}  // namespace mhc::testing
