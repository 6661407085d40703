// tests/reference/layers_bwd_test.cpp -- static and dynamic layer: gradients against finite differences.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/reference/finite_differences.hpp"
#include "tests/reference/gradient_cases.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::reference;
using testing::gradient_case;
using testing::gradient_cases;
using testing::gradient_error;
using testing::normals;
using testing::operand;
using testing::weighted_sum;

namespace {

/// Operands of the two layers.
struct layer_operands {
    shape of;
    jit::layer_options options;
    operand x, weight, h_pre, h_post, h_res, phi_pre, phi_post, phi_res, alpha_pre, alpha_post, alpha_res;
    std::vector<float> d_out;

    explicit layer_operands(const gradient_case& made)
        : of(made.of),
          options(made.options),
          x("x", 1, made.of.tokens * made.of.flat_dim(), 0, 1),
          weight("weight", 2, made.of.hidden_dim, 1, 0.3F),
          h_pre("h_pre", 3, made.of.n_streams, 0, made.spread),
          h_post("h_post", 4, made.of.n_streams, 0, made.spread),
          h_res("h_res", 5, made.of.n_streams * made.of.n_streams, 0, made.spread),
          phi_pre("phi_pre", 6, made.of.n_streams * made.of.flat_dim(), 0, deviation(made.of)),
          phi_post("phi_post", 7, made.of.n_streams * made.of.flat_dim(), 0, deviation(made.of)),
          phi_res("phi_res", 8, made.of.n_streams * made.of.n_streams * made.of.flat_dim(), 0, deviation(made.of)),
          alpha_pre("alpha_pre", 9, 1, 1, 0.3F),
          alpha_post("alpha_post", 10, 1, 1, 0.3F),
          alpha_res("alpha_res", 11, 1, 1, 0.3F),
          d_out(normals(12, made.of.tokens * made.of.flat_dim(), 0, 1))
    {
    }
    static float deviation(const shape& of) { return 1 / std::sqrt(static_cast<float>(of.flat_dim())); }

    strided_rows dense(const float* rows) const { return {rows, of.flat_dim(), of.hidden_dim}; }
    dynamic_weights weights() const
    {
        return {phi_pre.data(),   phi_post.data(), phi_res.data(), alpha_pre.data(), alpha_post.data(),
                alpha_res.data(), h_pre.data(),    h_post.data(),  h_res.data(),     weight.data()};
    }
    double static_loss() const
    {
        return weighted_sum(
            static_layer_fwd(options, of, dense(x.data()), h_pre.data(), h_post.data(), h_res.data(), weight.data()), d_out);
    }
    double dynamic_loss() const { return weighted_sum(dynamic_layer_fwd(options, of, dense(x.data()), weights()), d_out); }
    static_layer_gradients static_gradients() const
    {
        return static_layer_bwd(options, of, dense(x.data()), h_pre.data(), h_post.data(), h_res.data(), weight.data(),
                                dense(d_out.data()));
    }
    dynamic_layer_gradients dynamic_gradients() const
    {
        return dynamic_layer_bwd(options, of, dense(x.data()), weights(), dense(d_out.data()));
    }
};

}  // namespace

TEST_CASE("static_layer_bwd reference: five gradients, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        layer_operands of(made);
        const static_layer_gradients found = of.static_gradients();
        const auto loss = [&] { return of.static_loss(); };
        CHECK(gradient_error(of.x, found.x, loss) <= 1e-6);
        CHECK(gradient_error(of.h_pre, found.h_pre, loss) <= 1e-6);
        CHECK(gradient_error(of.h_post, found.h_post, loss) <= 1e-6);
        CHECK(gradient_error(of.h_res, found.h_res, loss) <= 1e-6);
        CHECK(gradient_error(of.weight, found.weight, loss) <= 1e-6);
    }
}

