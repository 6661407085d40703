// tests/reference/fused_test.cpp -- operators made of others: against what they are made of, and their gradients.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/reference/dtypes.hpp"
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

namespace {

/// Numbers that are multiples of 2^-10, steps of theirs too: a product of two of them is a multiple of 2^-20, and a sum of a
/// few such products below 16 is a float32 without rounding.
operand coarse(std::string name, std::uint64_t seed, std::int64_t count, float mean, float deviation)
{
    return {std::move(name), normals(seed, count, mean, deviation), 2048, 0x1p-8};
}

/// Operands of post_fwd whose result is exact in float32.
struct post_operands {
    shape of;
    operand x, y, post, mix, bias;

    explicit post_operands(const shape& made)
        : of(made),
          x(coarse("x", 31, made.tokens * made.flat_dim(), 0, 1)),
          y(coarse("y", 32, made.tokens * made.hidden_dim, 0, 1)),
          post(coarse("post", 33, made.tokens * made.n_streams, 1, 0.2F)),
          mix(coarse("mix", 34, made.tokens * made.n_streams * made.n_streams, 0.25F, 0.1F)),
          bias(coarse("bias", 35, made.hidden_dim, 0, 0.25F))
    {
    }
    strided_rows rows() const { return {x.data(), of.flat_dim(), of.hidden_dim}; }
    token_rows posts() const { return {post.data(), of.n_streams}; }
    token_rows mixes() const { return {mix.data(), of.n_streams * of.n_streams}; }
    tensor out(jit::mix_layout layout) const
    {
        return post_fwd(layout, of, y.data(), rows(), posts(), mixes(), bias.data());
    }
    void check(const post_gradients& found, const std::function<double()>& loss)
    {
        CHECK(gradient_error(x, found.x, loss) <= 1e-6);
        CHECK(gradient_error(y, found.y, loss) <= 1e-6);
        CHECK(gradient_error(post, found.post, loss) <= 1e-6);
        CHECK(gradient_error(mix, found.mix, loss) <= 1e-6);
        CHECK(gradient_error(bias, found.bias, loss) <= 1e-6);
    }
};

/// A float64 result as float32, which must hold it.
std::vector<float> exactly(const tensor& from)
{
    std::vector<float> narrow(from.value.begin(), from.value.end());
    REQUIRE(std::equal(narrow.begin(), narrow.end(), from.value.begin(),
                       [](float a, double b) { return static_cast<double>(a) == b; }));
    return narrow;
}

}  // namespace

TEST_CASE("post_pre_bwd and post_head_bwd references: through the stored streams, over presets and options")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        const shape& of = made.of;
        const auto rows_of = [&](const std::vector<float>& v) {
            return strided_rows{v.data(), of.flat_dim(), of.hidden_dim};
        };
        post_operands first(of);
        pre_operands second(made, of.coefficients(), 3), head(made, of.n_streams, 1);
        const pre_weights d(of);
        const auto d_out = normals(15, of.tokens * of.flat_dim(), 0, 1);
        const auto out = exactly(first.out(made.options.layout));

        const auto both =
            post_pre_bwd(made.options, of, first.y.data(), first.rows(), first.posts(), first.mixes(), rows_of(out),
                         second.fn.data(), second.scale.data(), second.base.data(), second.norm_weight(), rows_of(d_out),
                         d.all(), first.bias.data(), second.fn_norm_weight());
        const auto loss = [&] {
            const tensor streams = first.out(made.options.layout);
            return weighted_sum(streams, d_out) +
                   d.loss(pre_fwd(made.options, of, rows_of(exactly(streams)), second.fn.data(), second.scale.data(),
                                  second.base.data(), second.norm_weight(), second.fn_norm_weight()));
        };
        first.check(both.post, loss);
        CHECK(gradient_error(second.fn, both.next.fn, loss) <= 1e-6);
        CHECK(gradient_error(second.scale, both.next.scale, loss) <= 1e-6);
        CHECK(gradient_error(second.base, both.next.base, loss) <= 1e-6);

        const auto ended = post_head_bwd(made.options, of, first.y.data(), first.rows(), first.posts(), first.mixes(),
                                         rows_of(out), head.fn.data(), head.scale.data(), head.base.data(),
                                         head.norm_weight(), d.layer_input.data(), first.bias.data(), head.fn_norm_weight());
        const auto end_loss = [&] {
            return weighted_sum(
                post_head_fwd(made.options, of, jit::dtype::fp32, first.y.data(), first.rows(), first.posts(), first.mixes(),
                              head.fn.data(), head.scale.data(), head.base.data(), head.norm_weight(), first.bias.data(),
                              head.fn_norm_weight()),
                d.layer_input);
        };
        first.check(ended.post, end_loss);
        CHECK(gradient_error(head.fn, ended.next.fn, end_loss) <= 1e-6);
    }
}

