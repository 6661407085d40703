// tests/reference/reference_test.cpp -- the float64 references against numbers worked out by hand, and against each other.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/reference/dtypes.hpp"
#include "tests/reference/reference.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::reference;
using doctest::Approx;
using jit::sinkhorn_eps_mode;
using jit::sinkhorn_order;
using jit::sinkhorn_start;

namespace {

void check_all(const std::vector<double>& got, const std::vector<double>& expected)
{
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(1e-12));
}

/// Sinkhorn of exp(logits) = [[1, 3], [1, 1]].
std::vector<double> small_sinkhorn(const jit::layer_options& options)
{
    std::vector<double> m = {0, std::log(3.0), 0, 0};
    if (options.start == sinkhorn_start::identity) m = {1, 3, 1, 1};
    sinkhorn(options, 2, m.data());
    return m;
}

strided_rows dense(const std::vector<float>& x, std::int64_t n, std::int64_t c) { return {x.data(), n * c, c}; }

}  // namespace

TEST_CASE("sinkhorn reference: one iteration, by hand")
{
    using enum sinkhorn_eps_mode;
    for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log, sinkhorn_start::identity}) {
        CAPTURE(static_cast<int>(start));
        const auto run = [&](sinkhorn_order order, sinkhorn_eps_mode mode, float eps, int iters) {
            return small_sinkhorn(sinkhorn_options(start, order, mode, eps, iters));
        };
        check_all(run(sinkhorn_order::row_col, none, 0, 0), {1, 3, 1, 1});
        check_all(run(sinkhorn_order::row_col, none, 0, 1), {1 / 3.0, 0.6, 2 / 3.0, 0.4});
        check_all(run(sinkhorn_order::col_row, none, 0, 1), {0.4, 0.6, 2 / 3.0, 1 / 3.0});
        // Rows: /(4+1), /(2+1): .2 .6 1/3 1/3; columns: /(8/15+1), /(14/15+1).
        for (const sinkhorn_eps_mode mode : {add, add_both}) {
            check_all(run(sinkhorn_order::row_col, mode, 1, 1), {0.2 * 15 / 23, 0.6 * 15 / 29, 15 / 69.0, 15 / 87.0});
        }
        // The second row's sum, 2, is not above 2: it stays. Then columns 1.25 and 1.75 stay too.
        check_all(run(sinkhorn_order::row_col, thresh, 2, 1), {0.25, 0.75, 1, 1});
        check_all(run(sinkhorn_order::row_col, thresh, 1.5F, 1), {0.25, 0.75, 0.5, 0.5});
    }
}

TEST_CASE("sinkhorn reference: softmax is the row step of the first iteration")
{
    using enum sinkhorn_eps_mode;
    const auto run = [&](sinkhorn_eps_mode mode, float eps, int iters) {
        return small_sinkhorn(sinkhorn_options(sinkhorn_start::softmax, sinkhorn_order::row_col, mode, eps, iters));
    };
    check_all(run(none, 0, 0), {0.25, 0.75, 0.5, 0.5});
    check_all(run(none, 0, 1), {1 / 3.0, 0.6, 2 / 3.0, 0.4});
    check_all(run(add, 0.25F, 0), {0.25, 0.75, 0.5, 0.5});
    check_all(run(add, 0.25F, 1), {0.25, 0.5, 0.5, 1 / 3.0});
    check_all(run(add_both, 0.25F, 0), {0.5, 1, 0.75, 0.75});
    check_all(run(add_both, 0.25F, 1), {1 / 3.0, 0.5, 0.5, 0.375});
    const auto twice = small_sinkhorn(sinkhorn_options(sinkhorn_start::softmax, sinkhorn_order::row_col, none, 0, 2));
    check_all(twice, small_sinkhorn(sinkhorn_options(sinkhorn_start::exp, sinkhorn_order::row_col, none, 0, 2)));
}

