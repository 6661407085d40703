// tests/reference/pre_bwd_test.cpp -- pre, head and the stages: gradients against finite differences.
#include <doctest/doctest.h>

#include "tests/reference/pre_operands.hpp"

using namespace mhc;
using namespace mhc::reference;
using testing::gradient_case;
using testing::gradient_cases;
using testing::gradient_error;
using testing::normals;
using testing::operand;
using testing::pre_operands;
using testing::pre_weights;
using testing::weighted_sum;

TEST_CASE("pre_bwd reference: every operand, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        pre_operands of(made, made.of.coefficients(), 3);
        const pre_weights d(made.of);
        const auto forward = [&] {
            return pre_fwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(), of.base.data(), of.norm_weight(),
                           of.fn_norm_weight());
        };
        const auto backward = [&](const pre_outputs& from) {
            return pre_bwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(), of.base.data(), of.norm_weight(),
                           from, of.fn_norm_weight());
        };
        of.check(backward(d.all()), [&] { return d.loss(forward()); });
    }
}

TEST_CASE("pre_bwd reference: each output alone, the others absent")
{
    const gradient_case made = gradient_cases().back();
    pre_operands of(made, made.of.coefficients(), 3);
    for (const int output : {0, 1, 2, 3}) {
        CAPTURE(output);
        pre_weights d(made.of);
        pre_outputs from = d.all();
        const auto leave_out = [&](int index, const float*& pointer, std::vector<float>& weights) {
            if (index == output) return;
            pointer = nullptr;
            std::fill(weights.begin(), weights.end(), 0.0F);
        };
        leave_out(0, from.layer_input, d.layer_input);
        leave_out(1, from.pre, d.pre);
        leave_out(2, from.post, d.post);
        leave_out(3, from.mix, d.mix);
        const auto found = pre_bwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(), of.base.data(),
                                   of.norm_weight(), from, of.fn_norm_weight());
        const auto loss = [&] {
            return d.loss(pre_fwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(), of.base.data(),
                                  of.norm_weight(), of.fn_norm_weight()));
        };
        CHECK(gradient_error(of.x, found.x, loss) <= 1e-6);
        CHECK(gradient_error(of.fn, found.fn, loss) <= 1e-6);
        CHECK(gradient_error(of.scale, found.scale, loss) <= 1e-6);
        CHECK(gradient_error(of.base, found.base, loss) <= 1e-6);
    }
}

TEST_CASE("head_bwd reference: every operand, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        pre_operands of(made, made.of.n_streams, 1);
        const pre_weights d(made.of);
        of.check(head_bwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(), of.base.data(), of.norm_weight(),
                          d.layer_input.data(), of.fn_norm_weight()),
                 [&] {
                     return weighted_sum(head_fwd(made.options, made.of, of.rows(), of.fn.data(), of.scale.data(),
                                                  of.base.data(), of.norm_weight(), of.fn_norm_weight()),
                                         d.layer_input);
                 });
    }
}

TEST_CASE("pre_project_bwd reference: x, fn and fn_norm_weight, of any number of rows")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        for (const std::int64_t rows : {std::int64_t{1}, made.of.n_streams, made.of.coefficients()}) {
            pre_operands of(made, rows, 1);
            const auto d_proj = normals(11, made.of.tokens * rows, 0, 1), d_sqsum = normals(12, made.of.tokens, 0, 1);
            const auto found =
                pre_project_bwd(made.of, of.rows(), of.fn.data(), rows, d_proj.data(), d_sqsum.data(), of.fn_norm_weight());
            const auto loss = [&] {
                const auto sums = pre_project_fwd(made.of, of.rows(), of.fn.data(), rows, of.fn_norm_weight());
                return weighted_sum(sums.proj, d_proj) + weighted_sum(sums.sqsum, d_sqsum);
            };
            CHECK(gradient_error(of.x, found.x, loss) <= 1e-6);
            CHECK(gradient_error(of.fn, found.fn, loss) <= 1e-6);
            if (made.fn_norm_weight) CHECK(gradient_error(of.fn_norm, found.fn_norm_weight, loss) <= 1e-6);
        }
    }
}

namespace {

/// A projection in two splits, [S, T, m] and [S, T].
struct split_operands {
    shape of;
    operand proj, sqsum;

    explicit split_operands(const shape& made)
        : of(made),
          proj("proj", 21, 2 * made.tokens * made.coefficients(), 0, 1),
          sqsum("sqsum", 22, 2 * made.tokens, static_cast<float>(made.flat_dim()),
                0.1F * static_cast<float>(made.flat_dim()))
    {
    }
    split_projection splits() const
    {
        const std::int64_t m = of.coefficients();
        return {{proj.data(), m, of.tokens * m}, {sqsum.data(), 1, of.tokens}, 2};
    }
    /// The gradient of the sums is that of either split.
    static tensor of_both(tensor sum)
    {
        sum.value.insert(sum.value.end(), sum.value.begin(), sum.value.end());
        sum.terms.insert(sum.terms.end(), sum.terms.begin(), sum.terms.end());
        return sum;
    }
    void check(pre_operands& with, const coefficients_gradients& found, const std::function<double()>& loss)
    {
        CHECK(gradient_error(proj, of_both(found.proj), loss) <= 1e-6);
        CHECK(gradient_error(sqsum, of_both(found.sqsum), loss) <= 1e-6);
        CHECK(gradient_error(with.scale, found.scale, loss) <= 1e-6);
        CHECK(gradient_error(with.base, found.base, loss) <= 1e-6);
    }
};

}  // namespace

TEST_CASE("split_mixes_bwd, coeffs_bwd and pre_big_fuse_bwd references: every operand, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        pre_operands with(made, made.of.coefficients(), 3);
        split_operands of(made.of);
        const pre_weights d(made.of);
        const jit::layer_options& options = made.options;
        const float *scale = with.scale.data(), *base = with.base.data();
        of.check(
            with, split_mixes_bwd(options, made.of, of.splits(), scale, base, d.pre.data(), d.post.data(), d.mix.data()),
            [&] {
                const auto found = split_mixes_fwd(options, made.of, of.splits(), scale, base);
                return weighted_sum(found.pre, d.pre) + weighted_sum(found.post, d.post) + weighted_sum(found.logits, d.mix);
            });
        of.check(
            with, coeffs_bwd(options, made.of, of.splits(), scale, base, d.pre.data(), d.post.data(), d.mix.data()), [&] {
                const auto found = coeffs_fwd(options, made.of, of.splits(), scale, base);
                return weighted_sum(found.pre, d.pre) + weighted_sum(found.post, d.post) + weighted_sum(found.mix, d.mix);
            });
        const auto fused =
            pre_big_fuse_bwd(options, made.of, of.splits(), with.rows(), scale, base, with.norm_weight(), d.all());
        const auto loss = [&] {
            return d.loss(pre_big_fuse(options, made.of, of.splits(), with.rows(), scale, base, with.norm_weight()));
        };
        of.check(with, fused.coefficients, loss);
        CHECK(gradient_error(with.x, fused.x, loss) <= 1e-6);
        if (made.norm_weight) CHECK(gradient_error(with.norm, fused.norm_weight, loss) <= 1e-6);
    }
}
