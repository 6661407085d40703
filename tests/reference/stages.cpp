// tests/reference/stages.cpp -- pre_fwd in stages (pre_project_fwd, split_mixes_fwd, coeffs_fwd, pre_big_fuse), and
// head_fwd.
#include <cmath>

#include "tests/reference/coefficients.hpp"
#include "tests/reference/streams.hpp"

namespace mhc::reference {
namespace {

/// The absolute terms of the logits of the matrix: |products| * r * |scale| + |base|.
std::vector<double> terms_of_logits(const jit::layer_options& options, const shape& of, const split_projection& from,
                                    const projection_weights& weights, const std::vector<double>& squares)
{
    const std::int64_t n = of.n_streams;
    std::vector<double> terms;
    terms.reserve(static_cast<std::size_t>(of.tokens * n * n));
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const double r = inverse_rms(options, of, squares[static_cast<std::size_t>(t)]);
        for (std::int64_t i = 0; i < n * n; ++i) {
            double magnitude = 0;
            for (std::int64_t s = 0; s < from.splits; ++s)
                magnitude += std::abs(static_cast<double>(from.proj.row(t, s)[2 * n + i]));
            terms.push_back(magnitude * r * std::abs(weights.scale_res) +
                            std::abs(static_cast<double>(weights.base_res[i])));
        }
    }
    return terms;
}

}  // namespace

projection_sums added_splits(const shape& of, const split_projection& from)
{
    projection_sums sums;
    sums.rows = of.coefficients();
    sums.products.resize(static_cast<std::size_t>(of.tokens * sums.rows));
    sums.squares.resize(static_cast<std::size_t>(of.tokens));
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        for (std::int64_t s = 0; s < from.splits; ++s) {
            const float* products = from.proj.row(t, s);
            double* to = sums.products.data() + t * sums.rows;
            for (std::int64_t r = 0; r < sums.rows; ++r) to[r] += static_cast<double>(products[r]);
            sums.squares[static_cast<std::size_t>(t)] += static_cast<double>(*from.sqsum.row(t, s));
        }
    }
    return sums;
}

projection_result pre_project_fwd(const shape& of, const strided_rows& x, const float* fn, std::int64_t rows,
                                  const float* fn_norm_weight)
{
    projection_sums sums = project_rows(of, x, {{fn, rows}}, projected_values::as_they_are, fn_norm_weight);
    projection_result result;
    result.proj.value = std::move(sums.products);
    result.proj.terms = project_rows(of, x, {{fn, rows}}, projected_values::of_magnitudes, fn_norm_weight).products;
    result.sqsum = of_one_sign(std::move(sums.squares));
    return result;
}

mixes_result split_mixes_fwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                             const float* scale, const float* base)
{
    const std::int64_t n = of.n_streams;
    const projection_weights weights = weights_of(of, nullptr, scale, base);
    projection_sums z = added_splits(of, from);
    mixes_result result;
    result.logits.terms = terms_of_logits(options, of, from, weights, z.squares);
    make_logits(options, of, weights, z);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const auto first = z.products.begin() + t * z.rows + 2 * n;
        result.logits.value.insert(result.logits.value.end(), first, first + n * n);
    }
    coefficients_result activated = coeffs_fwd(options, of, from, scale, base);
    result.pre = std::move(activated.pre);
    result.post = std::move(activated.post);
    return result;
}

coefficients_result coeffs_fwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                               const float* scale, const float* base)
{
    coefficients found = coefficients_of(options, of, weights_of(of, nullptr, scale, base), added_splits(of, from));
    return {of_one_sign(std::move(found.pre)), of_one_sign(std::move(found.post)), of_one_sign(std::move(found.mix))};
}

pre_result pre_big_fuse(const jit::layer_options& options, const shape& of, const split_projection& from,
                        const strided_rows& x, const float* scale, const float* base, const float* norm_weight)
{
    coefficients_result found = coeffs_fwd(options, of, from, scale, base);
    tensor layer_input = layer_input_of(options, of, x, found.pre.value, norm_weight);
    return {std::move(layer_input), std::move(found.pre), std::move(found.post), std::move(found.mix)};
}

tensor head_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                const float* scale, const float* base, const float* norm_weight, const float* fn_norm_weight)
{
    const std::int64_t n = of.n_streams;
    projection_sums z = project_rows(of, x, {{fn, n}}, projected_values::as_they_are, fn_norm_weight);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        const double r = inverse_rms(options, of, z.squares[static_cast<std::size_t>(t)]);
        for (std::int64_t i = 0; i < n; ++i) {
            double& pre = z.products[static_cast<std::size_t>(t * n + i)];
            pre = sigmoid(pre * r * static_cast<double>(*scale) + static_cast<double>(base[i])) +
                  static_cast<double>(options.pre_eps);
        }
    }
    return layer_input_of(options, of, x, z.products, norm_weight);
}

}  // namespace mhc::reference
