// tests/reference/streams_bwd.cpp -- rmsnorm_bwd, apply_mix_bwd, expand_bwd and post_bwd.
#include <cmath>

#include "tests/reference/adjoints.hpp"
#include "tests/reference/gradients.hpp"
#include "tests/reference/parallel.hpp"

namespace mhc::reference {
namespace {

/// A row of gradients, or zeros where there are none.
channels gradient_row(const float* d, std::int64_t row, std::int64_t hidden_dim)
{
    return d != nullptr ? exact_channels(d + row * hidden_dim, hidden_dim) : channels(hidden_dim);
}

std::vector<double> widened(const float* from, std::int64_t size) { return {from, from + size}; }

}  // namespace

tensor accumulated(tensor gradient, const float* before)
{
    for (std::size_t i = 0; i < gradient.value.size(); ++i) {
        gradient.value[i] += static_cast<double>(before[i]);
        gradient.terms[i] += std::abs(static_cast<double>(before[i]));
    }
    return gradient;
}

std::vector<float> transposed(const float* from, std::int64_t rows, std::int64_t columns)
{
    std::vector<float> to;
    to.reserve(static_cast<std::size_t>(rows * columns));
    for (std::int64_t c = 0; c < columns; ++c) {
        for (std::int64_t r = 0; r < rows; ++r) to.push_back(from[r * columns + c]);
    }
    return to;
}

tensor transposed(const tensor& from, std::int64_t rows, std::int64_t columns)
{
    tensor to(rows * columns);
    for (std::int64_t c = 0; c < columns; ++c) {
        for (std::int64_t r = 0; r < rows; ++r) put(to, c * rows + r, at(from, r * columns + c));
    }
    return to;
}

rmsnorm_gradients rmsnorm_bwd(const jit::layer_options& options, const shape& of, const float* x, const float* weight,
                              const float* d_y, const float* d_rms)
{
    const std::int64_t size = of.hidden_dim;
    tensor d_x(of.tokens * size), d_weights(of.tokens * size);
    parallel_for(of.tokens, 8 * size, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const channels row = exact_channels(x + t * size, size);
            channels d_weight(size);
            channels d_row = rms_norm_adjoint(row, norm_eps(options), weight, gradient_row(d_y, t, size), &d_weight);
            if (d_rms != nullptr) add_scaled(rms_adjoint(row, norm_eps(options), d_rms[t]), row, d_row);
            store(d_row, t, d_x);
            store(d_weight, t, d_weights);
        }
    });
    return {std::move(d_x), weight != nullptr ? sum_of_first_axis(d_weights, size) : tensor()};
}

apply_mix_gradients apply_mix_bwd(const shape& of, const strided_rows& x, const token_rows& pre, const float* d_layer_input)
{
    const std::int64_t n = of.n_streams;
    tensor d_x(of.tokens * of.flat_dim()), d_pre(of.tokens * n);
    parallel_for(of.tokens, 4 * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            streams d_streams = zero_streams(of);
            numbers d_p(static_cast<std::size_t>(n));
            weighted_streams_adjoint(streams_of(of, x, t), widened(pre.row(t), n).data(),
                                     gradient_row(d_layer_input, t, of.hidden_dim), d_p.data(), d_streams);
            store(d_streams, t, d_x);
            for (std::int64_t i = 0; i < n; ++i) put(d_pre, t * n + i, d_p[static_cast<std::size_t>(i)]);
        }
    });
    return {std::move(d_x), of_coefficients(std::move(d_pre), pre, n)};
}

tensor expand_bwd(const shape& of, const strided_rows& d_x)
{
    tensor d_h(of.tokens * of.hidden_dim);
    if (d_x.data == nullptr) return d_h;
    const std::vector<double> ones(static_cast<std::size_t>(of.n_streams), 1.0);
    for (std::int64_t t = 0; t < of.tokens; ++t) store(weighted_streams(of, d_x, t, ones.data()), t, d_h);
    return d_h;
}

tensor of_coefficients(tensor per_token, const token_rows& rows, std::int64_t width)
{
    return rows.token_stride == 0 ? sum_of_first_axis(per_token, width) : std::move(per_token);
}

streams gradient_streams(const shape& of, const strided_rows& d_out, std::int64_t token)
{
    return d_out.data != nullptr ? streams_of(of, d_out, token) : zero_streams(of);
}

post_gradients post_adjoint(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x,
                            const token_rows& post, const token_rows& mix, const float* bias,
                            const std::function<streams(std::int64_t token)>& d_out)
{
    const std::int64_t n = of.n_streams;
    tensor d_y(of.tokens * of.hidden_dim), d_x(of.tokens * of.flat_dim()), d_post(of.tokens * n), d_mix(of.tokens * n * n);
    parallel_for(of.tokens, 4 * n * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            channels biased = exact_channels(y + t * of.hidden_dim, of.hidden_dim);
            if (bias != nullptr) add_scaled(1.0, bias, biased);
            streams d_streams = zero_streams(of);
            const mixing_gradients found =
                mixing_adjoint(layout, biased, streams_of(of, x, t), widened(post.row(t), n).data(),
                               widened(mix.row(t), n * n).data(), d_out(t), d_streams);
            store(found.y, t, d_y);
            store(d_streams, t, d_x);
            for (std::int64_t i = 0; i < n; ++i) put(d_post, t * n + i, found.post[static_cast<std::size_t>(i)]);
            for (std::int64_t i = 0; i < n * n; ++i) put(d_mix, t * n * n + i, found.mix[static_cast<std::size_t>(i)]);
        }
    });
    tensor d_bias = bias != nullptr ? sum_of_first_axis(d_y, of.hidden_dim) : tensor();
    return {std::move(d_y), std::move(d_x), of_coefficients(std::move(d_post), post, n),
            of_coefficients(std::move(d_mix), mix, n * n), std::move(d_bias)};
}

post_gradients post_bwd(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x,
                        const token_rows& post, const token_rows& mix, const strided_rows& d_out, const float* bias)
{
    return post_adjoint(layout, of, y, x, post, mix, bias,
                        [&](std::int64_t token) { return gradient_streams(of, d_out, token); });
}

}  // namespace mhc::reference
