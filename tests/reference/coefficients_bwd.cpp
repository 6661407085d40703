// tests/reference/coefficients_bwd.cpp -- projection, logits, activations and layer_input, backwards.
#include "tests/reference/coefficients_bwd.hpp"

#include <algorithm>
#include <cmath>

#include "tests/reference/parallel.hpp"

namespace mhc::reference {

std::vector<logit_group> groups_of(const shape& of, const projection_weights& weights)
{
    const std::int64_t n = of.n_streams;
    return {{n, weights.scale_pre, weights.base_pre},
            {n, weights.scale_post, weights.base_post},
            {n * n, weights.scale_res, weights.base_res}};
}

projected_logits logits_of(const jit::layer_options& options, const shape& of, std::vector<logit_group> groups,
                           projection_sums sums)
{
    projected_logits found{std::move(groups), std::move(sums), {}};
    found.z.reserve(found.sums.products.size());
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const double r = inverse_rms(options, of, found.sums.squares[static_cast<std::size_t>(t)]);
        for (const logit_group& group : found.groups) {
            for (std::int64_t o = 0; o < group.rows; ++o)
                found.z.push_back(found.sums.products[found.z.size()] * r * group.scale +
                                  static_cast<double>(group.base[o]));
        }
    }
    return found;
}

std::vector<double> pre_of(const jit::layer_options& options, const shape& of, const projected_logits& from)
{
    std::vector<double> pre;
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        for (std::int64_t i = 0; i < of.n_streams; ++i)
            pre.push_back(sigmoid(from.z[static_cast<std::size_t>(t * from.sums.rows + i)]) +
                          static_cast<double>(options.pre_eps));
    }
    return pre;
}

coefficient_gradients gradients_of(const shape& of, const pre_outputs& d)
{
    const std::int64_t n = of.n_streams;
    return {numbers_of(d.pre, of.tokens * n), numbers_of(d.post, of.tokens * n), numbers_of(d.mix, of.tokens * n * n)};
}

numbers activation_adjoint(const jit::layer_options& options, std::int64_t n, const std::vector<double>& z,
                           const coefficient_gradients& from, double* doubt)
{
    const auto size = static_cast<std::size_t>(n);
    const std::size_t tokens = from.pre.size() / size;
    const std::size_t rows = tokens > 0 ? z.size() / tokens : 0;
    numbers d_z(z.size());
    parallel_for(static_cast<std::int64_t>(tokens), n * n * (80 + 8 * options.sinkhorn_iters), [&](auto begin, auto end) {
        for (auto t = static_cast<std::size_t>(begin); t < static_cast<std::size_t>(end); ++t) {
            const double* logits = z.data() + t * rows;
            number* to = d_z.data() + t * rows;
            for (std::size_t i = 0; i < size; ++i) {
                to[i] = sigmoid_adjoint(logits[i], 1, from.pre[t * size + i]);
                if (from.post.empty()) continue;
                to[size + i] =
                    sigmoid_adjoint(logits[size + i], static_cast<double>(options.post_mult), from.post[t * size + i]);
            }
            if (from.mix.empty()) continue;
            std::copy_n(from.mix.data() + t * size * size, size * size, to + 2 * size);
            sinkhorn_adjoint(options, n, logits + 2 * size, to + 2 * size,
                             doubt != nullptr ? doubt + t * rows + 2 * size : nullptr);
        }
    });
    return d_z;
}

tensor layer_input_adjoint(const jit::layer_options& options, const shape& of, const strided_rows& x,
                           const std::vector<double>& pre, const float* norm_weight, const float* d_layer_input,
                           numbers& d_pre, tensor& d_x)
{
    const std::int64_t n = of.n_streams, size = of.hidden_dim;
    tensor d_weights(norm_weight != nullptr ? of.tokens * size : 0);
    if (d_layer_input != nullptr) {
        parallel_for(of.tokens, 8 * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t t = begin; t < end; ++t) {
                const double* p = pre.data() + t * n;
                channels d_a = exact_channels(d_layer_input + t * size, size);
                if (norm_weight != nullptr) {
                    channels d_weight(size);
                    d_a = rms_norm_adjoint(weighted_streams(of, x, t, p), norm_eps(options), norm_weight, d_a, &d_weight);
                    store(d_weight, t, d_weights);
                }
                streams d_streams = zero_streams(of);
                weighted_streams_adjoint(streams_of(of, x, t), p, d_a, d_pre.data() + t * n, d_streams);
                store(d_streams, t, d_x);
            }
        });
    }
    return norm_weight != nullptr ? sum_of_first_axis(d_weights, size) : tensor();
}

logit_gradients logits_adjoint(const jit::layer_options& options, const shape& of, const projected_logits& from,
                               const numbers& d_z)
{
    const auto rows = static_cast<std::size_t>(from.sums.rows);
    const auto tokens = static_cast<std::size_t>(of.tokens);
    logit_gradients found{numbers(tokens * rows), numbers(tokens), numbers(from.groups.size()), numbers(rows)};
    for (std::size_t t = 0; t < tokens; ++t) {
        const double r = inverse_rms(options, of, from.sums.squares[t]);
        const double d_squares_factor = -r * r * r / (2 * static_cast<double>(of.flat_dim()));
        std::size_t o = 0;
        for (std::size_t g = 0; g < from.groups.size(); ++g) {
            const double scale = from.groups[g].scale;
            for (std::int64_t row = 0; row < from.groups[g].rows; ++row, ++o) {
                const number d = d_z[t * rows + o];
                const number product = from.sums.products[t * rows + o];
                found.products[t * rows + o] = d * number(r * scale);
                found.squares[t] += d * product * number(scale * d_squares_factor);
                found.scale[g] += d * product * number(r);
                found.base[o] += d;
            }
        }
    }
    return found;
}