TEST_CASE("sinkhorn reference: exp and log starts are one function, for every order, eps mode and count")
{
    for (const sinkhorn_order order : {sinkhorn_order::row_col, sinkhorn_order::col_row}) {
        for (const sinkhorn_eps_mode mode :
             {sinkhorn_eps_mode::none, sinkhorn_eps_mode::add, sinkhorn_eps_mode::add_both, sinkhorn_eps_mode::thresh}) {
            for (const int iters : {0, 1, 2, 20}) {
                std::vector<double> a(25), b;
                for (std::size_t i = 0; i < a.size(); ++i) a[i] = 4 * static_cast<double>(testing::random_normal(2, i));
                b = a;
                sinkhorn(sinkhorn_options(sinkhorn_start::exp, order, mode, 0.01F, iters), 5, a.data());
                sinkhorn(sinkhorn_options(sinkhorn_start::log, order, mode, 0.01F, iters), 5, b.data());
                check_all(a, b);
            }
        }
    }
}

TEST_CASE("sinkhorn reference: wide logits stay finite, and lines that vanish follow the formula")
{
    std::vector<double> wide(16);
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = 300 * static_cast<double>(testing::random_normal(seed, i));
        sinkhorn(sinkhorn_options(sinkhorn_start::exp, sinkhorn_order::col_row, sinkhorn_eps_mode::none, 0, 20), 4,
                 wide.data());
        for (std::size_t row = 0; row < 4; ++row) {
            CHECK(wide[4 * row] + wide[4 * row + 1] + wide[4 * row + 2] + wide[4 * row + 3] == Approx(1));
        }
    }
    const double minus_infinity = -std::numeric_limits<double>::infinity();
    for (const sinkhorn_start start : {sinkhorn_start::exp, sinkhorn_start::log}) {
        for (const sinkhorn_eps_mode mode : {sinkhorn_eps_mode::add, sinkhorn_eps_mode::thresh}) {
            std::vector<double> m = {0, 0, minus_infinity, minus_infinity};
            sinkhorn(sinkhorn_options(start, sinkhorn_order::row_col, mode, 1e-6F, 3), 2, m.data());
            CHECK(m[2] == 0);
            CHECK(m[3] == 0);
            CHECK(m[0] == Approx(1).epsilon(0.6));
        }
    }
}

TEST_CASE("rmsnorm reference: by hand")
{
    jit::layer_options options = reference::options_of(jit::preset::paper);
    options.rms_eps = 100;  // must not be read beside norm_eps
    options.norm_eps = 3.5F;
    const std::vector<float> x = {3, 4}, weight = {2, -1};
    const rmsnorm_result found = rmsnorm_fwd(options, {.tokens = 1, .hidden_dim = 2}, x.data(), weight.data());
    check_all(found.rms.value, {4});
    check_all(found.y.value, {1.5, -1});
    check_all(found.y.terms, {1.5, 1});
    options.norm_eps.reset();
    options.rms_eps = 3.5F;
    check_all(rmsnorm_fwd(options, {.tokens = 1, .hidden_dim = 2}, x.data(), nullptr).y.value, {0.75, 1});
}