TEST_CASE("dynamic_layer_bwd reference: eleven gradients, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        layer_operands of(made);
        const dynamic_layer_gradients found = of.dynamic_gradients();
        const auto loss = [&] { return of.dynamic_loss(); };
        CHECK(gradient_error(of.x, found.x, loss) <= 1e-6);
        CHECK(gradient_error(of.phi_pre, found.phi_pre, loss) <= 1e-6);
        CHECK(gradient_error(of.phi_post, found.phi_post, loss) <= 1e-6);
        CHECK(gradient_error(of.phi_res, found.phi_res, loss) <= 1e-6);
        CHECK(gradient_error(of.alpha_pre, found.alpha_pre, loss) <= 1e-6);
        CHECK(gradient_error(of.alpha_post, found.alpha_post, loss) <= 1e-6);
        CHECK(gradient_error(of.alpha_res, found.alpha_res, loss) <= 1e-6);
        CHECK(gradient_error(of.h_pre, found.b_pre, loss) <= 1e-6);
        CHECK(gradient_error(of.h_post, found.b_post, loss) <= 1e-6);
        CHECK(gradient_error(of.h_res, found.b_res, loss) <= 1e-6);
        CHECK(gradient_error(of.weight, found.weight, loss) <= 1e-6);
    }
}

TEST_CASE("layer gradient references: the check finds what others have left out or got wrong")
{
    gradient_case made = gradient_cases().back();
    made.of = {.tokens = 3, .n_streams = 4, .hidden_dim = 16};
    layer_operands of(made);
    const auto loss = [&] { return of.dynamic_loss(); };
    REQUIRE(gradient_error(of.x, of.dynamic_gradients().x, loss) <= 1e-6);

    // Coefficients that do not depend on x: the static layer's gradient of x.
    CHECK(gradient_error(of.x, of.static_gradients().x, loss) > 1e-2);
    // The other layout, whose only difference is one transposition.
    layer_operands turned = of;
    turned.options.layout = jit::mix_layout::out_in;
    REQUIRE(of.options.layout == jit::mix_layout::src_dst);
    CHECK(gradient_error(of.h_res, turned.dynamic_gradients().b_res, loss) > 1e-2);
    // pre_eps and post_mult of another preset.
    layer_operands doubled = of;
    doubled.options.post_mult = 2;
    CHECK(gradient_error(of.h_post, doubled.dynamic_gradients().b_post, loss) > 1e-2);
    // A wrong eps in the norm over K reaches x through r alone.
    layer_operands other_eps = of;
    other_eps.options.rms_eps = 1e-3F;
    CHECK(gradient_error(of.x, other_eps.dynamic_gradients().x, loss) > 1e-5);
    // One token's gradient for a sum over tokens.
    layer_operands shorter = of;
    shorter.of.tokens = 1;
    CHECK(gradient_error(of.weight, shorter.dynamic_gradients().weight, loss) > 1e-2);
}

TEST_CASE("layer gradient references: logits of standard deviation 100 give finite gradients with terms above them")
{
    for (gradient_case made : gradient_cases()) {
        CAPTURE(made.name);
        made.spread = 100;
        layer_operands of(made);
        const auto check = [](const tensor& gradient) {
            for (std::size_t i = 0; i < gradient.value.size(); ++i) {
                const bool bounded =
                    std::isfinite(gradient.value[i]) && gradient.terms[i] >= std::abs(gradient.value[i]) * (1 - 1e-12);
                if (!bounded) FAIL_CHECK(gradient.value[i] << " with terms " << gradient.terms[i]);
            }
        };
        const auto fixed = of.static_gradients();
        for (const tensor* gradient : {&fixed.x, &fixed.h_pre, &fixed.h_post, &fixed.h_res, &fixed.weight}) check(*gradient);
        const auto found = of.dynamic_gradients();
        for (const tensor* gradient :
             {&found.x, &found.phi_pre, &found.phi_post, &found.phi_res, &found.alpha_pre, &found.alpha_post,
              &found.alpha_res, &found.b_pre, &found.b_post, &found.b_res, &found.weight})
            check(*gradient);
    }
}

TEST_CASE("layer gradient references: a dynamic layer without projection is a static layer, token by token")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        layer_operands of(made);
        for (operand* phi : {&of.phi_pre, &of.phi_post, &of.phi_res})
            std::fill(phi->values().begin(), phi->values().end(), 0.0F);
        const auto fixed = of.static_gradients();
        const auto found = of.dynamic_gradients();
        const auto check_near = [](const tensor& a, const tensor& b) {
            REQUIRE(a.value.size() == b.value.size());
            for (std::size_t i = 0; i < a.value.size(); ++i)
                CHECK(std::abs(a.value[i] - b.value[i]) <= 1e-12 * (a.terms[i] + b.terms[i]));
        };
        check_near(fixed.x, found.x);
        check_near(fixed.h_pre, found.b_pre);
        check_near(fixed.h_post, found.b_post);
        check_near(fixed.h_res, found.b_res);
        check_near(fixed.weight, found.weight);
    }
}
