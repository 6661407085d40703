// tests/reference/streams_bwd_test.cpp -- rmsnorm, apply_mix, expand and post: gradients against finite differences.
#include <doctest/doctest.h>

#include "tests/reference/finite_differences.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::reference;
using testing::gradient_error;
using testing::normals;
using testing::operand;
using testing::weighted_sum;

namespace {

strided_rows dense(const operand& x, const shape& of) { return {x.data(), of.flat_dim(), of.hidden_dim}; }
strided_rows dense(const std::vector<float>& x, const shape& of) { return {x.data(), of.flat_dim(), of.hidden_dim}; }

const shape shapes[] = {{.tokens = 1, .n_streams = 1, .hidden_dim = 1},   {.tokens = 3, .n_streams = 2, .hidden_dim = 7},
                        {.tokens = 2, .n_streams = 4, .hidden_dim = 33},  {.tokens = 3, .n_streams = 3, .hidden_dim = 64},
                        {.tokens = 1, .n_streams = 32, .hidden_dim = 16}, {.tokens = 2, .n_streams = 5, .hidden_dim = 2}};

}  // namespace

TEST_CASE("rmsnorm_bwd reference: with and without weight, from y, rms or both")
{
    for (const shape& of : shapes) {
        for (const float eps : {1e-6F, 0.5F}) {
            auto options = reference::options_of(jit::preset::paper);
            options.norm_eps = eps;
            const std::int64_t size = of.tokens * of.hidden_dim;
            operand x("x", 1, size, 0.2F, 1), weight("weight", 2, of.hidden_dim, 1, 0.5F);
            const auto d_y = normals(3, size, 0, 1), d_rms = normals(4, of.tokens, 0, 1);
            const std::vector<float> none_y(d_y.size()), none_rms(d_rms.size());
            for (const int used : {1, 2, 3}) {
                const std::vector<float>& from_y = (used & 1) != 0 ? d_y : none_y;
                const std::vector<float>& from_rms = (used & 2) != 0 ? d_rms : none_rms;
                for (const bool weighted : {true, false}) {
                    const auto loss = [&] {
                        const auto found = rmsnorm_fwd(options, of, x.data(), weighted ? weight.data() : nullptr);
                        return weighted_sum(found.y, from_y) + weighted_sum(found.rms, from_rms);
                    };
                    const auto found =
                        rmsnorm_bwd(options, of, x.data(), weighted ? weight.data() : nullptr,
                                    (used & 1) != 0 ? d_y.data() : nullptr, (used & 2) != 0 ? d_rms.data() : nullptr);
                    CHECK(gradient_error(x, found.x, loss) <= 1e-6);
                    if (weighted) CHECK(gradient_error(weight, found.weight, loss) <= 1e-6);
                    CHECK(found.weight.value.empty() == !weighted);
                }
            }
        }
    }
}

TEST_CASE("apply_mix_bwd and expand_bwd references: per-token and static coefficients")
{
    for (const shape& of : shapes) {
        const auto d = normals(3, of.tokens * of.hidden_dim, 0, 1), d_rows = normals(4, of.tokens * of.flat_dim(), 0, 1);
        operand x("x", 1, of.tokens * of.flat_dim(), 0, 1);
        for (const bool is_static : {false, true}) {
            operand pre("pre", 2, (is_static ? 1 : of.tokens) * of.n_streams, 0.5F, 0.3F);
            const std::int64_t stride = is_static ? 0 : of.n_streams;
            const auto loss = [&] { return weighted_sum(apply_mix_fwd(of, dense(x, of), {pre.data(), stride}), d); };
            const auto found = apply_mix_bwd(of, dense(x, of), {pre.data(), stride}, d.data());
            CHECK(gradient_error(x, found.x, loss) <= 1e-6);
            CHECK(gradient_error(pre, found.pre, loss) <= 1e-6);
        }
        operand h("h", 5, of.tokens * of.hidden_dim, 0, 1);
        CHECK(gradient_error(h, expand_bwd(of, dense(d_rows, of)),
                             [&] { return weighted_sum(expand_fwd(of, h.data()), d_rows); }) <= 1e-6);
    }
}

TEST_CASE("post_bwd reference: both layouts, per-token and static coefficients, with and without bias")
{
    for (const shape& of : shapes) {
        const std::int64_t n = of.n_streams;
        const auto d_out = normals(3, of.tokens * of.flat_dim(), 0, 1);
        operand x("x", 1, of.tokens * of.flat_dim(), 0, 1), y("y", 2, of.tokens * of.hidden_dim, 0, 1);
        operand bias("bias", 6, of.hidden_dim, 0, 1);
        for (const int kind : {0, 1, 2, 3, 4, 5, 6, 7}) {
            const bool static_post = (kind & 1) != 0, static_mix = (kind & 2) != 0, biased = (kind & 4) != 0;
            operand post("post", 4, (static_post ? 1 : of.tokens) * n, 1, 0.3F);
            operand mix("mix", 5, (static_mix ? 1 : of.tokens) * n * n, 0.25F, 0.2F);
            for (const jit::mix_layout layout : {jit::mix_layout::out_in, jit::mix_layout::src_dst}) {
                const auto rows_of = [](const operand& from, bool once, std::int64_t width) {
                    return token_rows{from.data(), once ? 0 : width};
                };
                const float* given_bias = biased ? bias.data() : nullptr;
                const auto loss = [&] {
                    return weighted_sum(post_fwd(layout, of, y.data(), dense(x, of), rows_of(post, static_post, n),
                                                 rows_of(mix, static_mix, n * n), given_bias),
                                        d_out);
                };
                const auto found = post_bwd(layout, of, y.data(), dense(x, of), rows_of(post, static_post, n),
                                            rows_of(mix, static_mix, n * n), dense(d_out, of), given_bias);
                CHECK(gradient_error(x, found.x, loss) <= 1e-6);
                CHECK(gradient_error(y, found.y, loss) <= 1e-6);
                CHECK(gradient_error(post, found.post, loss) <= 1e-6);
                CHECK(gradient_error(mix, found.mix, loss) <= 1e-6);
                if (biased) CHECK(gradient_error(bias, found.bias, loss) <= 1e-6);
                CHECK(found.bias.value.empty() == !biased);
            }
        }
    }
}

