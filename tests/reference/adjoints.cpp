// tests/reference/adjoints.cpp -- sums over streams, RMS norm and sigmoid, backwards.
#include "tests/reference/adjoints.hpp"

#include <algorithm>
#include <cmath>

namespace mhc::reference {

channels exact_channels(const float* row, std::int64_t hidden_dim)
{
    channels made(hidden_dim);
    add_scaled(1.0, row, made);
    return made;
}

streams streams_of(const shape& of, const strided_rows& x, std::int64_t token)
{
    streams rows;
    for (std::int64_t i = 0; i < of.n_streams; ++i) rows.push_back(exact_channels(x.row(token, i), of.hidden_dim));
    return rows;
}

streams zero_streams(const shape& of) { return streams(static_cast<std::size_t>(of.n_streams), channels(of.hidden_dim)); }

void store(const channels& from, std::int64_t row, tensor& to)
{
    const auto size = static_cast<std::ptrdiff_t>(from.value.size());
    std::copy(from.value.begin(), from.value.end(), to.value.begin() + row * size);
    std::copy(from.terms.begin(), from.terms.end(), to.terms.begin() + row * size);
}

void store(const streams& from, std::int64_t token, tensor& to)
{
    auto row = token * static_cast<std::int64_t>(from.size());
    for (const channels& stream : from) store(stream, row++, to);
}

void add_rows(const tensor& from, std::int64_t token, streams& to)
{
    auto first = static_cast<std::size_t>(token) * to.size() * to.front().value.size();
    for (channels& stream : to) {
        for (std::size_t c = 0; c < stream.value.size(); ++c, ++first) {
            stream.value[c] += from.value[first];
            stream.terms[c] += from.terms[first];
        }
    }
}

numbers numbers_of(const float* gradients, std::int64_t count)
{
    return gradients != nullptr ? numbers(gradients, gradients + count) : numbers(static_cast<std::size_t>(count));
}

number dot(const channels& a, const channels& b)
{
    number sum;
    for (std::size_t c = 0; c < a.value.size(); ++c) {
        sum.value += a.value[c] * b.value[c];
        sum.terms += a.terms[c] * b.terms[c];
    }
    return sum;
}

void add_scaled(const number& coefficient, const channels& row, channels& into)
{
    for (std::size_t c = 0; c < row.value.size(); ++c) {
        into.value[c] += coefficient.value * row.value[c];
        into.terms[c] += coefficient.terms * row.terms[c];
    }
}

tensor sum_of_first_axis(const tensor& from, std::int64_t rest)
{
    tensor sum(rest);
    const auto size = static_cast<std::size_t>(rest);
    for (std::size_t i = 0; i < from.value.size(); ++i) {
        sum.value[i % size] += from.value[i];
        sum.terms[i % size] += from.terms[i];
    }
    return sum;
}

channels rms_norm_adjoint(const channels& a, double eps, const float* weight, const channels& d_y, channels* d_weight)
{
    const std::size_t size = a.value.size();
    const double rms = root_mean_square(a.value, eps);
    channels weighted = d_y;
    for (std::size_t c = 0; weight != nullptr && c < size; ++c) {
        weighted.value[c] *= static_cast<double>(weight[c]);
        weighted.terms[c] *= std::abs(static_cast<double>(weight[c]));
    }
    channels d_a(static_cast<std::int64_t>(size));
    add_scaled(1 / rms, weighted, d_a);
    add_scaled(dot(weighted, a) * number(-1 / (static_cast<double>(size) * rms * rms * rms)), a, d_a);
    for (std::size_t c = 0; d_weight != nullptr && c < size; ++c) {
        d_weight->value[c] = d_y.value[c] * a.value[c] / rms;
        d_weight->terms[c] = d_y.terms[c] * a.terms[c] / rms;
    }
    return d_a;
}

number rms_adjoint(const channels& a, double eps, float d_rms)
{
    return static_cast<double>(d_rms) / (static_cast<double>(a.value.size()) * root_mean_square(a.value, eps));
}

void weighted_streams_adjoint(const streams& x, const double* p, const channels& d_a, number* d_p, streams& d_x)
{
    for (std::size_t i = 0; i < x.size(); ++i) {
        d_p[i] += dot(d_a, x[i]);
        add_scaled(number(p[i]), d_a, d_x[i]);
    }
}

mixing_gradients mixing_adjoint(jit::mix_layout layout, const channels& y, const streams& x, const double* post,
                                const double* stored_mix, const streams& g, streams& d_x)
{
    const std::size_t n = x.size();
    mixing_gradients found{channels(static_cast<std::int64_t>(y.value.size())), {}, numbers(n * n)};
    for (std::size_t i = 0; i < n; ++i) {
        add_scaled(number(post[i]), g[i], found.y);
        found.post.push_back(dot(g[i], y));
        for (std::size_t j = 0; j < n; ++j) {
            const std::size_t stored = layout == jit::mix_layout::out_in ? i * n + j : j * n + i;
            found.mix[stored] = dot(g[i], x[j]);
            add_scaled(number(stored_mix[stored]), g[i], d_x[j]);
        }
    }
    return found;
}

number sigmoid_adjoint(double z, double multiplier, const number& d_p)
{
    return d_p * number(multiplier * sigmoid(z) * sigmoid(-z));
}

}  // namespace mhc::reference
