// mhc/device/layer_sums.hpp -- gradients of the coefficients of mHC.cu's layer, and what those through its norm need of a
// token, from products of its rows that were made before there were coefficients (group_project_layer.hpp).
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/norm_gradient.hpp>

namespace mhc {

/// A token's products, of its streams x, the gradients g of their outputs and the norm's weight w: x[i] . x[j] for i <= j,
/// (g[i] w) . x[j] and g[i] . x[j].
template <int n>
struct products_of_rows {
    static constexpr int pairs = n * (n + 1) / 2, count = pairs + 2 * n * n;
    static constexpr MHC_MEMBER int square(int i, int j) { return i <= j ? j * (j + 1) / 2 + i : i * (i + 1) / 2 + j; }
    static constexpr MHC_MEMBER int weighted(int i, int j) { return pairs + i * n + j; }
    static constexpr MHC_MEMBER int plain(int i, int j) { return pairs + n * n + i * n + j; }
};

/// Of one token, with its coefficients p [n], q [n]: a = sum_i p_i x_i, h = w sum_i q_i g_i. a . a is rounded as numbers of
/// the size of sum_ij p_i p_j |x_i| |x_j| are: of streams that cancel each other in a it has fewer digits than a sum of a^2.
template <int n>
struct layer_token {
    using order = products_of_rows<n>;
    const float *products, *p;

    MHC_MEMBER float a_x(int j) const
    {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < n; ++i) sum = fma(p[i], products[order::square(i, j)], sum);
        return sum;
    }
    MHC_MEMBER float h_x(int j) const
    {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < n; ++i) sum = fma(p[n + i], products[order::weighted(i, j)], sum);
        return sum;
    }
    template <int C>
    MHC_MEMBER norm_terms terms(float eps) const
    {
        float squares = 0.0f, of_h = 0.0f;
#pragma unroll
        for (int j = 0; j < n; ++j) {
            squares = fma(p[j], a_x(j), squares);
            of_h = fma(p[j], h_x(j), of_h);
        }
        return norm_terms_of<C>(larger(squares, 0.0f), of_h, eps);
    }
    /// The gradient of its e-th coefficient, of p, q and the matrix as it is stored.
    template <layout L>
    MHC_MEMBER float gradient(int e, norm_terms of_norm) const
    {
        if (e < n) return fma(of_norm.e0, h_x(e), -of_norm.e1 * a_x(e));
        if (e < 2 * n) {
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < n; ++j) sum = fma(p[j], products[order::weighted(e - n, j)], sum);
            return of_norm.e0 * sum;
        }
        const int row = (e - 2 * n) / n, column = (e - 2 * n) % n;
        return products[L == layout::out_in ? order::plain(row, column) : order::plain(column, row)];
    }
};

}  // namespace mhc
