// tests/reference/pre_bwd.cpp -- pre_bwd and what differs from it little: head, broadcast_pre, delayed_pre, and
// post_pre and post_head, where post_bwd follows.
#include "tests/reference/coefficients_bwd.hpp"

namespace mhc::reference {
namespace {

/// What is projected, and the gradients of what is made of it.
struct projected_operands {
    std::vector<weight_rows> weights;
    std::vector<logit_group> groups;
    const float *norm_weight = nullptr, *fn_norm_weight = nullptr;
};

/// Operands of pre_fwd.
projected_operands operands_of(const shape& of, const float* fn, const float* scale, const float* base,
                               const float* norm_weight, const float* fn_norm_weight)
{
    return {{{fn, of.coefficients()}}, groups_of(of, weights_of(of, fn, scale, base)), norm_weight, fn_norm_weight};
}

/// Gradients of everything but layer_input's own path, which found.x and d.pre hold already.
void add_projected(const jit::layer_options& options, const shape& of, const strided_rows& x, const projected_operands& from,
                   const projected_logits& logits, const coefficient_gradients& d, pre_gradients& found)
{
    const logit_gradients d_logits =
        logits_adjoint(options, of, logits, activation_adjoint(options, of.n_streams, logits.z, d));
    projection_gradients projected =
        projection_adjoint(of, x, from.weights, from.fn_norm_weight, d_logits.products, d_logits.squares, found.x);
    found.fn = std::move(projected.weights.front());
    found.fn_norm_weight = std::move(projected.fn_norm_weight);
    found.scale = tensor_of(d_logits.scale);
    found.base = tensor_of(d_logits.base);
}

projected_logits projected(const jit::layer_options& options, const shape& of, const strided_rows& x,
                           const projected_operands& from)
{
    return logits_of(options, of, from.groups,
                     project_rows(of, x, from.weights, projected_values::as_they_are, from.fn_norm_weight));
}

/// x to coefficients and layer_input, backwards; a head has no d.post and d.mix.
pre_gradients projected_adjoint(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                const projected_operands& from, const float* d_layer_input, coefficient_gradients d)
{
    const projected_logits logits = projected(options, of, x, from);
    pre_gradients found;
    found.x = tensor(of.tokens * of.flat_dim());
    found.norm_weight =
        layer_input_adjoint(options, of, x, pre_of(options, of, logits), from.norm_weight, d_layer_input, d.pre, found.x);
    add_projected(options, of, x, from, logits, d, found);
    return found;
}

/// post_bwd, where `next` is the backward of what read its result.
post_pre_gradients with_post(const jit::layer_options& options, const shape& of, const float* y, const strided_rows& x,
                             const token_rows& post, const token_rows& mix, const float* bias, pre_gradients next)
{
    post_gradients first = post_adjoint(options.layout, of, y, x, post, mix, bias, [&](std::int64_t t) {
        streams rows = zero_streams(of);
        add_rows(next.x, t, rows);
        return rows;
    });
    return {std::move(first), std::move(next)};
}

}  // namespace

pre_gradients pre_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                      const float* scale, const float* base, const float* norm_weight, const pre_outputs& d,
                      const float* fn_norm_weight)
{
    return projected_adjoint(options, of, x, operands_of(of, fn, scale, base, norm_weight, fn_norm_weight), d.layer_input,
                             gradients_of(of, d));
}

pre_gradients head_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x, const float* fn,
                       const float* scale, const float* base, const float* norm_weight, const float* d_layer_input,
                       const float* fn_norm_weight)
{
    const std::int64_t n = of.n_streams;
    const projected_operands from{{{fn, n}}, {{n, static_cast<double>(*scale), base}}, norm_weight, fn_norm_weight};
    return projected_adjoint(options, of, x, from, d_layer_input, {numbers_of(nullptr, of.tokens * n), {}, {}});
}

post_pre_gradients post_pre_bwd(const jit::layer_options& options, const shape& of, const float* y, const strided_rows& x,
                                const token_rows& post, const token_rows& mix, const strided_rows& out, const float* fn,
                                const float* scale, const float* base, const float* norm_weight, const strided_rows& d_out,
                                const pre_outputs& d_next, const float* bias, const float* fn_norm_weight)
{
    pre_gradients next = pre_bwd(options, of, out, fn, scale, base, norm_weight, d_next, fn_norm_weight);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        streams whole = gradient_streams(of, d_out, t);
        add_rows(next.x, t, whole);
        store(whole, t, next.x);
    }
    return with_post(options, of, y, x, post, mix, bias, std::move(next));
}

post_pre_gradients post_head_bwd(const jit::layer_options& options, const shape& of, const float* y, const strided_rows& x,
                                 const token_rows& post, const token_rows& mix, const strided_rows& out, const float* fn,
                                 const float* scale, const float* base, const float* norm_weight, const float* d_layer_input,
                                 const float* bias, const float* fn_norm_weight)
{
    return with_post(options, of, y, x, post, mix, bias,
                     head_bwd(options, of, out, fn, scale, base, norm_weight, d_layer_input, fn_norm_weight));
}

pre_gradients broadcast_pre_bwd(const jit::layer_options& options, const shape& of, const float* x, const float* fn,
                                const float* scale, const float* base, const float* norm_weight, const pre_outputs& d,
                                const float* fn_norm_weight)
{
    pre_gradients found = pre_bwd(options, of, {x, of.hidden_dim, 0}, fn, scale, base, norm_weight, d, fn_norm_weight);
    tensor d_x(of.tokens * of.hidden_dim);
    for (std::int64_t t = 0; t < of.tokens; ++t) {
        streams rows = zero_streams(of);
        add_rows(found.x, t, rows);
        for (std::size_t i = 1; i < rows.size(); ++i) add_scaled(number(1), rows[i], rows.front());
        store(rows.front(), t, d_x);
    }
    found.x = std::move(d_x);
    return found;
}

delayed_pre_gradients delayed_pre_bwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                                      const token_rows& previous_pre, const float* fn, const float* scale, const float* base,
                                      const float* norm_weight, const pre_outputs& d, const float* fn_norm_weight)
{
    const std::int64_t n = of.n_streams;
    const projected_operands from = operands_of(of, fn, scale, base, norm_weight, fn_norm_weight);
    delayed_pre_gradients found;
    found.pre.x = tensor(of.tokens * of.flat_dim());
    numbers d_previous(static_cast<std::size_t>(of.tokens * n));
    found.pre.norm_weight = layer_input_adjoint(options, of, x, widened(of, previous_pre, n), norm_weight, d.layer_input,
                                                d_previous, found.pre.x);
    found.previous_pre = of_coefficients(tensor_of(d_previous), previous_pre, n);
    add_projected(options, of, x, from, projected(options, of, x, from), gradients_of(of, d), found.pre);
    return found;
}

}  // namespace mhc::reference
