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
