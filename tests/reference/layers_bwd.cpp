// tests/reference/layers_bwd.cpp -- static_layer_bwd and dynamic_layer_bwd.
#include "tests/reference/coefficients_bwd.hpp"
#include "tests/reference/parallel.hpp"

namespace mhc::reference {
namespace {

/// One set of coefficients for each token, or for all where the strides are 0.
struct layer_coefficients {
    std::vector<double> pre, post, mix;
    bool is_static = false;
};

/// Of every token, whether the coefficients are static or not.
struct data_path_gradients {
    tensor x;
    coefficient_gradients coefficients;
    tensor weight;
};

/// a = sum_i p_i x_i, y = a / rms(a) * weight, out_i = q_i y + sum_j M_ij x_j, backwards.
data_path_gradients data_path_adjoint(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                      const layer_coefficients& with, const float* weight, const strided_rows& d_out)
{
    const std::int64_t n = of.n_streams;
    data_path_gradients found{tensor(of.tokens * of.flat_dim()), gradients_of(of, {}), {}};
    tensor d_weights(of.tokens * of.hidden_dim);
    parallel_for(of.tokens, 6 * n * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::int64_t set = with.is_static ? 0 : t;
            const double* p = with.pre.data() + set * n;
            const streams rows = streams_of(of, x, t);
            const channels a = weighted_streams(of, x, t, p);
            channels y = a;
            rms_normalise(y, norm_eps(options), weight);

            streams d_rows = zero_streams(of);
            const mixing_gradients d = mixing_adjoint(options.layout, y, rows, with.post.data() + set * n,
                                                      with.mix.data() + set * n * n, gradient_streams(of, d_out, t), d_rows);
            channels d_weight(of.hidden_dim);
            const channels d_a = rms_norm_adjoint(a, norm_eps(options), weight, d.y, &d_weight);
            weighted_streams_adjoint(rows, p, d_a, found.coefficients.pre.data() + t * n, d_rows);
            std::copy(d.post.begin(), d.post.end(), found.coefficients.post.begin() + t * n);
            std::copy(d.mix.begin(), d.mix.end(), found.coefficients.mix.begin() + t * n * n);
            store(d_rows, t, found.x);
            store(d_weight, t, d_weights);
        }
    });
    found.weight = sum_of_first_axis(d_weights, of.hidden_dim);
    return found;
}

/// sum over the tokens of [T, width].
numbers over_tokens(const numbers& of_each, std::int64_t width)
{
    numbers sum(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < of_each.size(); ++i) sum[i % sum.size()] += of_each[i];
    return sum;
}

tensor part_of(const numbers& all, std::int64_t first, std::int64_t count)
{
    return tensor_of(numbers(all.begin() + first, all.begin() + first + count));
}

}  // namespace

static_layer_gradients static_layer_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                        const float* h_pre, const float* h_post, const float* h_res, const float* weight,
                                        const strided_rows& d_out)
{
    const std::int64_t n = of.n_streams;
    std::vector<double> z(h_pre, h_pre + n);
    z.insert(z.end(), h_post, h_post + n);
    z.insert(z.end(), h_res, h_res + n * n);
    layer_coefficients with{std::vector<double>(static_cast<std::size_t>(n)),
                            std::vector<double>(static_cast<std::size_t>(n)),
                            std::vector<double>(static_cast<std::size_t>(n * n)), true};
    activate(options, n, z.data(), z.data() + n, z.data() + 2 * n, with.pre.data(), with.post.data(), with.mix.data());

    data_path_gradients d = data_path_adjoint(options, of, x, with, weight, d_out);
    std::vector<double> doubt(z.size());
    const numbers d_z = activation_adjoint(
        options, n, z,
        {over_tokens(d.coefficients.pre, n), over_tokens(d.coefficients.post, n), over_tokens(d.coefficients.mix, n * n)},
        doubt.data());
    tensor d_res = part_of(d_z, 2 * n, n * n);
    d_res.rounding_doubt.assign(doubt.begin() + 2 * n, doubt.end());
    return {std::move(d.x), part_of(d_z, 0, n), part_of(d_z, n, n), std::move(d_res), std::move(d.weight)};
}

dynamic_layer_gradients dynamic_layer_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                          const dynamic_weights& weights, const strided_rows& d_out)
{
    const std::int64_t n = of.n_streams;
    const projection_weights projected = weights_of(weights);
    const std::vector<weight_rows> rows = rows_of(of, projected);
    const projection_sums sums = project_rows(of, x, rows, projected_values::as_they_are);
    coefficients found = coefficients_of(options, of, projected, sums);
    const projected_logits logits = logits_of(options, of, groups_of(of, projected), sums);

    data_path_gradients d = data_path_adjoint(
        options, of, x, {std::move(found.pre), std::move(found.post), std::move(found.mix), false}, weights.weight, d_out);
    const logit_gradients d_logits =
        logits_adjoint(options, of, logits, activation_adjoint(options, n, logits.z, d.coefficients));
    projection_gradients d_phi = projection_adjoint(of, x, rows, nullptr, d_logits.products, d_logits.squares, d.x);
    return {.x = std::move(d.x),
            .phi_pre = std::move(d_phi.weights[0]),
            .phi_post = std::move(d_phi.weights[1]),
            .phi_res = std::move(d_phi.weights[2]),
            .alpha_pre = part_of(d_logits.scale, 0, 1),
            .alpha_post = part_of(d_logits.scale, 1, 1),
            .alpha_res = part_of(d_logits.scale, 2, 1),
            .b_pre = part_of(d_logits.base, 0, n),
            .b_post = part_of(d_logits.base, n, n),
            .b_res = part_of(d_logits.base, 2 * n, n * n),
            .weight = std::move(d.weight)};
}

}  // namespace mhc::reference
