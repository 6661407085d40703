// tests/reference/coefficients.cpp -- z = (w . x) * r * scale + base for every token; the sums are blocked only for speed.
#include "tests/reference/coefficients.hpp"

#include <algorithm>
#include <cmath>

#include "tests/reference/dtypes.hpp"
#include "tests/reference/parallel.hpp"
#include "tests/reference/streams.hpp"

namespace mhc::reference {
namespace {

constexpr std::int64_t rows_at_once = 4;       // rows of w that share one pass over x
constexpr std::int64_t columns_at_once = 512;  // channels whose widened values stay in the first cache

/// One token after another as K float64 numbers, padded with zeros to a multiple of columns_at_once.
struct flat_tokens {
    std::int64_t padded_dim;
    std::vector<double> value;

    const double* of(std::int64_t token) const { return value.data() + token * padded_dim; }
};

double widened(float value, projected_values values)
{
    if (values == projected_values::of_magnitudes) return std::abs(static_cast<double>(value));
    return static_cast<double>(values == projected_values::rounded_to_bf16 ? rounded(jit::dtype::bf16, value) : value);
}

flat_tokens flattened(const shape& of, const strided_rows& x, projected_values values)
{
    flat_tokens flat;
    flat.padded_dim = (of.flat_dim() + columns_at_once - 1) / columns_at_once * columns_at_once;
    flat.value.resize(static_cast<std::size_t>(of.tokens * flat.padded_dim));
    parallel_for(of.tokens, of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            double* to = flat.value.data() + t * flat.padded_dim;
            for (std::int64_t i = 0; i < of.n_streams; ++i) {
                for (std::int64_t c = 0; c < of.hidden_dim; ++c) *to++ = widened(x.row(t, i)[c], values);
            }
        }
    });
    return flat;
}

/// sums[r] += sum over the block of w[r][k] * x[k]. Four sums a row, so that the compiler can use vector registers.
void add_products(const double (&w)[rows_at_once][columns_at_once], const double* x, double (&sums)[rows_at_once])
{
    constexpr std::int64_t lanes = 4;
    double partial[rows_at_once][lanes] = {};
    for (std::int64_t k = 0; k < columns_at_once; k += lanes) {
        for (std::int64_t r = 0; r < rows_at_once; ++r) {
            for (std::int64_t lane = 0; lane < lanes; ++lane) partial[r][lane] += w[r][k + lane] * x[k + lane];
        }
    }
    for (std::int64_t r = 0; r < rows_at_once; ++r) {
        sums[r] += (partial[r][0] + partial[r][1]) + (partial[r][2] + partial[r][3]);
    }
}

/// P[t, o] = sum_k w[o, k] x[t, k] for o in [0, row_count); written to products[t * row_stride + o].
void project(const flat_tokens& x, std::int64_t tokens, const float* w, std::int64_t row_count, std::int64_t flat_dim,
             projected_values values, double* products, std::int64_t row_stride)
{
    const std::int64_t groups = (row_count + rows_at_once - 1) / rows_at_once;
    parallel_for(groups, rows_at_once * flat_dim * tokens, [&](std::int64_t begin, std::int64_t end) {
        std::vector<double> sums(static_cast<std::size_t>(tokens * rows_at_once));
        double block[rows_at_once][columns_at_once];
        for (std::int64_t group = begin; group < end; ++group) {
            std::fill(sums.begin(), sums.end(), 0.0);
            const std::int64_t first = group * rows_at_once;
            const std::int64_t count = std::min(rows_at_once, row_count - first);
            for (std::int64_t k = 0; k < flat_dim; k += columns_at_once) {
                const std::int64_t width = std::min(columns_at_once, flat_dim - k);
                for (std::int64_t r = 0; r < rows_at_once; ++r) {
                    std::fill(block[r], block[r] + columns_at_once, 0.0);
                    if (r >= count) continue;
                    const float* row = w + (first + r) * flat_dim + k;
                    std::transform(row, row + width, block[r], [&](float v) { return widened(v, values); });
                }
                for (std::int64_t t = 0; t < tokens; ++t) {
                    double token_sums[rows_at_once] = {};
                    add_products(block, x.of(t) + k, token_sums);
                    for (std::int64_t r = 0; r < rows_at_once; ++r)
                        sums[static_cast<std::size_t>(t * rows_at_once + r)] += token_sums[r];
                }
            }
            for (std::int64_t t = 0; t < tokens; ++t) {
                std::copy_n(sums.data() + t * rows_at_once, count, products + t * row_stride + first);
            }
        }
    });
}

/// sum_k x[t, k]^2.
std::vector<double> squares_of(const flat_tokens& x, std::int64_t tokens, std::int64_t flat_dim)
{
    std::vector<double> squares(static_cast<std::size_t>(tokens));
    parallel_for(tokens, flat_dim, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const double* token = x.of(t);
            double square_sum = 0;
            for (std::int64_t i = 0; i < flat_dim; ++i) square_sum += token[i] * token[i];
            squares[static_cast<std::size_t>(t)] = square_sum;
        }
    });
    return squares;
}

