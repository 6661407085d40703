// tests/reference/layers.cpp -- pre_fwd, static_layer_fwd and dynamic_layer_fwd.
#include <algorithm>
#include <cmath>

#include "tests/reference/coefficients.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/reference/parallel.hpp"
#include "tests/reference/reference.hpp"
#include "tests/reference/streams.hpp"

namespace mhc::reference {
namespace {

/// Rounds v to bf16 and returns what each element may differ by, when v is known to an error of `error[c]`.
std::vector<double> round_to_bf16(channels& v, const std::vector<double>& error)
{
    std::vector<double> doubt(v.value.size());
    for (std::size_t c = 0; c < v.value.size(); ++c) {
        doubt[c] = bf16_rounding_doubt(v.value[c], error[c]);
        v.value[c] = rounded_to_bf16(v.value[c]);
    }
    return doubt;
}

/// The error that float32 sums may have: the element bound of fp32 outputs, applied to an intermediate.
std::vector<double> fp32_error(const channels& v, double bound)
{
    const double scale = root_mean_square(v.value, 0);
    std::vector<double> error(v.value.size());
    for (std::size_t c = 0; c < error.size(); ++c) error[c] = 4 * 0x1p-24 * v.terms[c] + bound * scale;
    return error;
}

/// The layer's own "F": a = sum_i p_i x_i, y = a / rms(a) * weight.
struct branch {
    channels y;
    std::vector<double> doubt;  ///< of y, where reference_rounding rounds
};

branch normalised_branch(const jit::layer_options& options, const shape& of, const strided_rows& x, std::int64_t token,
                         const double* p, const float* weight, double bound)
{
    channels a = weighted_streams(of, x, token, p);
    if (!options.reference_rounding) {
        rms_normalise(a, norm_eps(options), weight);
        return {std::move(a), {}};
    }
    const std::vector<double> a_doubt = round_to_bf16(a, fp32_error(a, bound));
    const double rms = rms_normalise(a, norm_eps(options), weight);
    std::vector<double> y_error = fp32_error(a, bound);
    for (std::size_t c = 0; c < y_error.size(); ++c)
        y_error[c] += a_doubt[c] / rms * std::abs(static_cast<double>(weight[c]));
    std::vector<double> y_doubt = round_to_bf16(a, y_error);
    return {std::move(a), std::move(y_doubt)};
}

/// out_i = q_i y + sum_j M_ij x_j of one token.
void write_token(jit::mix_layout layout, const shape& of, const strided_rows& x, std::int64_t token, const branch& f,
                 const double* q, const double* stored_mix, tensor& out)
{
    const std::int64_t n = of.n_streams;
    const std::vector<double> m = mixing_matrix(layout, n, stored_mix);
    for (std::int64_t i = 0; i < n; ++i) {
        const channels sum = weighted_streams(of, x, token, m.data() + i * n);
        const auto row = static_cast<std::size_t>((token * n + i) * of.hidden_dim);
        for (std::size_t c = 0; c < sum.value.size(); ++c) {
            out.value[row + c] = sum.value[c] + q[i] * f.y.value[c];
            out.terms[row + c] = sum.terms[c] + std::abs(q[i]) * f.y.terms[c];
            if (!f.doubt.empty()) out.rounding_doubt[row + c] = std::abs(q[i]) * f.doubt[c];
        }
    }
}

tensor layer_output(const jit::layer_options& options, const shape& of)
{
    tensor out(of.tokens * of.flat_dim());
    if (options.reference_rounding) out.rounding_doubt.resize(out.value.size());
    return out;
}

}  // namespace

pre_result pre_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                   const float* scale, const float* base, const float* norm_weight, const float* fn_norm_weight)
{
    coefficients found = projected_coefficients(options, of, x, weights_of(of, fn, scale, base, fn_norm_weight), false);
    tensor layer_input = layer_input_of(options, of, x, found.pre, norm_weight);
    return {std::move(layer_input), of_one_sign(std::move(found.pre)), of_one_sign(std::move(found.post)),
            of_one_sign(std::move(found.mix))};
}

tensor static_layer_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* h_pre,
                        const float* h_post, const float* h_res, const float* weight)
{
    const std::int64_t n = of.n_streams;
    std::vector<double> p(static_cast<std::size_t>(n)), q(p), mix(static_cast<std::size_t>(n * n));
    activate(options, n, std::vector<double>(h_pre, h_pre + n).data(), std::vector<double>(h_post, h_post + n).data(),
             std::vector<double>(h_res, h_res + n * n).data(), p.data(), q.data(), mix.data());

    tensor out = layer_output(options, of);
    parallel_for(of.tokens, n * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const branch f = normalised_branch(options, of, x, t, p.data(), weight, fp32_bound(of.flat_dim()));
            write_token(options.layout, of, x, t, f, q.data(), mix.data(), out);
        }
    });
    return out;
}

projection_weights weights_of(const dynamic_weights& weights)
{
    return {.pre = weights.phi_pre,
            .post = weights.phi_post,
            .res = weights.phi_res,
            .scale_pre = static_cast<double>(*weights.alpha_pre),
            .scale_post = static_cast<double>(*weights.alpha_post),
            .scale_res = static_cast<double>(*weights.alpha_res),
            .base_pre = weights.b_pre,
            .base_post = weights.b_post,
            .base_res = weights.b_res};
}

tensor dynamic_layer_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                         const dynamic_weights& weights)
{
    const std::int64_t n = of.n_streams;
    const coefficients found = projected_coefficients(options, of, x, weights_of(weights), options.reference_rounding);

    const double bound = projected_bound(options.arithmetic, of.flat_dim());
    tensor out = layer_output(options, of);
    parallel_for(of.tokens, n * of.flat_dim(), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            const branch f = normalised_branch(options, of, x, t, found.pre.data() + t * n, weights.weight, bound);
            write_token(options.layout, of, x, t, f, found.post.data() + t * n, found.mix.data() + t * n * n, out);
        }
    });
    return out;
}

}  // namespace mhc::reference
