// examples/reference.hpp -- what the quickstart compares with: pre_fwd and post_fwd of the preset `paper` in float64.
//
// Written to be read beside the formulas of docs/OPERATORS.md, not to be fast. T tokens, n streams, C channels.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace example {

using array = std::vector<double>;

/// bf16 is the upper half of a float, rounded to the nearest, ties to even. (Finite values only.)
inline std::uint16_t to_bf16(float value)
{
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

inline double widen(std::uint16_t bf16) { return std::bit_cast<float>(static_cast<std::uint32_t>(bf16) << 16); }
inline double widen(float value) { return value; }

template <class T>
array widen(const std::vector<T>& values)
{
    array wide;
    for (T value : values) wide.push_back(widen(value));
    return wide;
}

/// Alternately makes columns and rows of [n, n] sum to 1, starting from exp(logits).
inline void sinkhorn(double* s, std::size_t n, int iterations)
{
    for (std::size_t k = 0; k < n * n; ++k) s[k] = std::exp(s[k]);
    for (int step = 0; step < 2 * iterations; ++step) {
        const std::size_t line = step % 2 == 0 ? 1 : n, entry = step % 2 == 0 ? n : 1;  // a column, then a row
        for (std::size_t a = 0; a < n; ++a) {
            double sum = 0;
            for (std::size_t b = 0; b < n; ++b) sum += s[a * line + b * entry];
            for (std::size_t b = 0; b < n; ++b) s[a * line + b * entry] /= sum;
        }
    }
}

struct coefficients {
    array pre, post, mix, layer_input;
};

/// x [T, n, C], fn [n*n+2n, n*C], scale [3], base [n*n+2n].
inline coefficients pre_fwd(const array& x, const array& fn, const array& scale, const array& base, std::size_t tokens,
                            std::size_t n, std::size_t channels)
{
    const std::size_t width = n * channels, rows = n * n + 2 * n;
    coefficients made;
    for (std::size_t t = 0; t < tokens; ++t) {
        const double* token = x.data() + t * width;
        double squares = 0;
        for (std::size_t k = 0; k < width; ++k) squares += token[k] * token[k];
        const double r = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-6);

        array z(rows);
        for (std::size_t m = 0; m < rows; ++m) {
            for (std::size_t k = 0; k < width; ++k) z[m] += fn[m * width + k] * token[k];
            z[m] = z[m] * r * scale[m < n ? 0 : m < 2 * n ? 1 : 2] + base[m];
        }
        const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
        for (std::size_t i = 0; i < n; ++i) made.pre.push_back(sigmoid(z[i]));
        for (std::size_t i = 0; i < n; ++i) made.post.push_back(2 * sigmoid(z[n + i]));
        sinkhorn(z.data() + 2 * n, n, 20);
        made.mix.insert(made.mix.end(), z.begin() + static_cast<std::ptrdiff_t>(2 * n), z.end());

        for (std::size_t c = 0; c < channels; ++c) {
            double sum = 0;
            for (std::size_t i = 0; i < n; ++i) sum += made.pre[t * n + i] * token[i * channels + c];
            made.layer_input.push_back(sum);
        }
    }
    return made;
}

/// out[t,i,c] = post[t,i] * y[t,c] + sum_j mix[t,i,j] * x[t,j,c].
inline array post_fwd(const array& y, const array& x, const array& post, const array& mix, std::size_t tokens, std::size_t n,
                      std::size_t channels)
{
    array out;
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t c = 0; c < channels; ++c) {
                double sum = post[t * n + i] * y[t * channels + c];
                for (std::size_t j = 0; j < n; ++j) sum += mix[(t * n + i) * n + j] * x[(t * n + j) * channels + c];
                out.push_back(sum);
            }
    return out;
}

/// Norm of the difference over norm of the reference.
inline double relative_error(const array& got, const array& reference)
{
    double difference = 0, norm = 0;
    for (std::size_t k = 0; k < reference.size(); ++k) {
        difference += (got[k] - reference[k]) * (got[k] - reference[k]);
        norm += reference[k] * reference[k];
    }
    return std::sqrt(difference / norm);
}

}  // namespace example
