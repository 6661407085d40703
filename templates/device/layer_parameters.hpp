// mhc/device/layer_parameters.hpp -- the gradients of the parameters of mHC.cu's layer, from sums over tokens.
#pragma once

#include <mhc/device/token_sums.hpp>

namespace mhc {

/// Where they go: those of phi [n, n*C], [n, n*C] and [n*n, n*C], of the norm's weight [C], which may be null, and of b and
/// alpha.
template <class Weight>
struct layer_parameters {
    Weight *phi_pre, *phi_post, *phi_res, *weight;
    float *b_pre, *b_post, *b_res, *alpha_pre, *alpha_post, *alpha_res;
};

/// Rows of sums, which are added in their order.
struct last_sums {
    const float* at;
    i64 rows;
};

/// `phi` has rows of m * n * C numbers, m = 2 n + n * n, `weight` of C, and `affine` of m for b and three for alpha.
template <int n, int C, class Grid, class Weight>
MHC_DEVICE void finish_layer(Grid at, last_sums phi, last_sums weight, last_sums affine, layer_parameters<Weight> to,
                             bool adds)
{
    constexpr i64 m = 2 * n + n * n, K = i64(n) * C, numbers = m * K;
    const auto put = [=](auto* place, last_sums from, i64 width, i64 column)
                         MHC_INLINE { store_parameter(place, column_sum(from.at, from.rows, width, column), adds); };
    for (i64 e = at.group * Grid::block + at.thread(); e < numbers + C + m + 3; e += at.groups * Grid::block) {
        const i64 c = e - numbers, o = c - C;
        if (c < 0) {
            put(e < n * K       ? to.phi_pre + e
                : e < 2 * n * K ? to.phi_post + (e - n * K)
                                : to.phi_res + (e - 2 * n * K),
                phi, numbers, e);
        } else if (o < 0) {
            if (to.weight) put(to.weight + c, weight, C, c);
        } else if (o < m) {
            put(o < n ? to.b_pre + o : o < 2 * n ? to.b_post + (o - n) : to.b_res + (o - 2 * n), affine, m + 3, o);
        } else {
            put(o == m ? to.alpha_pre : o == m + 1 ? to.alpha_post : to.alpha_res, affine, m + 3, o);
        }
    }
}

}  // namespace mhc
