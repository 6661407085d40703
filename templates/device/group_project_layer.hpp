// mhc/device/group_project_layer.hpp -- what the gradient of mHC.cu's layer with coefficients of each token needs of its
// rows before any coefficient is known: they are read once for it and for the projection.
//
//   X[i,j] = x[i] . x[j], i <= j, W[i,j] = (g[i] w) . x[j], G[i,j] = g[i] . x[j]
//
// with g the gradient of out and w the norm's weight. Of coefficients p, q and M, with a = sum_i p_i x_i and
// h = w sum_i q_i g_i, these make a . a, h . a, h . x[j], a . x[j] and g[i] . (a w), of which layer_sums.hpp makes
// gradients.
#pragma once

#include <mhc/device/group_project.hpp>
#include <mhc/device/layer_sums.hpp>

namespace mhc {

/// The gradients of all streams, and a lane's sums of two tokens, in products_of_rows's order.
template <int n, int WeightAlign, class Data, class Weight>
struct gradients_of_streams {
    using order = products_of_rows<n>;
    const Data* at;
    i64 token, stream;
    const Weight* weight;
    static constexpr int rows = n;
    using of_channels = vec<float, 8>;
    MHC_MEMBER of_channels at_channels(int c, bool is_there) const
    {
        return is_there ? load<8, WeightAlign>(weight + c) : splat<8>(0.0f);
    }

    struct sums {
        float of[2][order::count];
        MHC_MEMBER void add(const step_words<n + rows>& words, const of_channels& weight)
        {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                vec<float, 8> x[n], g[n];
#pragma unroll
                for (int i = 0; i < n; ++i) {
                    x[i] = widen_bf16(words.at[i][half]);
                    g[i] = widen_bf16(words.at[n + i][half]);
                }
#pragma unroll
                for (int k = 0; k < 8; ++k) {
#pragma unroll
                    for (int i = 0; i < n; ++i) {
                        const float weighted = g[i][k] * weight[k];
#pragma unroll
                        for (int j = 0; j < n; ++j) {
                            if (i <= j) add(half, order::square(i, j), x[i][k], x[j][k]);
                            add(half, order::weighted(i, j), weighted, x[j][k]);
                            add(half, order::plain(i, j), g[i][k], x[j][k]);
                        }
                    }
                }
            }
        }
        /// Of all lanes of a wave; of a token at `place`.
        MHC_MEMBER void store(float* sqsum, float* to, i64 place, int half, int lane, bool is_there) const
        {
            constexpr int room = ceil_div(order::count + 1, 4) * 4;  // the sum of all squares is the last one
            float all[room] = {};
#pragma unroll
            for (int e = 0; e < order::count; ++e) all[e] = of[half][e];
#pragma unroll
            for (int i = 0; i < n; ++i) all[order::count] += all[order::square(i, i)];
            share_quad_sums(all, lane, [=](int k, float sum) MHC_INLINE {
                const int e = lane % 4 * (room / 4) + k;
                if (!is_there) return;
                if (e < order::count) to[place * order::count + e] = sum;
                if (e == order::count) sqsum[place] = sum;
            });
        }

    private:
        MHC_MEMBER void add(int half, int e, float a, float b) { of[half][e] = fma(a, b, of[half][e]); }
    };
};

}  // namespace mhc