TEST_CASE("stream references: sums over streams, both layouts, strides, static coefficients and absolute terms, by hand")
{
    const shape of{.tokens = 2, .n_streams = 2, .hidden_dim = 1};
    const std::vector<float> x = {1, -2, 3, 5}, y = {10, 20}, post = {1, -1}, mix = {1, 2, 3, 4};
    const tensor a = apply_mix_fwd(of, dense(x, 2, 1), {post.data(), 0});
    check_all(a.value, {3, -2});
    check_all(a.terms, {3, 8});
    check_all(apply_mix_fwd(of, {x.data(), 1, 2}, {mix.data(), 2}).value, {1 + 2 * 3, 3 * -2 + 4 * 5});  // [n, T, C] memory
    check_all(expand_fwd(of, y.data()).value, {10, 10, 20, 20});

    const tensor out = post_fwd(jit::mix_layout::out_in, of, y.data(), dense(x, 2, 1), {post.data(), 0}, {mix.data(), 0});
    check_all(out.value, {10 + 1 - 4, -10 + 3 - 8, 20 + 3 + 10, -20 + 9 + 20});
    check_all(out.terms, {10 + 1 + 4, 10 + 3 + 8, 33, 49});
    const tensor turned =
        post_fwd(jit::mix_layout::src_dst, of, y.data(), dense(x, 2, 1), {post.data(), 0}, {mix.data(), 0});
    check_all(turned.value, {10 + 1 - 6, -10 + 2 - 8, 20 + 3 + 15, -20 + 6 + 20});
}

TEST_CASE("pre_fwd reference: the formula once more, summed in another order, where rows and columns do not fill blocks")
{
    const shape of{.tokens = 3, .n_streams = 3, .hidden_dim = 239};  // K = 717, m = 15
    const std::int64_t k = of.flat_dim(), m = of.coefficients();
    jit::layer_options options = reference::options_of(jit::preset::deepseek);
    options.norm_eps = 0.25F;
    options.pre_eps = 0.5F;
    const auto x = testing::normals(1, of.tokens * k, 0, 1), fn = testing::normals(2, m * k, 0, 0.05F);
    const auto base = testing::normals(3, m, 0, 1), weight = testing::normals(4, of.hidden_dim, 1, 0.3F);
    const std::vector<float> scale = {0.5F, 0.75F, 1.25F};
    const pre_result found = pre_fwd(options, of, dense(x, 3, 239), fn.data(), scale.data(), base.data(), weight.data());

    const auto at = [](const auto& v, std::int64_t i) { return static_cast<double>(v[static_cast<std::size_t>(i)]); };
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        double squares = 0;
        for (std::int64_t i = k - 1; i >= 0; --i) squares += at(x, t * k + i) * at(x, t * k + i);
        const double rms = std::sqrt(squares / static_cast<double>(k) + 1e-6);
        std::vector<double> z;
        for (std::int64_t o = 0; o < m; ++o) {
            double dot = 0;
            for (std::int64_t i = k - 1; i >= 0; --i) dot += at(fn, o * k + i) * at(x, t * k + i);
            z.push_back(dot / rms * at(scale, o < 3 ? 0 : o < 6 ? 1 : 2) + at(base, o));
        }
        std::vector<double> mix(z.begin() + 6, z.end());
        sinkhorn(options, 3, mix.data());
        std::vector<double> a(239);
        double mean = 0;
        for (std::int64_t i = 0; i < 3; ++i) {
            const double pre = 1 / (1 + std::exp(-z[static_cast<std::size_t>(i)])) + 0.5;
            CHECK(at(found.pre.value, t * 3 + i) == Approx(pre).epsilon(1e-9));
            CHECK(at(found.post.value, t * 3 + i) == Approx(1 / (1 + std::exp(-at(z, 3 + i)))).epsilon(1e-9));
            for (std::int64_t c = 0; c < 239; ++c) a[static_cast<std::size_t>(c)] += pre * at(x, t * k + i * 239 + c);
        }
        for (std::int64_t i = 0; i < 9; ++i) CHECK(at(found.mix.value, t * 9 + i) == Approx(at(mix, i)).epsilon(1e-9));
        for (const double v : a) mean += v * v / 239;
        for (std::int64_t c = 0; c < 239; ++c) {
            const double expected = at(a, c) / std::sqrt(mean + 0.25) * at(weight, c);
            CHECK(at(found.layer_input.value, t * 239 + c) == Approx(expected).epsilon(1e-9));
        }
    }
}

