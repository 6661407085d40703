// tests/reference/fused.cpp -- operators made of others: broadcast_pre, delayed_pre, post_head and multilayer_recompute;
// and layer_input in fp8.
#include <algorithm>
#include <cmath>

#include "tests/reference/coefficients.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/reference/number.hpp"
#include "tests/reference/streams.hpp"

namespace mhc::reference {
namespace {

/// A result as `type` stores it.
std::vector<float> stored_as(jit::dtype type, const tensor& from)
{
    std::vector<float> stored(from.value.size());
    std::transform(from.value.begin(), from.value.end(), stored.begin(), [type](double v) {
        if (type == jit::dtype::fp32) return static_cast<float>(v);
        return static_cast<float>(type == jit::dtype::bf16 ? rounded_to_bf16(v) : rounded_to_fp16(v));
    });
    return stored;
}

strided_rows dense_rows(const shape& of, const float* rows) { return {rows, of.flat_dim(), of.hidden_dim}; }

}  // namespace

pre_result broadcast_pre_fwd(const jit::layer_options& options, const shape& of, const float* x, const float* fn,
                             const float* scale, const float* base, const float* norm_weight, const float* fn_norm_weight)
{
    return pre_fwd(options, of, {x, of.hidden_dim, 0}, fn, scale, base, norm_weight, fn_norm_weight);
}

pre_result delayed_pre_fwd(const jit::layer_options& options, const shape& of, const strided_rows& x,
                           const token_rows& previous_pre, const float* fn, const float* scale, const float* base,
                           const float* norm_weight, const float* fn_norm_weight)
{
    coefficients found = projected_coefficients(options, of, x, weights_of(of, fn, scale, base, fn_norm_weight), false);
    return {layer_input_of(options, of, x, widened(of, previous_pre, of.n_streams), norm_weight),
            of_one_sign(std::move(found.pre)), of_one_sign(std::move(found.post)), of_one_sign(std::move(found.mix))};
}

tensor post_head_fwd(const jit::layer_options& options, const shape& of, jit::dtype out_type, const float* y,
                     const strided_rows& x, const token_rows& post, const token_rows& mix, const float* fn,
                     const float* scale, const float* base, const float* norm_weight, const float* bias,
                     const float* fn_norm_weight)
{
    const std::vector<float> out = stored_as(out_type, post_fwd(options.layout, of, y, x, post, mix, bias));
    return head_fwd(options, of, dense_rows(of, out.data()), fn, scale, base, norm_weight, fn_norm_weight);
}

quantised quantised_e4m3(const shape& of, const tensor& layer_input, std::int64_t block, double relative)
{
    const std::int64_t width = block == 0 ? of.hidden_dim : block;
    const std::int64_t blocks = (of.hidden_dim + width - 1) / width;
    const double error_of_all = relative * root_mean_square(layer_input.value, 0);
    quantised found{layer_input, tensor(of.tokens * blocks)};
    found.layer_input.rounding_doubt.resize(layer_input.value.size());
    for (std::int64_t i = 0; i < of.tokens * blocks; ++i) {
        const std::int64_t first_channel = i % blocks * width;
        const auto begin = static_cast<std::size_t>(i / blocks * of.hidden_dim + first_channel);
        const std::size_t end = begin + static_cast<std::size_t>(std::min(width, of.hidden_dim - first_channel));
        number largest = static_cast<double>(quantised_floor);
        for (std::size_t c = begin; c < end; ++c) {
            const number element = {std::abs(layer_input.value[c]), layer_input.terms[c]};
            if (element.value > largest.value) largest = element;
        }
        const double scale = largest.value / 448;
        put(found.scale, i, {scale, largest.terms / 448});
        for (std::size_t c = begin; c < end; ++c) {
            const double q = layer_input.value[c] / scale;
            // The element's own error, and that of the scale, which is one of these errors too.
            const double error = 4 * 0x1p-24 * (layer_input.terms[c] + std::abs(q) / 448 * largest.terms) +
                                 error_of_all * (1 + std::abs(q) / 448);
            found.layer_input.value[c] = rounded_to_e4m3(q) * scale;
            found.layer_input.rounding_doubt[c] = e4m3_rounding_doubt(q, error / scale) * scale;
        }
    }
    return found;
}

std::vector<recomputed> multilayer_recompute(jit::mix_layout layout, const shape& of, jit::dtype type, const strided_rows& x,
                                             const std::vector<recompute_layer>& layers)
{
    std::vector<recomputed> all;
    std::vector<float> stored;
    strided_rows rows = x;
    for (const recompute_layer& layer : layers) {
        recomputed found{apply_mix_fwd(of, rows, layer.pre), {}};
        if (layer.y != nullptr) {
            found.out = post_fwd(layout, of, layer.y, rows, layer.post, layer.mix, layer.bias);
            stored = stored_as(type, found.out);
            rows = dense_rows(of, stored.data());
        }
        all.push_back(std::move(found));
    }
    return all;
}

}  // namespace mhc::reference
