// tests/reference/finite_differences.cpp -- steps on a float32 grid, and Richardson's extrapolation of what they give.
#include "tests/reference/finite_differences.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/random.hpp"

namespace mhc::testing {
namespace {

constexpr int directions = 4;
constexpr int fraction_bits = 22;   // of a float32's 24: numbers and four steps stay below four times `largest`
constexpr double vanishing = 1e-5;  // a gradient this far below its terms is a zero with rounding errors

}  // namespace

operand::operand(std::string name, std::uint64_t seed, std::int64_t count, float mean, float deviation)
    : operand(std::move(name), normals(seed, count, mean, deviation), std::abs(mean) + 4 * deviation,
              0x1p-8 * static_cast<double>(deviation))
{
}

operand::operand(std::string name, std::vector<float> values, float largest, double step)
    : name_(std::move(name)),
      values_(std::move(values)),
      grid_(std::ldexp(1.0, std::ilogb(static_cast<double>(largest)) + 1 - fraction_bits)),
      step_(step)
{
    round_to_grid();
}

void operand::round_to_grid()
{
    for (float& v : values_) {
        if (std::isfinite(v)) v = static_cast<float>(std::nearbyint(static_cast<double>(v) / grid_) * grid_);
    }
}

std::vector<double> operand::direction(std::uint64_t index) const
{
    std::vector<double> d(values_.size());
    for (std::size_t i = 0; i < d.size(); ++i) {
        const auto normal = static_cast<double>(random_normal(seed_of(name_) + index, i));
        d[i] = std::isfinite(values_[i]) ? std::nearbyint(step_ * normal / grid_) * grid_ : 0.0;
    }
    return d;
}

double directional_difference(operand& of, const std::vector<double>& direction, const std::function<double()>& loss)
{
    const std::vector<float> before = of.values();
    const auto at = [&](double steps) {
        for (std::size_t i = 0; i < before.size(); ++i)
            of.values()[i] = static_cast<float>(static_cast<double>(before[i]) + steps * direction[i]);
        return loss();
    };
    double difference[3];
    for (int level = 0; level < 3; ++level) {
        const double steps = 1 << level;
        difference[level] = (at(steps) - at(-steps)) / (2 * steps);
    }
    of.values() = before;
    const double first = (4 * difference[0] - difference[1]) / 3, second = (4 * difference[1] - difference[2]) / 3;
    return (16 * first - second) / 15;
}

double gradient_error(operand& of, const reference::tensor& gradient, const std::function<double()>& loss)
{
    if (gradient.value.size() != of.values().size()) return std::numeric_limits<double>::infinity();
    double worst = 0;
    for (int index = 0; index < directions; ++index) {
        const std::vector<double> direction = of.direction(static_cast<std::uint64_t>(index));
        double product = 0, gradient_squares = 0, term_squares = 0, direction_squares = 0;
        for (std::size_t i = 0; i < direction.size(); ++i) {
            product += gradient.value[i] * direction[i];
            gradient_squares += gradient.value[i] * gradient.value[i];
            term_squares += gradient.terms[i] * gradient.terms[i];
            direction_squares += direction[i] * direction[i];
        }
        const double norm = std::max(std::sqrt(gradient_squares), vanishing * std::sqrt(term_squares));
        const double size = norm * std::sqrt(direction_squares / static_cast<double>(direction.size()));
        const double error = std::abs(directional_difference(of, direction, loss) - product);
        if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
        worst = std::max(worst, error == 0 ? 0 : error / size);
    }
    return worst;
}

double weighted_sum(const reference::tensor& output, const std::vector<float>& weight)
{
    double sum = 0;
    for (std::size_t i = 0; i < output.value.size(); ++i) sum += output.value[i] * static_cast<double>(weight[i]);
    return sum;
}

}  // namespace mhc::testing