TEST_CASE("post_head reference: the head of what post stores, in its type")
{
    const gradient_case made = gradient_cases().back();
    const post_operands first(made.of);
    const pre_operands head(made, made.of.n_streams, 1);
    const tensor out = first.out(made.options.layout);
    for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32}) {
        std::vector<float> stored(out.value.begin(), out.value.end());
        for (float& v : stored) v = rounded(type, v);
        const tensor found = post_head_fwd(made.options, made.of, type, first.y.data(), first.rows(), first.posts(),
                                           first.mixes(), head.fn.data(), head.scale.data(), head.base.data(),
                                           head.norm_weight(), first.bias.data(), head.fn_norm_weight());
        CHECK(found.value == head_fwd(made.options, made.of, {stored.data(), made.of.flat_dim(), made.of.hidden_dim},
                                      head.fn.data(), head.scale.data(), head.base.data(), head.norm_weight(),
                                      head.fn_norm_weight())
                                 .value);
    }
}

TEST_CASE("broadcast_pre reference: pre of copies, with fn summed over the streams, and its gradients")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        const shape& of = made.of;
        pre_operands with(made, of.coefficients(), 3);
        operand h("h", normals(41, of.tokens * of.hidden_dim, 0, 1), 4, 0x1p-10);
        const pre_weights d(of);
        const auto forward = [&] {
            return broadcast_pre_fwd(made.options, of, h.data(), with.fn.data(), with.scale.data(), with.base.data(),
                                     with.norm_weight(), with.fn_norm_weight());
        };
        const auto found = broadcast_pre_bwd(made.options, of, h.data(), with.fn.data(), with.scale.data(), with.base.data(),
                                             with.norm_weight(), d.all(), with.fn_norm_weight());
        const auto loss = [&] { return d.loss(forward()); };
        CHECK(gradient_error(h, found.x, loss) <= 1e-6);
        CHECK(gradient_error(with.fn, found.fn, loss) <= 1e-6);
        CHECK(gradient_error(with.scale, found.scale, loss) <= 1e-6);
        CHECK(gradient_error(with.base, found.base, loss) <= 1e-6);
        if (made.norm_weight) CHECK(gradient_error(with.norm, found.norm_weight, loss) <= 1e-6);
        if (made.fn_norm_weight) CHECK(gradient_error(with.fn_norm, found.fn_norm_weight, loss) <= 1e-6);

        // With one stream of fn summed over the streams, K = C.
        std::vector<float> summed(static_cast<std::size_t>(of.coefficients() * of.hidden_dim));
        std::vector<double> exact(summed.size());
        for (std::int64_t r = 0; r < of.coefficients(); ++r) {
            for (std::int64_t k = 0; k < of.flat_dim(); ++k)
                exact[static_cast<std::size_t>(r * of.hidden_dim + k % of.hidden_dim)] +=
                    static_cast<double>(with.fn.data()[r * of.flat_dim() + k]) *
                    (made.fn_norm_weight ? static_cast<double>(with.fn_norm.data()[k]) : 1);
        }
        std::copy(exact.begin(), exact.end(), summed.begin());
        const shape once{.tokens = of.tokens, .n_streams = 1, .hidden_dim = of.hidden_dim};
        const auto sums = pre_project_fwd(once, {h.data(), of.hidden_dim, 0}, summed.data(), of.coefficients());
        std::vector<float> proj(sums.proj.value.begin(), sums.proj.value.end()), sqsum;
        for (const double v : sums.sqsum.value) sqsum.push_back(static_cast<float>(v * static_cast<double>(of.n_streams)));
        const auto same = coeffs_fwd(made.options, of, {{proj.data(), of.coefficients(), 0}, {sqsum.data(), 1, 0}, 1},
                                     with.scale.data(), with.base.data());
        for (std::size_t i = 0; i < same.pre.value.size(); ++i)
            CHECK(forward().pre.value[i] == doctest::Approx(same.pre.value[i]).epsilon(1e-5));
    }
}