namespace {

constexpr std::int64_t columns_at_once = 512;  // whose sums stay in the first cache

/// to += coefficient * row, for some columns.
template <class Element>
void add_product(const number& coefficient, const Element* row, std::int64_t width, double* value, double* terms)
{
    for (std::int64_t k = 0; k < width; ++k) {
        const double element = static_cast<double>(row[k]);
        value[k] += coefficient.value * element;
        terms[k] += coefficient.terms * std::abs(element);
    }
}

/// Calls work(first, width) for blocks of columns.
template <class Work>
void for_each_block(std::int64_t columns, const Work& work)
{
    for (std::int64_t k = 0; k < columns; k += columns_at_once) work(k, std::min(columns_at_once, columns - k));
}

/// x as [T, K].
std::vector<float> flattened(const shape& of, const strided_rows& x)
{
    std::vector<float> flat;
    flat.reserve(static_cast<std::size_t>(of.tokens * of.flat_dim()));
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        for (std::int64_t i = 0; i < of.n_streams; ++i) flat.insert(flat.end(), x.row(t, i), x.row(t, i) + of.hidden_dim);
    }
    return flat;
}

/// sum_o d_products[t, o] w_o of every token, [T, K].
tensor pulled_to_columns(const shape& of, const std::vector<weight_rows>& weights, const numbers& d_products)
{
    const std::int64_t columns = of.flat_dim();
    const std::int64_t rows = of.tokens > 0 ? static_cast<std::int64_t>(d_products.size()) / of.tokens : 0;
    tensor sums(of.tokens * columns);
    parallel_for(of.tokens, 2 * rows * columns, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            for_each_block(columns, [&](std::int64_t k, std::int64_t width) {
                const number* d = d_products.data() + t * rows;
                for (const weight_rows& part : weights) {
                    for (std::int64_t o = 0; o < part.count; ++o)
                        add_product(*d++, part.data + o * columns + k, width, sums.value.data() + t * columns + k,
                                    sums.terms.data() + t * columns + k);
                }
            });
        }
    });
    return sums;
}

/// sum_t d_products[t, first + o] x[t] * w, [count, K].
tensor weight_gradient(const shape& of, const std::vector<float>& x, const float* w, const numbers& d_products,
                       std::int64_t first, std::int64_t count)
{
    const std::int64_t columns = of.flat_dim();
    const std::int64_t rows = of.tokens > 0 ? static_cast<std::int64_t>(d_products.size()) / of.tokens : 0;
    tensor found(count * columns);
    parallel_for(count, 2 * of.tokens * columns, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) {
            for_each_block(columns, [&](std::int64_t k, std::int64_t width) {
                double* value = found.value.data() + o * columns + k;
                double* terms = found.terms.data() + o * columns + k;
                for (std::int64_t t = 0; t < of.tokens; ++t)
                    add_product(d_products[static_cast<std::size_t>(t * rows + first + o)], x.data() + t * columns + k,
                                width, value, terms);
                for (std::int64_t c = 0; w != nullptr && c < width; ++c) {
                    value[c] *= static_cast<double>(w[k + c]);
                    terms[c] *= std::abs(static_cast<double>(w[k + c]));
                }
            });
        }
    });
    return found;
}

}  // namespace

projection_gradients projection_adjoint(const shape& of, const strided_rows& x, const std::vector<weight_rows>& weights,
                                        const float* fn_norm_weight, const numbers& d_products, const numbers& d_squares,
                                        tensor& d_x)
{
    const std::int64_t columns = of.flat_dim();
    const std::vector<float> flat = flattened(of, x);
    projection_gradients found;
    std::int64_t first = 0;
    for (const weight_rows& part : weights) {
        found.weights.push_back(weight_gradient(of, flat, fn_norm_weight, d_products, first, part.count));
        first += part.count;
    }
    const tensor pulled = pulled_to_columns(of, weights, d_products);
    if (fn_norm_weight != nullptr) found.fn_norm_weight = tensor(columns);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const number d_square = number(2) * d_squares[static_cast<std::size_t>(t)];
        for (std::int64_t k = 0; k < columns; ++k) {
            const std::int64_t index = t * columns + k;
            const number element = static_cast<double>(flat[static_cast<std::size_t>(index)]);
            const number weight = fn_norm_weight != nullptr ? static_cast<double>(fn_norm_weight[k]) : 1.0;
            put(d_x, index, at(d_x, index) + weight * at(pulled, index) + d_square * element);
            if (fn_norm_weight != nullptr)
                put(found.fn_norm_weight, k, at(found.fn_norm_weight, k) + at(pulled, index) * element);
        }
    }
    return found;
}

}  // namespace mhc::reference