namespace {

struct small_layer {
    shape of{.tokens = 2, .n_streams = 3, .hidden_dim = 70};
    std::vector<float> x = testing::normals(1, 2 * 3 * 70, 0, 1), weight = testing::normals(2, 70, 1, 0.3F);
    std::vector<float> h_pre = testing::normals(3, 3, 0, 1), h_post = testing::normals(4, 3, 0, 1);
    std::vector<float> h_res = testing::normals(5, 9, 0, 1), phi = testing::normals(6, 15 * 210, 0, 0.05F);
    std::vector<float> alpha = {0.5F, 0.25F, 2.0F};

    tensor static_layer(const jit::layer_options& options) const
    {
        return static_layer_fwd(options, of, dense(x, 3, 70), h_pre.data(), h_post.data(), h_res.data(), weight.data());
    }
    tensor dynamic_layer(const jit::layer_options& options, const std::vector<float>& x_used,
                         const std::vector<float>& phi_used) const
    {
        const dynamic_weights weights{.phi_pre = phi_used.data(),
                                      .phi_post = phi_used.data() + 630,
                                      .phi_res = phi_used.data() + 1260,
                                      .alpha_pre = alpha.data(),
                                      .alpha_post = alpha.data() + 1,
                                      .alpha_res = alpha.data() + 2,
                                      .b_pre = h_pre.data(),
                                      .b_post = h_post.data(),
                                      .b_res = h_res.data(),
                                      .weight = weight.data()};
        return dynamic_layer_fwd(options, of, dense(x_used, 3, 70), weights);
    }
};

}  // namespace

TEST_CASE("stage references: split anyhow, the stages are pre_fwd, and a head is its layer_input")
{
    const shape of{.tokens = 3, .n_streams = 3, .hidden_dim = 239};
    const std::int64_t k = of.flat_dim(), m = of.coefficients();
    jit::layer_options options = reference::options_of(jit::preset::deepseek);
    options.pre_eps = 0.5F;
    const auto x = testing::normals(1, of.tokens * k, 0, 1), fn = testing::normals(2, m * k, 0, 0.05F);
    const auto base = testing::normals(3, m, 0, 1), weight = testing::normals(4, of.hidden_dim, 1, 0.3F);
    const std::vector<float> scale = {0.5F, 0.75F, 1.25F};
    const strided_rows rows = dense(x, 3, 239);
    const pre_result whole = pre_fwd(options, of, rows, fn.data(), scale.data(), base.data(), weight.data());

    const projection_result sums = pre_project_fwd(of, rows, fn.data(), m);
    // Three splits: a quarter, three quarters, nothing; as [S, T, m] and [S, T].
    std::vector<float> proj, sqsum;
    for (const double share : {0.25, 0.75, 0.0}) {
        for (const double v : sums.proj.value) proj.push_back(static_cast<float>(share * v));
        for (const double v : sums.sqsum.value) sqsum.push_back(static_cast<float>(share * v));
    }
    const split_projection from{{proj.data(), m, of.tokens * m}, {sqsum.data(), 1, of.tokens}, 3};
    const pre_result fused = pre_big_fuse(options, of, from, rows, scale.data(), base.data(), weight.data());
    const mixes_result mixes = split_mixes_fwd(options, of, from, scale.data(), base.data());
    const auto check_near = [](const tensor& found, const tensor& expected) {
        REQUIRE(found.value.size() == expected.value.size());
        for (std::size_t i = 0; i < found.value.size(); ++i)
            CHECK(found.value[i] == Approx(expected.value[i]).epsilon(1e-5));
    };
    check_near(fused.layer_input, whole.layer_input);
    check_near(fused.mix, whole.mix);
    check_near(mixes.pre, whole.pre);
    check_near(mixes.post, whole.post);
    const std::vector<float> logits(mixes.logits.value.begin(), mixes.logits.value.end());
    check_near(sinkhorn_fwd(options, of, logits.data()), whole.mix);
    for (std::size_t i = 0; i < logits.size(); ++i)
        CHECK(mixes.logits.terms[i] >= std::abs(mixes.logits.value[i]) * (1 - 1e-12));
    for (std::size_t i = 0; i < sums.proj.value.size(); ++i) CHECK(sums.proj.terms[i] > std::abs(sums.proj.value[i]));
    check_near(head_fwd(options, of, rows, fn.data(), scale.data(), base.data(), weight.data()), whole.layer_input);
}

