// tests/reference/stages_bwd.cpp -- the backward of pre_fwd's stages.
#include "tests/reference/coefficients_bwd.hpp"

namespace mhc::reference {
namespace {

projected_logits logits_of(const jit::layer_options& options, const shape& of, const split_projection& from,
                           const float* scale, const float* base)
{
    return logits_of(options, of, groups_of(of, weights_of(of, nullptr, scale, base)), added_splits(of, from));
}

coefficients_gradients tensors_of(const logit_gradients& d)
{
    return {tensor_of(d.products), tensor_of(d.squares), tensor_of(d.scale), tensor_of(d.base)};
}

}  // namespace

pre_project_gradients pre_project_bwd(const shape& of, const strided_rows& x, const float* fn, std::int64_t rows,
                                      const float* d_proj, const float* d_sqsum, const float* fn_norm_weight)
{
    pre_project_gradients found;
    found.x = tensor(of.tokens * of.flat_dim());
    projection_gradients projected = projection_adjoint(
        of, x, {{fn, rows}}, fn_norm_weight, numbers_of(d_proj, of.tokens * rows), numbers_of(d_sqsum, of.tokens), found.x);
    found.fn = std::move(projected.weights.front());
    found.fn_norm_weight = std::move(projected.fn_norm_weight);
    return found;
}

coefficients_gradients split_mixes_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                       const float* scale, const float* base, const float* d_pre, const float* d_post,
                                       const float* d_logits)
{
    const projected_logits logits = logits_of(options, of, from, scale, base);
    // The logits of the matrix are what a Sinkhorn of no steps from the matrix itself returns.
    jit::layer_options without = options;
    without.start = jit::sinkhorn_start::identity;
    without.sinkhorn_iters = 0;
    const numbers d_z =
        activation_adjoint(without, of.n_streams, logits.z, gradients_of(of, {nullptr, d_pre, d_post, d_logits}));
    return tensors_of(logits_adjoint(options, of, logits, d_z));
}

coefficients_gradients coeffs_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                  const float* scale, const float* base, const float* d_pre, const float* d_post,
                                  const float* d_mix)
{
    const projected_logits logits = logits_of(options, of, from, scale, base);
    const numbers d_z =
        activation_adjoint(options, of.n_streams, logits.z, gradients_of(of, {nullptr, d_pre, d_post, d_mix}));
    return tensors_of(logits_adjoint(options, of, logits, d_z));
}

big_fuse_gradients pre_big_fuse_bwd(const jit::layer_options& options, const shape& of, const split_projection& from,
                                    const strided_rows& x, const float* scale, const float* base, const float* norm_weight,
                                    const pre_outputs& d)
{
    const projected_logits logits = logits_of(options, of, from, scale, base);
    coefficient_gradients d_coefficients = gradients_of(of, d);
    big_fuse_gradients found;
    found.x = tensor(of.tokens * of.flat_dim());
    found.norm_weight = layer_input_adjoint(options, of, x, pre_of(options, of, logits), norm_weight, d.layer_input,
                                            d_coefficients.pre, found.x);
    const numbers d_z = activation_adjoint(options, of.n_streams, logits.z, d_coefficients);
    found.coefficients = tensors_of(logits_adjoint(options, of, logits, d_z));
    return found;
}

}  // namespace mhc::reference
