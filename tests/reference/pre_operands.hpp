// tests/reference/pre_operands.hpp -- operands of pre_fwd and what is like it, for a gradient_case, and losses of its
// outputs.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/reference/finite_differences.hpp"
#include "tests/reference/gradient_cases.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/support/random.hpp"

namespace mhc::testing {

using reference::pre_gradients;
using reference::pre_outputs;
using reference::pre_result;
using reference::shape;
using reference::strided_rows;

inline strided_rows dense(const operand& x, const shape& of) { return {x.data(), of.flat_dim(), of.hidden_dim}; }

/// Operands of pre_fwd; of a head with `rows` n and one scale.
struct pre_operands {
    gradient_case of;
    operand x, fn, scale, base, norm, fn_norm;

    pre_operands(const gradient_case& made, std::int64_t rows, std::int64_t scales)
        : of(made),
          x("x", 1, made.of.tokens * made.of.flat_dim(), 0, 1),
          fn("fn", 2, rows * made.of.flat_dim(), 0, 1 / std::sqrt(static_cast<float>(made.of.flat_dim()))),
          scale("scale", 3, scales, 1, 0.3F),
          base("base", 4, rows, 0, made.spread),
          norm("norm_weight", 5, made.of.hidden_dim, 1, 0.3F),
          fn_norm("fn_norm_weight", 6, made.of.flat_dim(), 1, 0.3F)
    {
    }

    const float* norm_weight() const { return of.norm_weight ? norm.data() : nullptr; }
    const float* fn_norm_weight() const { return of.fn_norm_weight ? fn_norm.data() : nullptr; }
    strided_rows rows() const { return dense(x, of.of); }

    void check(const pre_gradients& found, const std::function<double()>& loss)
    {
        CHECK(gradient_error(x, found.x, loss) <= 1e-6);
        CHECK(gradient_error(fn, found.fn, loss) <= 1e-6);
        CHECK(gradient_error(scale, found.scale, loss) <= 1e-6);
        CHECK(gradient_error(base, found.base, loss) <= 1e-6);
        if (of.norm_weight) CHECK(gradient_error(norm, found.norm_weight, loss) <= 1e-6);
        if (of.fn_norm_weight) CHECK(gradient_error(fn_norm, found.fn_norm_weight, loss) <= 1e-6);
        CHECK(found.norm_weight.value.empty() == !of.norm_weight);
        CHECK(found.fn_norm_weight.value.empty() == !of.fn_norm_weight);
    }
};

/// Random gradients of pre_fwd's outputs.
struct pre_weights {
    std::vector<float> layer_input, pre, post, mix;

    explicit pre_weights(const shape& of)
        : layer_input(normals(11, of.tokens * of.hidden_dim, 0, 1)),
          pre(normals(12, of.tokens * of.n_streams, 0, 1)),
          post(normals(13, of.tokens * of.n_streams, 0, 1)),
          mix(normals(14, of.tokens * of.n_streams * of.n_streams, 0, 1))
    {
    }
    pre_outputs all() const { return {layer_input.data(), pre.data(), post.data(), mix.data()}; }
    double loss(const pre_result& from) const
    {
        return weighted_sum(from.layer_input, layer_input) + weighted_sum(from.pre, pre) + weighted_sum(from.post, post) +
               weighted_sum(from.mix, mix);
    }
};

}  // namespace mhc::testing
