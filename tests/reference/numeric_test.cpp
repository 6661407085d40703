// tests/reference/numeric_test.cpp -- the comparison with the reference fails when it should, and says where.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/reference/dtypes.hpp"
#include "tests/reference/reference.hpp"
#include "tests/support/numeric.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using mhc::testing::bounds;
using mhc::testing::bounds_of;
using mhc::testing::compare;
using mhc::testing::comparison;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Values 1, -2, 3, 4 with terms twice as large; rms(ref) is sqrt(7.5).
reference::tensor four()
{
    reference::tensor made(4);
    made.value = {1, -2, 3, 4};
    made.terms = {2, 4, 6, 8};
    return made;
}

comparison against_four(const std::vector<float>& out, bounds allowed)
{
    return compare(out, four(), allowed, {{"t", 2}, {"c", 2}});
}

}  // namespace

TEST_CASE("numeric: the exact result passes even a bound of nothing, and anything else fails it")
{
    CHECK(against_four({1, -2, 3, 4}, {0, 0}).passed);
    CHECK_FALSE(against_four({1, -2, 3, std::nextafter(4.0F, 5.0F)}, {0, 0}).passed);
}

TEST_CASE("numeric: an element fails just above 4 u terms + relative * rms and names its place, values and bound")
{
    const bounds allowed{0.001, 1.0 / 1024};
    const double bound = 4.0 / 1024 * 6 + 0.001 * std::sqrt(7.5);
    CHECK(against_four({1, -2, static_cast<float>(3 + 0.04 * bound), 4}, allowed).passed);
    const comparison beyond = against_four({1, -2, static_cast<float>(3 - 1.01 * bound), 4}, allowed);
    CHECK_FALSE(beyond.passed);
    CHECK(beyond.element_ratio == doctest::Approx(1.01).epsilon(1e-4));
    CHECK(beyond.message.starts_with("[t=1 c=0] is 2.97"));
    CHECK(beyond.message.find("the reference 3:") != std::string::npos);
}

TEST_CASE("numeric: the norm fails though every element passes")
{
    const bounds allowed{0.01, 1.0 / 64};  // elements may be off by 1/8 and more, the norm by 0.0548
    const comparison found = against_four({1.05F, -2.05F, 3.05F, 4.05F}, allowed);
    CHECK(found.element_ratio < 1);
    CHECK(found.norm_ratio == doctest::Approx(0.1 / (0.01 * std::sqrt(30.0))).epsilon(1e-4));
    CHECK_FALSE(found.passed);
    CHECK(found.message.starts_with("norm of the error"));
}

TEST_CASE("numeric: NaN and infinities must be where the reference has them and nowhere else")
{
    const bounds generous{100, 100};
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK_FALSE(against_four({1, nan, 3, 4}, generous).passed);
    CHECK_FALSE(against_four({1, -2, infinity, 4}, generous).passed);
    CHECK(against_four({1, nan, 3, 4}, generous).message.starts_with("[t=0 c=1] is nan, the reference -2"));

    reference::tensor odd = four();
    odd.value[0] = std::numeric_limits<double>::infinity();
    odd.value[1] = std::numeric_limits<double>::quiet_NaN();
    const auto against_odd = [&](const std::vector<float>& out) { return compare(out, odd, generous, {{"c", 4}}).passed; };
    CHECK(against_odd({infinity, nan, 3, 4}));
    CHECK_FALSE(against_odd({-infinity, nan, 3, 4}));
    CHECK_FALSE(against_odd({infinity, infinity, 3, 4}));
    CHECK_FALSE(against_odd({3e38F, nan, 3, 4}));
    CHECK_FALSE(against_odd({infinity, 0, 3, 4}));
}

TEST_CASE("numeric: a result of another size, or terms that are not a number, never pass")
{
    CHECK_FALSE(against_four({1, -2, 3}, {1, 1}).passed);
    reference::tensor broken = four();
    broken.terms[2] = std::numeric_limits<double>::quiet_NaN();
    CHECK_FALSE(compare(std::vector<float>{1, -2, 3.001F, 4}, broken, {1, 1}, {{"c", 4}}).passed);
    CHECK(compare({}, reference::tensor(), {0, 0}, {{"c", 0}}).passed);
}

TEST_CASE("numeric: where terms cancel the norm is that of the absolute terms")
{
    reference::tensor cancelled = four();
    for (double& term : cancelled.terms) term *= 100;
    const std::vector<float> out = {1.5F, -2.5F, 3.5F, 4.5F};  // error norm 1
    CHECK(compare(out, cancelled, {0.001, 1}, {{"c", 4}}).norm_ratio ==
          doctest::Approx(1 / (0.001 * 200 * std::sqrt(30.0))));
    CHECK(against_four(out, {0.001, 1}).norm_ratio == doctest::Approx(1 / (0.001 * std::sqrt(30.0))));
}

TEST_CASE("numeric: a doubtful bf16 rounding widens the bound of its element alone")
{
    reference::tensor doubtful = four();
    doubtful.rounding_doubt = {0, 0, 0, 0.5};
    CHECK(compare(std::vector<float>{1, -2, 3, 4.45F}, doubtful, {0.1, 0}, {{"c", 4}}).element_ratio < 1);
    CHECK_FALSE(compare(std::vector<float>{1.45F, -2, 3, 4}, doubtful, {0.1, 0}, {{"c", 4}}).passed);
}