TEST_CASE("delayed_pre reference: the layer input of the last pre, the coefficients of this x, and the gradients of both")
{
    for (const gradient_case& made : gradient_cases()) {
        CAPTURE(made.name);
        const shape& of = made.of;
        pre_operands with(made, of.coefficients(), 3);
        const pre_weights d(of);
        for (const bool is_static : {false, true}) {
            operand previous("previous_pre", 42, (is_static ? 1 : of.tokens) * of.n_streams, 0.5F, 0.2F);
            const token_rows rows{previous.data(), is_static ? 0 : of.n_streams};
            const auto forward = [&] {
                return delayed_pre_fwd(made.options, of, with.rows(), rows, with.fn.data(), with.scale.data(),
                                       with.base.data(), with.norm_weight(), with.fn_norm_weight());
            };
            const auto found = delayed_pre_bwd(made.options, of, with.rows(), rows, with.fn.data(), with.scale.data(),
                                               with.base.data(), with.norm_weight(), d.all(), with.fn_norm_weight());
            const auto loss = [&] { return d.loss(forward()); };
            with.check(found.pre, loss);
            CHECK(gradient_error(previous, found.previous_pre, loss) <= 1e-6);

            const pre_result delayed = forward();
            const pre_result now = pre_fwd(made.options, of, with.rows(), with.fn.data(), with.scale.data(),
                                           with.base.data(), with.norm_weight(), with.fn_norm_weight());
            CHECK(delayed.pre.value == now.pre.value);
            CHECK(delayed.mix.value == now.mix.value);
            if (!made.norm_weight) CHECK(delayed.layer_input.value == apply_mix_fwd(of, with.rows(), rows).value);
        }
    }
}

TEST_CASE("multilayer_recompute reference: post and apply_mix in turn, each from the stored streams")
{
    const shape of{.tokens = 2, .n_streams = 3, .hidden_dim = 5};
    const auto x = normals(1, 30, 0, 1);
    std::vector<std::vector<float>> y, pre, post, mix;
    std::vector<recompute_layer> layers;
    for (std::uint64_t l = 0; l < 3; ++l) {
        y.push_back(normals(10 + l, 10, 0, 1));
        pre.push_back(normals(20 + l, 6, 0.5F, 0.2F));
        post.push_back(normals(30 + l, 6, 1, 0.2F));
        mix.push_back(normals(40 + l, 18, 0.3F, 0.1F));
    }
    for (std::size_t l = 0; l < 3; ++l) {
        recompute_layer layer{{pre[l].data(), 3}, y[l].data(), {post[l].data(), 3}, {mix[l].data(), 9}};
        if (l == 2) layer.y = nullptr;
        layers.push_back(layer);
    }
    for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32}) {
        const auto all = multilayer_recompute(jit::mix_layout::src_dst, of, type, {x.data(), 15, 5}, layers);
        REQUIRE(all.size() == 3);
        std::vector<float> streams = x;
        for (std::size_t l = 0; l < 3; ++l) {
            CHECK(all[l].layer_input.value == apply_mix_fwd(of, {streams.data(), 15, 5}, layers[l].pre).value);
            if (l == 2) break;
            const tensor out =
                post_fwd(jit::mix_layout::src_dst, of, y[l].data(), {streams.data(), 15, 5}, layers[l].post, layers[l].mix);
            CHECK(all[l].out.value == out.value);
            for (std::size_t i = 0; i < streams.size(); ++i) streams[i] = rounded(type, static_cast<float>(out.value[i]));
        }
        CHECK(all[2].out.value.empty());
    }
}