TEST_CASE("layer references: a layer is apply_mix, rmsnorm and post with the coefficients of its logits")
{
    const small_layer s;
    for (const jit::preset preset : {jit::preset::mhc_cu, jit::preset::deepseek}) {
        jit::layer_options options = reference::options_of(preset);
        options.norm_eps = 0.05F;
        options.pre_eps = 0;  // below, pre_fwd's outputs pass through float32; 0 keeps the sums comparable at 1e-6
        const std::vector<float> scale = s.alpha, base = [&] {
            std::vector<float> all = s.h_pre;
            all.insert(all.end(), s.h_post.begin(), s.h_post.end());
            all.insert(all.end(), s.h_res.begin(), s.h_res.end());
            return all;
        }();
        const pre_result pre =
            pre_fwd(options, s.of, dense(s.x, 3, 70), s.phi.data(), scale.data(), base.data(), s.weight.data());
        const auto narrow = [](const tensor& from) { return std::vector<float>(from.value.begin(), from.value.end()); };
        const auto y = narrow(pre.layer_input), post = narrow(pre.post), mix = narrow(pre.mix);
        const tensor expected =
            post_fwd(options.layout, s.of, y.data(), dense(s.x, 3, 70), {post.data(), 3}, {mix.data(), 9});
        const tensor found = s.dynamic_layer(options, s.x, s.phi);
        for (std::size_t i = 0; i < found.value.size(); ++i)
            CHECK(found.value[i] == Approx(expected.value[i]).epsilon(1e-5));
    }
}

TEST_CASE("layer references: without weights of x the dynamic layer is the static one, rounded or not")
{
    const small_layer s;
    const std::vector<float> zeros(s.phi.size());
    for (const bool rounding : {false, true}) {
        jit::layer_options options = reference::options_of(jit::preset::mhc_cu);
        options.reference_rounding = rounding;
        check_all(s.dynamic_layer(options, s.x, zeros).value, s.static_layer(options).value);
        CHECK(s.static_layer(options).rounding_doubt.empty() == !rounding);
    }
}

TEST_CASE("layer references: reference_rounding rounds x and phi for the coefficients only, and the branch to bf16")
{
    const small_layer s;
    jit::layer_options options = reference::options_of(jit::preset::mhc_cu);
    options.reference_rounding = true;
    const auto in_bf16 = [](std::vector<float> v) {
        for (float& element : v) element = rounded(jit::dtype::bf16, element);
        return v;
    };
    const tensor found = s.dynamic_layer(options, s.x, s.phi);
    check_all(found.value, s.dynamic_layer(options, s.x, in_bf16(s.phi)).value);  // phi rounded already: no change
    CHECK(found.value != s.dynamic_layer(options, in_bf16(s.x), s.phi).value);    // x also goes the exact way
    options.reference_rounding = false;
    CHECK(found.value != s.dynamic_layer(options, s.x, s.phi).value);

    // With M = 0 exactly (every logit minus infinity, thresh) and q = 1, out is the rounded branch itself.
    options.reference_rounding = true;
    options.post_mult = 2;
    const std::vector<float> nothing(9, -std::numeric_limits<float>::infinity()), zero(3, 0.0F);
    const tensor branch =
        static_layer_fwd(options, s.of, dense(s.x, 3, 70), s.h_pre.data(), zero.data(), nothing.data(), s.weight.data());
    for (const double v : branch.value) CHECK(v == rounded_to_bf16(v));
}