TEST_CASE("numeric: bounds are those of the page")
{
    using jit::operation;
    jit::layer_spec spec;
    spec.hidden_dim = 7168;
    spec.n_streams = 4;
    const double by_sum = 1e-6 * std::sqrt(4 * 7168.0);
    CHECK(bounds_of(operation::post_fwd, "out", spec).relative == 0x1p-8);
    CHECK(bounds_of(operation::post_fwd, "out", spec).unit == 0x1p-9);
    CHECK(bounds_of(operation::pre_fwd, "mix", spec).relative == doctest::Approx(by_sum));
    CHECK(bounds_of(operation::pre_fwd, "mix", spec).unit == 0x1p-24);
    CHECK(bounds_of(operation::sinkhorn_fwd, "mix", spec).relative == 2e-6);
    spec.dtype = jit::dtype::fp16;
    CHECK(bounds_of(operation::expand_fwd, "x", spec).relative == doctest::Approx(6.905e-4).epsilon(1e-3));
    CHECK(bounds_of(operation::expand_fwd, "x", spec).unit == 0x1p-11);
    spec.dtype = jit::dtype::fp32;
    CHECK(bounds_of(operation::apply_mix_fwd, "layer_input", spec).relative == doctest::Approx(by_sum));
    spec.options.arithmetic = jit::projection::tf32;
    CHECK(bounds_of(operation::pre_fwd, "pre", spec).relative == 5e-4);
    CHECK(bounds_of(operation::post_fwd, "out", spec).relative == doctest::Approx(by_sum));
    spec.options.arithmetic = jit::projection::strict;
    spec.hidden_dim = 1;
    CHECK(bounds_of(operation::pre_fwd, "pre", spec).relative == 2e-6);
    CHECK(bounds_of(operation::rmsnorm_fwd, "rms", spec).relative == 1e-5);
    spec.options.reference_rounding = true;
    CHECK(bounds_of(operation::dynamic_layer_fwd, "out", spec).relative == 0x1p-9);
}

TEST_CASE("numeric: a gradient has three times the relative bound and the same unit")
{
    jit::layer_spec spec;
    spec.hidden_dim = 16;
    spec.dtype = jit::dtype::fp16;
    const bounds of = bounds_of(jit::operation::post_fwd, "out", spec), gradient = testing::of_gradient(of);
    CHECK(gradient.relative == 3 * of.relative);
    CHECK(gradient.unit == of.unit);
    CHECK(gradient.smallest == 0x1p-25);
}

TEST_CASE("numeric: numbers below the type's smallest may be lost, and no others")
{
    reference::tensor vanishing(2);
    vanishing.value = vanishing.terms = {1e-39, 1e-39};
    CHECK(compare(std::vector<float>{0, 0}, vanishing, {1e-5, 0x1p-24}, {{"c", 2}}).passed);
    vanishing.value = vanishing.terms = {1e-37, 1e-37};
    CHECK_FALSE(compare(std::vector<float>{0, 0}, vanishing, {1e-5, 0x1p-24}, {{"c", 2}}).passed);
}

TEST_CASE("numeric: fp8 layer inputs pass as float32 sums round them, and fail when they are cut off instead")
{
    const reference::shape of{.tokens = 8, .n_streams = 1, .hidden_dim = 300};
    reference::tensor exact(of.tokens * of.hidden_dim);
    for (std::size_t i = 0; i < exact.value.size(); ++i) {
        exact.value[i] = static_cast<double>(testing::random_normal(1, i));
        exact.terms[i] = 3 * std::abs(exact.value[i]);
    }
    for (const std::int64_t block : {0, 128}) {
        const reference::quantised expected = reference::quantised_e4m3(of, exact, block, 1e-5);
        const std::int64_t width = block == 0 ? of.hidden_dim : block, blocks = (of.hidden_dim + width - 1) / width;
        std::vector<float> rounded, cut;
        for (std::int64_t i = 0; i < of.tokens * of.hidden_dim; ++i) {
            const auto scale = static_cast<float>(
                expected.scale.value[static_cast<std::size_t>(i / of.hidden_dim * blocks + i % of.hidden_dim / width)]);
            const float sum = static_cast<float>(exact.value[static_cast<std::size_t>(i)]) *
                              (1 + 1e-6F * testing::random_normal(2, static_cast<std::uint64_t>(i)));
            const auto q = static_cast<double>(sum / scale);
            double down = reference::rounded_to_e4m3(q);
            if (std::abs(down) > std::abs(q)) down = reference::rounded_to_e4m3(q * (1 - 1.0 / 14));
            rounded.push_back(static_cast<float>(reference::rounded_to_e4m3(q)) * scale);
            cut.push_back(static_cast<float>(down) * scale);
        }
        const std::vector<testing::dimension> dims = {{"t", of.tokens}, {"c", of.hidden_dim}};
        const comparison good = compare(rounded, expected.layer_input, testing::of_quantised({1e-5, 0x1p-24}), dims);
        CHECK_MESSAGE(good.passed, good.message);
        CHECK_FALSE(compare(cut, expected.layer_input, testing::of_quantised({1e-5, 0x1p-24}), dims).passed);
    }
}