TEST_CASE("rmsnorm_matmul reference: rows of the norm times the weight, and its gradients")
{
    for (const std::int64_t columns : {1, 3, 10}) {
        for (const bool weighted : {true, false}) {
            const shape of{.tokens = 3, .hidden_dim = 17};
            auto options = reference::options_of(jit::preset::mhc_cu);
            options.norm_eps = 0.2F;
            operand x("x", 1, 51, 0.2F, 1), norm("norm_weight", 2, 17, 1, 0.3F), weight("weight", 3, columns * 17, 0, 0.3F);
            const float* norm_weight = weighted ? norm.data() : nullptr;
            const auto d_y = normals(4, 3 * columns, 0, 1), d_rms = normals(5, 3, 0, 1);
            const auto forward = [&] {
                return rmsnorm_matmul_fwd(options, of, x.data(), norm_weight, weight.data(), columns);
            };
            const auto found =
                rmsnorm_matmul_bwd(options, of, x.data(), norm_weight, weight.data(), columns, d_y.data(), d_rms.data());
            const auto loss = [&] { return weighted_sum(forward().y, d_y) + weighted_sum(forward().rms, d_rms); };
            CHECK(gradient_error(x, found.x, loss) <= 1e-6);
            CHECK(gradient_error(weight, found.weight, loss) <= 1e-6);
            if (weighted) CHECK(gradient_error(norm, found.norm_weight, loss) <= 1e-6);
            CHECK(found.norm_weight.value.empty() == !weighted);

            const auto normalised = rmsnorm_fwd(options, of, x.data(), norm_weight);
            CHECK(forward().rms.value == normalised.rms.value);
            for (std::int64_t t = 0; t < 3; ++t) {
                for (std::int64_t o = 0; o < columns; ++o) {
                    double sum = 0;
                    for (std::int64_t c = 0; c < 17; ++c)
                        sum += normalised.y.value[static_cast<std::size_t>(t * 17 + c)] *
                               static_cast<double>(weight.data()[o * 17 + c]);
                    CHECK(forward().y.value[static_cast<std::size_t>(t * columns + o)] ==
                          doctest::Approx(sum).epsilon(1e-12));
                }
            }
            const auto no_rms =
                rmsnorm_matmul_bwd(options, of, x.data(), norm_weight, weight.data(), columns, nullptr, nullptr);
            CHECK(std::all_of(no_rms.x.value.begin(), no_rms.x.value.end(), [](double v) { return v == 0; }));
        }
    }
}

TEST_CASE("quantised layer_input reference: by hand, by block and by row")
{
    const shape of{.tokens = 2, .n_streams = 1, .hidden_dim = 3};
    tensor h(6);
    h.value = {896, -1, 3, 0, 0, 0};
    h.terms = {896, 1, 3, 0, 0, 0};
    const quantised rows = quantised_e4m3(of, h, 0, 1e-5);
    REQUIRE(rows.scale.value.size() == 2);
    CHECK(rows.scale.value[0] == 2);
    CHECK(rows.scale.value[1] == static_cast<double>(quantised_floor) / 448);
    CHECK(rows.layer_input.value == std::vector<double>{896, -1, 3, 0, 0, 0});

    // Blocks of 2: 896 and -1; 3 alone; scales 2 and 3 / 448.
    h.value = {896, 33, -3, 1, 0.3, 2e-11};
    h.terms = {896, 33, 3, 1, 0.3, 2e-11};
    const quantised blocks = quantised_e4m3(of, h, 2, 0);
    REQUIRE(blocks.scale.value.size() == 4);
    CHECK(blocks.scale.value[0] == 2);
    CHECK(blocks.scale.value[1] == 3.0 / 448);
    CHECK(blocks.scale.value[2] == 1.0 / 448);
    CHECK(blocks.scale.value[3] == static_cast<double>(quantised_floor) / 448);
    CHECK(blocks.layer_input.value[1] == 32);  // 16.5 between 16 and 18
    CHECK(blocks.layer_input.value[2] == -3);
    CHECK(blocks.layer_input.value[4] == doctest::Approx(128 / 448.0));  // 134.4 between 128 and 144
    CHECK(blocks.layer_input.rounding_doubt[1] == 0);
    // An error that reaches the middle, 17, puts it in doubt; a smaller one does not.
    CHECK(quantised_e4m3(of, h, 2, 1.5 / 366).layer_input.rounding_doubt[1] == 4);
    CHECK(quantised_e4m3(of, h, 2, 0.5 / 366).layer_input.rounding_doubt[1] == 0);
}
