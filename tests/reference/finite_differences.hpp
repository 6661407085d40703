// tests/reference/finite_differences.hpp -- a gradient against central differences of the function it is the gradient of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/reference/tensors.hpp"

namespace mhc::testing {

/// An array that a loss depends on. Its numbers lie on a grid so coarse that a number plus or minus a step is a float32
/// without rounding: central differences are then exact but for the loss's own float64 sums.
class operand {
public:
    /// `count` numbers near mean + deviation * normal.
    operand(std::string name, std::uint64_t seed, std::int64_t count, float mean, float deviation);

    /// These numbers, rounded to the grid, which is that of numbers up to `largest`; steps are `step` times a normal number.
    operand(std::string name, std::vector<float> values, float largest, double step);

    const float* data() const { return values_.data(); }
    std::vector<float>& values() { return values_; }
    const std::string& name() const { return name_; }
    /// `index` picks one of the random directions; its numbers are multiples of the grid.
    std::vector<double> direction(std::uint64_t index) const;

private:
    void round_to_grid();

    std::string name_;
    std::vector<float> values_;
    double grid_ = 0, step_ = 0;
};

/// d loss(operand + s * direction) / ds at 0, from central differences of 1, 2 and 4 directions extrapolated to none.
double directional_difference(operand& of, const std::vector<double>& direction, const std::function<double()>& loss);

/// The largest error of <gradient, direction> over four random directions, relative to norm(gradient) * rms(direction),
/// which is the size of the product for a random direction. A gradient that cancels to below 1e-5 of its terms is held to
/// these. Infinity where anything is not finite or the sizes differ.
double gradient_error(operand& of, const reference::tensor& gradient, const std::function<double()>& loss);

/// sum of weight * value: a loss of one output whose gradient is `weight`.
double weighted_sum(const reference::tensor& output, const std::vector<float>& weight);

}  // namespace mhc::testing
