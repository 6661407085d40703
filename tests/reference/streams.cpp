// tests/reference/streams.cpp -- rmsnorm_fwd, apply_mix_fwd, expand_fwd and post_fwd, and the sums they are made of.
#include "tests/reference/streams.hpp"

#include <algorithm>
#include <cmath>

#include "tests/reference/adjoints.hpp"
#include "tests/reference/parallel.hpp"
#include "tests/reference/reference.hpp"

namespace mhc::reference {

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

double root_mean_square(const std::vector<double>& v, double eps)
{
    double sum = 0;
    for (const double element : v) sum += element * element;
    return std::sqrt(sum / static_cast<double>(v.size()) + eps);
}

void add_scaled(double coefficient, const float* row, channels& into)
{
    double* value = into.value.data();
    double* terms = into.terms.data();
    const auto size = static_cast<std::int64_t>(into.value.size());
    for (std::int64_t c = 0; c < size; ++c) {
        const double term = coefficient * static_cast<double>(row[c]);
        value[c] += term;
        terms[c] += std::abs(term);
    }
}

channels weighted_streams(const shape& of, const strided_rows& x, std::int64_t token, const double* p)
{
    channels sum(of.hidden_dim);
    for (std::int64_t i = 0; i < of.n_streams; ++i) add_scaled(p[i], x.row(token, i), sum);
    return sum;
}

double rms_normalise(channels& v, double eps, const float* weight)
{
    const double rms = root_mean_square(v.value, eps);
    for (std::size_t c = 0; c < v.value.size(); ++c) {
        const double factor = (weight != nullptr ? static_cast<double>(weight[c]) : 1.0) / rms;
        v.value[c] *= factor;
        v.terms[c] *= std::abs(factor);
    }
    return rms;
}

std::vector<double> mixing_matrix(jit::mix_layout layout, std::int64_t n, const double* stored)
{
    std::vector<double> m(static_cast<std::size_t>(n * n));
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            m[static_cast<std::size_t>(i * n + j)] =
                layout == jit::mix_layout::out_in ? stored[i * n + j] : stored[j * n + i];
        }
    }
    return m;
}

namespace {

std::vector<double> widened(const float* from, std::int64_t size) { return {from, from + size}; }

}  // namespace

tensor layer_input_of(const jit::layer_options& options, const shape& of, const strided_rows& x,
                      const std::vector<double>& pre, const float* norm_weight)
{
    tensor layer_input(of.tokens * of.hidden_dim);
    parallel_for(of.tokens, of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            channels a = weighted_streams(of, x, t, pre.data() + t * of.n_streams);
            if (norm_weight != nullptr) rms_normalise(a, norm_eps(options), norm_weight);
            store(a, t, layer_input);
        }
    });
    return layer_input;
}

std::vector<double> widened(const shape& of, const token_rows& rows, std::int64_t width)
{
    std::vector<double> all;
    for (std::int64_t t = 0; t < of.tokens; ++t) all.insert(all.end(), rows.row(t), rows.row(t) + width);
    return all;
}

tensor of_one_sign(std::vector<double> value)
{
    tensor made;
    made.terms.resize(value.size());
    std::transform(value.begin(), value.end(), made.terms.begin(), [](double v) { return std::abs(v); });
    made.value = std::move(value);
    return made;
}

rmsnorm_result rmsnorm_fwd(const jit::layer_options& options, const shape& of, const float* x, const float* weight)
{
    rmsnorm_result result{tensor(of.tokens * of.hidden_dim), tensor(of.tokens)};
    parallel_for(of.tokens, 3 * of.hidden_dim, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            channels y(of.hidden_dim);
            add_scaled(1, x + t * of.hidden_dim, y);
            const double rms = rms_normalise(y, norm_eps(options), weight);
            store(y, t, result.y);
            result.rms.value[static_cast<std::size_t>(t)] = rms;
            result.rms.terms[static_cast<std::size_t>(t)] = rms;
        }
    });
    return result;
}

tensor apply_mix_fwd(const shape& of, const strided_rows& x, const token_rows& pre)
{
    tensor layer_input(of.tokens * of.hidden_dim);
    parallel_for(of.tokens, of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            store(weighted_streams(of, x, t, widened(pre.row(t), of.n_streams).data()), t, layer_input);
        }
    });
    return layer_input;
}

tensor expand_fwd(const shape& of, const float* h)
{
    tensor x(of.tokens * of.flat_dim());
    parallel_for(of.tokens, of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            channels copied(of.hidden_dim);
            add_scaled(1, h + t * of.hidden_dim, copied);
            for (std::int64_t i = 0; i < of.n_streams; ++i) store(copied, t * of.n_streams + i, x);
        }
    });
    return x;
}

tensor post_fwd(jit::mix_layout layout, const shape& of, const float* y, const strided_rows& x, const token_rows& post,
                const token_rows& mix, const float* bias)
{
    const std::int64_t n = of.n_streams;
    tensor out(of.tokens * of.flat_dim());
    parallel_for(of.tokens, n * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::vector<double> m = mixing_matrix(layout, n, widened(mix.row(t), n * n).data());
            for (std::int64_t i = 0; i < n; ++i) {
                channels sum = weighted_streams(of, x, t, m.data() + i * n);
                add_scaled(static_cast<double>(post.row(t)[i]), y + t * of.hidden_dim, sum);
                if (bias != nullptr) add_scaled(static_cast<double>(post.row(t)[i]), bias, sum);
                store(sum, t * n + i, out);
            }
        }
    });
    return out;
}

}  // namespace mhc::reference
