// tests/reference/rmsnorm_matmul.cpp -- an RMS norm and the projection after it, forward and backward.
#include "tests/reference/adjoints.hpp"
#include "tests/reference/parallel.hpp"

namespace mhc::reference {
namespace {

std::vector<channels> rows_of(const float* matrix, std::int64_t rows, std::int64_t columns)
{
    std::vector<channels> all;
    for (std::int64_t r = 0; r < rows; ++r) all.push_back(exact_channels(matrix + r * columns, columns));
    return all;
}

/// x / rms * norm_weight of every token.
std::vector<channels> normalised(const jit::layer_options& options, const shape& of, const float* x,
                                 const float* norm_weight)
{
    std::vector<channels> all = rows_of(x, of.tokens, of.hidden_dim);
    for (channels& row : all) rms_normalise(row, norm_eps(options), norm_weight);
    return all;
}

}  // namespace

rmsnorm_result rmsnorm_matmul_fwd(const jit::layer_options& options, const shape& of, const float* x,
                                  const float* norm_weight, const float* weight, std::int64_t columns)
{
    rmsnorm_result found{tensor(of.tokens * columns), rmsnorm_fwd(options, of, x, norm_weight).rms};
    const std::vector<channels> v = normalised(options, of, x, norm_weight);
    const std::vector<channels> rows = rows_of(weight, columns, of.hidden_dim);
    parallel_for(columns, 2 * of.tokens * of.hidden_dim, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) {
            for (std::int64_t t = 0; t < of.tokens; ++t)
                put(found.y, t * columns + o, dot(v[static_cast<std::size_t>(t)], rows[static_cast<std::size_t>(o)]));
        }
    });
    return found;
}

rmsnorm_matmul_gradients rmsnorm_matmul_bwd(const jit::layer_options& options, const shape& of, const float* x,
                                            const float* norm_weight, const float* weight, std::int64_t columns,
                                            const float* d_y, const float* d_rms)
{
    const std::int64_t size = of.hidden_dim;
    const numbers d_products = numbers_of(d_y, of.tokens * columns);
    const auto d_product = [&](std::int64_t t, std::int64_t o) {
        return d_products[static_cast<std::size_t>(t * columns + o)];
    };
    const std::vector<channels> v = normalised(options, of, x, norm_weight), rows = rows_of(weight, columns, size);

    rmsnorm_matmul_gradients found{tensor(of.tokens * size), {}, tensor(columns * size)};
    tensor d_norm_weights(of.tokens * size);
    parallel_for(of.tokens, 2 * columns * size, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t t = begin; t < end; ++t) {
            channels d_v(size), d_norm_weight(size);
            for (std::int64_t o = 0; o < columns; ++o) add_scaled(d_product(t, o), rows[static_cast<std::size_t>(o)], d_v);
            const channels row = exact_channels(x + t * size, size);
            channels d_x = rms_norm_adjoint(row, norm_eps(options), norm_weight, d_v, &d_norm_weight);
            if (d_rms != nullptr) add_scaled(rms_adjoint(row, norm_eps(options), d_rms[t]), row, d_x);
            store(d_x, t, found.x);
            store(d_norm_weight, t, d_norm_weights);
        }
    });
    parallel_for(columns, 2 * of.tokens * size, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) {
            channels d_row(size);
            for (std::int64_t t = 0; t < of.tokens; ++t) add_scaled(d_product(t, o), v[static_cast<std::size_t>(t)], d_row);
            store(d_row, o, found.weight);
        }
    });
    if (norm_weight != nullptr) found.norm_weight = sum_of_first_axis(d_norm_weights, size);
    return found;
}

}  // namespace mhc::reference