/// x[t, k] *= by[k].
void multiply(flat_tokens& x, std::int64_t tokens, const float* by, std::int64_t flat_dim, projected_values values)
{
    for (std::int64_t t = 0; t < tokens; ++t) {
        double* token = x.value.data() + t * x.padded_dim;
        for (std::int64_t k = 0; k < flat_dim; ++k) token[k] *= widened(by[k], values);
    }
}

}  // namespace

void activate(const jit::layer_options& options, std::int64_t n, const double* z_pre, const double* z_post,
              const double* z_res, double* pre, double* post, double* mix)
{
    for (std::int64_t i = 0; i < n; ++i) {
        pre[i] = sigmoid(z_pre[i]) + static_cast<double>(options.pre_eps);
        post[i] = static_cast<double>(options.post_mult) * sigmoid(z_post[i]);
    }
    std::copy_n(z_res, n * n, mix);
    sinkhorn(options, n, mix);
}

projection_sums project_rows(const shape& of, const strided_rows& x, const std::vector<weight_rows>& weights,
                             projected_values values, const float* fn_norm_weight)
{
    const std::int64_t k = of.flat_dim();
    flat_tokens flat = flattened(of, x, values);
    projection_sums sums;
    sums.squares = squares_of(flat, of.tokens, k);
    if (fn_norm_weight != nullptr) multiply(flat, of.tokens, fn_norm_weight, k, values);
    for (const weight_rows& part : weights) sums.rows += part.count;
    sums.products.resize(static_cast<std::size_t>(of.tokens * sums.rows));
    double* to = sums.products.data();
    for (const weight_rows& part : weights) {
        project(flat, of.tokens, part.data, part.count, k, values, to, sums.rows);
        to += part.count;
    }
    return sums;
}

double inverse_rms(const jit::layer_options& options, const shape& of, double square_sum)
{
    return 1 / std::sqrt(square_sum / static_cast<double>(of.flat_dim()) + static_cast<double>(options.rms_eps));
}

std::vector<weight_rows> rows_of(const shape& of, const projection_weights& weights)
{
    const std::int64_t n = of.n_streams;
    return {{weights.pre, n}, {weights.post, n}, {weights.res, n * n}};
}

projection_weights weights_of(const shape& of, const float* fn, const float* scale, const float* base,
                              const float* fn_norm_weight)
{
    const std::int64_t n = of.n_streams;
    const std::int64_t k = of.flat_dim();
    const bool has_fn = fn != nullptr;  // stages after the projection have none
    return {.pre = fn,
            .post = has_fn ? fn + n * k : nullptr,
            .res = has_fn ? fn + 2 * n * k : nullptr,
            .scale_pre = static_cast<double>(scale[0]),
            .scale_post = static_cast<double>(scale[1]),
            .scale_res = static_cast<double>(scale[2]),
            .base_pre = base,
            .base_post = base + n,
            .base_res = base + 2 * n,
            .fn_norm_weight = fn_norm_weight};
}

void make_logits(const jit::layer_options& options, const shape& of, const projection_weights& weights,
                 projection_sums& sums)
{
    const std::int64_t n = of.n_streams;
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const double r = inverse_rms(options, of, sums.squares[static_cast<std::size_t>(t)]);
        double* z = sums.products.data() + t * sums.rows;
        for (std::int64_t i = 0; i < n; ++i) {
            z[i] = z[i] * r * weights.scale_pre + static_cast<double>(weights.base_pre[i]);
            z[n + i] = z[n + i] * r * weights.scale_post + static_cast<double>(weights.base_post[i]);
        }
        for (std::int64_t i = 0; i < n * n; ++i) {
            z[2 * n + i] = z[2 * n + i] * r * weights.scale_res + static_cast<double>(weights.base_res[i]);
        }
    }
}

coefficients coefficients_of(const jit::layer_options& options, const shape& of, const projection_weights& weights,
                             projection_sums sums)
{
    const std::int64_t n = of.n_streams;
    make_logits(options, of, weights, sums);
    coefficients result;
    result.pre.resize(static_cast<std::size_t>(of.tokens * n));
    result.post.resize(static_cast<std::size_t>(of.tokens * n));
    result.mix.resize(static_cast<std::size_t>(of.tokens * n * n));
    parallel_for(of.tokens, n * n * 80, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const double* z = sums.products.data() + t * sums.rows;
            activate(options, n, z, z + n, z + 2 * n, result.pre.data() + t * n, result.post.data() + t * n,
                     result.mix.data() + t * n * n);
        }
    });
    return result;
}

coefficients projected_coefficients(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                    const projection_weights& weights, bool rounds_to_bf16)
{
    const projected_values values = rounds_to_bf16 ? projected_values::rounded_to_bf16 : projected_values::as_they_are;
    return coefficients_of(options, of, weights, project_rows(of, x, rows_of(of, weights), values, weights.fn_norm_weight));
}

}  // namespace mhc::reference
