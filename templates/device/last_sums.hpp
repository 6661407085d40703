// mhc/device/last_sums.hpp -- the gradients of all parameters of pre, or of mHC.cu's layer, from sums over tokens.
#pragma once

#include <mhc/device/token_sums.hpp>

namespace mhc {

/// Rows of sums, which are added in their order.
struct last_sums {
    const float* at;
    i64 rows;
};

/// put(o, sum) for the Width columns of `from`, by one work-group: sums of some rows, one after the other, side by side, and
/// then of these in their order.
template <int Width, int Room, class Grid, class Put>
MHC_DEVICE void sum_columns(Grid at, float* shared, last_sums from, Put put)
{
    constexpr int each = 32, together = Room / Width - 1;
    static_assert(together > 0, "totals and sums have room");
    float* const sums = shared + Width;
    for (int o = at.thread(); o < Width; o += Grid::block) shared[o] = 0.0f;
    for (i64 first = 0; first < from.rows; first += together * each) {
        barrier();
        for (int e = at.thread(); e < together * Width; e += Grid::block) {
            const i64 begin = first + e / Width * each, left = from.rows - begin;
            sums[e] = column_sum(from.at + begin * Width, left < each ? left : each, Width, e % Width);
        }
        barrier();
        for (int o = at.thread(); o < Width; o += Grid::block) {
            float total = shared[o];
            for (int k = 0; k < together; ++k) total += sums[k * Width + o];
            shared[o] = total;
        }
    }
    for (int o = at.thread(); o < Width; o += Grid::block) put(o, shared[o]);
}

/// d_fn [rows, K], d_base [rows] and d_scale [scales], each of which may be null, from `fn`, rows of as many numbers as
/// d_fn, and `affine` of rows + scales.
template <int K, int rows, int scales, int Room, class Grid, class Weight>
MHC_DEVICE void finish_pre(Grid at, float* shared, last_sums fn, last_sums affine, Weight* d_fn, float* d_base,
                           float* d_scale, bool adds)
{
    constexpr i64 numbers = i64(rows) * K;
    if (at.group == 0)
        sum_columns<rows + scales, Room>(at, shared, affine, [=](int o, float sum) MHC_INLINE {
            float* const to = o < rows ? d_base : d_scale;
            if (to) store_parameter(to + (o < rows ? o : o - rows), sum, adds);
        });
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
template <int n, int C, int Room, class Grid, class Weight>
MHC_DEVICE void finish_layer(Grid at, float* shared, last_sums phi, last_sums weight, last_sums affine,
                             layer_parameters<Weight> to, bool adds)
{
    constexpr i64 m = 2 * n + n * n, K = i64(n) * C, numbers = m * K;
    const auto put = [=](auto* place, last_sums from, i64 width, i64 column)
                         MHC_INLINE { store_parameter(place, column_sum(from.at, from.rows, width, column), adds); };
    if (at.group == 0)
        sum_columns<m + 3, Room>(at, shared, affine, [=](int o, float sum) MHC_INLINE {
            float* const b = o < n ? to.b_pre + o : o < 2 * n ? to.b_post + (o - n) : to.b_res + (o - 2 * n);
            float* const alpha = o == m ? to.alpha_pre : o == m + 1 ? to.alpha_post : to.alpha_res;
            store_parameter(o < m ? b : alpha, sum, adds);
        });
    for (i64 e = at.group * Grid::block + at.thread(); e < numbers + C; e += at.groups * Grid::block) {
        const i64 c = e - numbers;
        if (c < 0) {
            put(e < n * K       ? to.phi_pre + e
                : e < 2 * n * K ? to.phi_post + (e - n * K)
                                : to.phi_res + (e - 2 * n * K),
                phi, numbers, e);
        } else if (to.weight) {
            put(to.weight + c, weight, C, c);
        }
    }
}

}  // namespace mhc
