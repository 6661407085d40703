// tests/support/numeric.cpp -- error over bound, for a tensor and for each of its elements.
#include "tests/support/numeric.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/options.hpp"
#include "tests/support/cases.hpp"

namespace mhc::testing {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

/// error / bound, where 0 / 0 is an exact result; what cannot be compared (a NaN on either side) is never within a bound.
double ratio_of(double error, double bound)
{
    if (error == 0) return 0;
    return std::isfinite(error) && bound > 0 ? error / bound : never;
}

/// "[t=3 i=1 c=77]".
std::string index_of(std::int64_t element, const std::vector<dimension>& dims)
{
    std::string text;
    std::int64_t rest = element;
    for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
        const std::int64_t size = dim->size > 0 ? dim->size : 1;
        text = fmt::format("{}={}{}{}", dim->name, rest % size, text.empty() ? "" : " ", text);
        rest /= size;
    }
    return fmt::format("[{}]", text);
}

bool agree_where_not_finite(double out, double expected) { return std::isnan(expected) ? std::isnan(out) : out == expected; }

}  // namespace

namespace {

/// What a gradient's tensor is the gradient of decides its type.
jit::dtype type_of_gradient(std::string_view tensor, const jit::layer_spec& spec)
{
    static constexpr std::string_view data[] = {"x", "y", "h", "out", "layer_input"};
    static constexpr std::string_view weights[] = {"fn",   "weight",  "norm_weight", "fn_norm_weight",
                                                   "bias", "phi_pre", "phi_post",    "phi_res"};
    if (std::find(std::begin(data), std::end(data), tensor) != std::end(data)) return spec.dtype;
    if (std::find(std::begin(weights), std::end(weights), tensor) != std::end(weights)) return spec.weight_dtype;
    return jit::dtype::fp32;
}

}  // namespace

bounds bounds_of(jit::operation op, std::string_view tensor, const jit::layer_spec& spec)
{
    if (tensor.starts_with("d_")) {
        // Of a tensor of this type that the forward would make.
        jit::layer_spec of = spec;
        of.dtype = type_of_gradient(tensor.substr(2), spec);
        of.options.reference_rounding = false;
        return of_gradient(bounds_of(forward_of(op), "a tensor of the data's type", of));
    }
    static constexpr std::string_view always_fp32[] = {
        "mix", "pre", "post", "rms", "logits", "next_pre", "next_post", "next_mix", "proj", "sqsum", "layer_input_scale"};
    const bool is_coefficient = std::find(std::begin(always_fp32), std::end(always_fp32), tensor) != std::end(always_fp32);
    const jit::dtype type = is_coefficient ? jit::dtype::fp32 : spec.dtype;
    if (type == jit::dtype::bf16) return {0x1p-8, 0x1p-9};
    if (type == jit::dtype::fp16) return {std::exp2(-10.5), 0x1p-11, 0x1p-25};

    const std::int64_t flat_dim = spec.n_streams * spec.hidden_dim;
    const bool is_layer = op == jit::operation::static_layer_fwd || op == jit::operation::dynamic_layer_fwd;
    constexpr jit::operations with_projection = {jit::operation::pre_fwd,         jit::operation::dynamic_layer_fwd,
                                                 jit::operation::post_pre_fwd,    jit::operation::head_fwd,
                                                 jit::operation::pre_project_fwd, jit::operation::broadcast_pre_fwd,
                                                 jit::operation::delayed_pre_fwd, jit::operation::post_head_fwd};
    // post_pre_fwd's `out` is post_fwd's.
    const bool projects = with_projection.contains(op) && !(op == jit::operation::post_pre_fwd && tensor == "out");
    double relative = reference::fp32_bound(flat_dim);
    if (op == jit::operation::sinkhorn_fwd) relative = 2e-6;
    if (op == jit::operation::rmsnorm_fwd || op == jit::operation::rmsnorm_matmul_fwd)
        relative = reference::fp32_bound(spec.hidden_dim);  // its sums have C terms
    if (projects) relative = reference::projected_bound(spec.options.arithmetic, flat_dim);
    if (is_layer && spec.options.reference_rounding) relative = 0x1p-9;
    return {relative, 0x1p-24};
}

comparison compare(std::span<const float> out, const reference::tensor& expected, const bounds& allowed,
                   const std::vector<dimension>& dims)
{
    comparison found;
    if (out.size() != expected.value.size()) {
        found.norm_ratio = found.element_ratio = never;
        found.message = fmt::format("has {} elements, the reference {}", out.size(), expected.value.size());
        return found;
    }
    double error_squares = 0, squares = 0, term_squares = 0;
    std::int64_t finite = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double value = expected.value[i];
        if (!std::isfinite(value)) continue;
        double error = std::abs(static_cast<double>(out[i]) - value);
        if (allowed.may_step) error = std::min(error, std::abs(error - expected.rounding_doubt[i]));
        error_squares += error * error;
        squares += value * value;
        term_squares += expected.terms[i] * expected.terms[i];
        ++finite;
    }
    const double norm = std::sqrt(squares);
    const double term_norm = std::sqrt(term_squares);
    const double rms = finite > 0 ? norm / std::sqrt(static_cast<double>(finite)) : 0;

    std::size_t worst = 0;
    double worst_bound = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const double value = expected.value[i];
        const auto got = static_cast<double>(out[i]);
        double bound = 0, ratio = 0;
        if (std::isfinite(value)) {
            bound = 4 * allowed.unit * expected.terms[i] + allowed.relative * rms + allowed.smallest;
            if (!expected.rounding_doubt.empty()) bound += expected.rounding_doubt[i];
            ratio = ratio_of(std::abs(got - value), bound);
        } else {
            ratio = agree_where_not_finite(got, value) ? 0 : never;
        }
        if (ratio > found.element_ratio) {
            found.element_ratio = ratio;
            worst = i;
            worst_bound = bound;
        }
    }
    const double norm_bound = allowed.relative * (term_norm > cancelling * norm ? term_norm : norm) +
                              allowed.smallest * std::sqrt(static_cast<double>(finite));
    const double error_norm = std::sqrt(error_squares);
    found.norm_ratio = ratio_of(error_norm, norm_bound);

    found.passed = found.element_ratio <= 1 && found.norm_ratio <= 1;
    if (found.element_ratio > 1) {
        found.message = fmt::format("{} is {:.9g}, the reference {:.9g}: error {:.3g} > bound {:.3g}",
                                    index_of(static_cast<std::int64_t>(worst), dims), out[worst], expected.value[worst],
                                    std::abs(static_cast<double>(out[worst]) - expected.value[worst]), worst_bound);
    }
    if (found.norm_ratio > 1) {
        found.message += fmt::format("{}norm of the error {:.3g} > {:.3g} ({:.3g} relative)",
                                     found.message.empty() ? "" : "; ", error_norm, norm_bound, allowed.relative);
    }
    return found;
}

}  // namespace mhc::testing
