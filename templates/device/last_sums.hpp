// mhc/device/last_sums.hpp -- the gradients of all parameters of pre, or of mHC.cu's layer, from sums over tokens.
#pragma once

#include <mhc/device/token_sums.hpp>

namespace mhc {

/// d_base [rows] and d_scale [scales], each of which may be null, from rows of rows + scales numbers. Work-groups
/// share them out.
template <int rows, int scales, class Grid>
MHC_DEVICE void finish_affine(Grid at, float* shared, last_sums from, float* d_base, float* d_scale, bool adds)
{
    sum_columns(at, shared, from, rows + scales, [=](i64 o, float sum) MHC_INLINE {
        float* const to = o < rows ? d_base : d_scale;
        if (to) store_parameter(to + (o < rows ? o : o - rows), sum, adds);
    });
}

/// The same, and d_fn [rows, K], which may be null too, from `fn`, rows of as many numbers.
template <int K, int rows, int scales, class Grid, class Weight>
MHC_DEVICE void finish_pre(Grid at, float* shared, last_sums fn, last_sums affine, Weight* d_fn, float* d_base,
                           float* d_scale, bool adds)
{
    constexpr i64 numbers = i64(rows) * K;
    finish_affine<rows, scales>(at, shared, affine, d_base, d_scale, adds);
    if (d_fn) finish_vector(at, fn.at, fn.rows, numbers, 0, d_fn, numbers, adds);
}

/// Where those of a layer go: of phi [n, n*C], [n, n*C] and [n*n, n*C], of the norm's weight [C], which may be null, and of
/// b and alpha.
template <class Weight>
struct layer_parameters {
    Weight *phi_pre, *phi_post, *phi_res, *weight;
    float *b_pre, *b_post, *b_res, *alpha_pre, *alpha_post, *alpha_res;
};

/// `phi` has rows of m * n * C numbers, m = 2 n + n * n, `weight` of C, and `affine` of m for b and three for alpha.
template <int n, int C, class Grid, class Weight>
MHC_DEVICE void finish_layer(Grid at, float* shared, last_sums phi, last_sums weight, last_sums affine,
                             layer_parameters<Weight> to, bool adds)
{
    constexpr i64 m = 2 * n + n * n, K = i64(n) * C, numbers = m * K;
    sum_columns(at, shared, affine, m + 3, [=](i64 o, float sum) MHC_INLINE {
        float* const b = o < n ? to.b_pre + o : o < 2 * n ? to.b_post + (o - n) : to.b_res + (o - 2 * n);
        float* const alpha = o == m ? to.alpha_pre : o == m + 1 ? to.alpha_post : to.alpha_res;
        store_parameter(o < m ? b : alpha, sum, adds);
    });
    if (to.weight)
        sum_columns(at, shared, weight, C, [=](i64 c, float sum) MHC_INLINE { store_parameter(to.weight + c, sum, adds); });
    for (i64 e = at.group * Grid::block + at.thread(); e < numbers; e += at.groups * Grid::block) {
        Weight* const place = e < n * K       ? to.phi_pre + e
                              : e < 2 * n * K ? to.phi_post + (e - n * K)
                                              : to.phi_res + (e - 2 * n * K);
        store_parameter(place, column_sum(phi.at, phi.rows, numbers, e), adds);
    }
}

}  // namespace mhc