TEST_CASE("stream gradient references: by hand, with strides, absent gradients, absolute terms, and of no tokens")
{
    const shape of{.tokens = 2, .n_streams = 2, .hidden_dim = 1};
    const std::vector<float> x = {1, -2, 3, 5}, y = {10, 20}, post = {1, -1}, mix = {1, 2, 3, 4}, g = {1, 10, 100, -1000};
    const auto found =
        post_bwd(jit::mix_layout::out_in, of, y.data(), dense(x, of), {post.data(), 0}, {mix.data(), 0}, dense(g, of));
    CHECK(found.y.value == std::vector<double>{1 - 10, 100 + 1000});
    CHECK(found.y.terms == std::vector<double>{11, 1100});
    CHECK(found.x.value == std::vector<double>{1 + 30, 2 + 40, 100 - 3000, 200 - 4000});
    CHECK(found.post.value == std::vector<double>{10 + 2000, 100 - 20000});
    CHECK(found.mix.value == std::vector<double>{1 + 300, -2 + 500, 10 - 3000, -20 - 5000});
    CHECK(found.mix.terms == std::vector<double>{301, 502, 3010, 5020});
    const auto turned =
        post_bwd(jit::mix_layout::src_dst, of, y.data(), dense(x, of), {post.data(), 0}, {mix.data(), 0}, dense(g, of));
    CHECK(turned.mix.value == std::vector<double>{1 + 300, 10 - 3000, -2 + 500, -20 - 5000});
    // The same rows as [n, T, C] memory.
    const std::vector<float> turned_x = {1, 3, -2, 5};
    CHECK(apply_mix_bwd(of, {turned_x.data(), 1, 2}, {mix.data(), 2}, y.data()).pre.value ==
          apply_mix_bwd(of, dense(x, of), {mix.data(), 2}, y.data()).pre.value);
    CHECK(expand_bwd(of, dense(g, of)).value == std::vector<double>{11, -900});
    CHECK(expand_bwd(of, dense(g, of)).terms == std::vector<double>{11, 1100});

    const auto nothing = post_bwd(jit::mix_layout::out_in, of, y.data(), dense(x, of), {mix.data(), 2}, {mix.data(), 0}, {});
    CHECK(nothing.x.value == std::vector<double>(4));
    CHECK(nothing.post.value == std::vector<double>(4));
    const shape empty{.tokens = 0, .n_streams = 2, .hidden_dim = 3};
    const auto none = rmsnorm_bwd(reference::options_of(jit::preset::paper), empty, nullptr, x.data(), nullptr, nullptr);
    CHECK(none.x.value.empty());
    CHECK(none.weight.value == std::vector<double>(3));

    const tensor sum = accumulated(found.y, y.data());
    CHECK(sum.value == std::vector<double>{1, 1120});
    CHECK(sum.terms == std::vector<double>{21, 1120});
    CHECK(transposed(std::vector<float>{1, 2, 3, 4, 5, 6}.data(), 2, 3) == std::vector<float>{1, 4, 2, 5, 3, 6});
    CHECK(transposed(found.x, 1, 4).value == found.x.value);
    CHECK(transposed(found.x, 2, 2).value == std::vector<double>{31, -2900, 42, -3800});
}

TEST_CASE("stream gradient references: the check finds coefficients of token 0 used for every token")
{
    // MATH.md 2.3, defect 2.
    const shape of{.tokens = 3, .n_streams = 3, .hidden_dim = 8};
    operand x("x", 1, of.tokens * of.flat_dim(), 0, 1), y("y", 2, of.tokens * of.hidden_dim, 0, 1);
    const auto post = normals(4, 9, 1, 0.3F), mix = normals(5, 27, 0.25F, 0.2F), d_out = normals(3, 72, 0, 1);
    const auto loss = [&] {
        return weighted_sum(post_fwd(jit::mix_layout::out_in, of, y.data(), dense(x, of), {post.data(), 3}, {mix.data(), 9}),
                            d_out);
    };
    const auto planted =
        post_bwd(jit::mix_layout::out_in, of, y.data(), dense(x, of), {post.data(), 0}, {mix.data(), 0}, dense(d_out, of));
    CHECK(gradient_error(x, planted.x, loss) > 0.1);
    CHECK(gradient_error(y, planted.y, loss) > 0.1);
}
