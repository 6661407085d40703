// mhc/device/mix_gradient.hpp -- gradients of expand, apply_mix and post. g is the gradient of an output.
#pragma once

#include <mhc/device/mix.hpp>
#include <mhc/device/products.hpp>

namespace mhc {

/// d_h[t,c] = sum_i d_x[t,i,c]
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void expand_gradient(Grid at, const Data* d_x, Data* d_h, i64 tokens, i64 x_token, i64 x_stream)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            const Data* row = d_x + t * x_token;
            typename Rows::lanes sums = Rows::load(row, c);
            for (int i = 1; i < n; ++i) sums = sums + Rows::load(row + i * x_stream, c);
            Rows::store(d_h + t * Rows::C, c, sums);
        });
    });
}

/// d_x[t,i] = pre[t,i] * g[t]; d_pre[t,i] = g[t] . x[t,i]. A static pre (token stride 0) has its gradient in `rows` for the
/// time being, [T, n], to be summed over the tokens.
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void apply_mix_gradient(Grid at, float* shared, const Data* x, const float* pre, const Data* d_layer_input,
                                   Data* d_x, float* d_pre, float* rows, i64 tokens, i64 x_token, i64 x_stream,
                                   i64 d_x_token, i64 d_x_stream, i64 pre_token, bool adds)
{
    constexpr int tile = smaller(n, 8);
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const float* p = pre + t * pre_token;
        float* const to = (pre_token == 0 ? rows : d_pre) + t * n;
        for (int first = 0; first < n; first += tile) {
            const float* products = channel_sums<tile, Rows>(at, shared, [=](int c, auto& sums) MHC_INLINE {
                const typename Rows::lanes g = Rows::load(d_layer_input + t * Rows::C, c);
#pragma unroll
                for (int k = 0; k < tile; ++k) {
                    const int i = smaller(first + k, n - 1);
                    sums[k] = add_products(sums[k], g, Rows::load(x + t * x_token + i * x_stream, c));
                    if (first + k < n) store_gradient<Rows>(d_x + t * d_x_token + i * d_x_stream, c, g * p[i], adds);
                }
            });
            for (int k = at.thread(); k < tile; k += Grid::block)
                if (first + k < n) to[first + k] = products[k];
        }
    }
}

/// d_x[j] = sum_i M[i,j] g[i] and d_y = sum_i q[i] g[i] for W channels at c, in the order of i; d_y where it is not null.
template <class Rows, int n, layout L, class Gradient, class Data>
MHC_DEVICE void store_mix_gradient(const Gradient* g, i64 g_stream, const float* q, const float* mix, Data* d_x,
                                   i64 d_x_stream, Data* d_y, int c, bool adds)
{
    using lanes = typename Rows::lanes;
    constexpr int tile = smaller(n, 8);
    for (int first = 0; first < n; first += tile) {
        lanes sums[tile], y = splat<Rows::W>(0.0f);
#pragma unroll
        for (int k = 0; k < tile; ++k) sums[k] = splat<Rows::W>(0.0f);
        for (int i = 0; i < n; ++i) {
            const lanes gi = Rows::load(g + i * g_stream, c);
            y = fma<Rows::W>(splat<Rows::W>(q[i]), gi, y);
#pragma unroll
            for (int k = 0; k < tile; ++k) {
                const float weight = weight_of<L, n>(mix, i, smaller(first + k, n - 1));
                sums[k] = fma<Rows::W>(splat<Rows::W>(weight), gi, sums[k]);
            }
        }
#pragma unroll
        for (int k = 0; k < tile; ++k)
            if (first + k < n) store_gradient<Rows>(d_x + (first + k) * d_x_stream, c, sums[k], adds);
        if (first == 0 && d_y) Rows::store(d_y, c, y);
    }
}

/// How many of the (n outputs) x (n inputs and y) inner products are made at once.
template <int n>
struct product_tile {
    static constexpr int outputs = smaller(n, 4), inputs = smaller(n + 1, 5), count = outputs * inputs;
};

/// d_mix[i,j] = g[i] . x[j] as the matrix is stored, and d_q[i] = g[i] . y, of one token; y(c) gives W channels. `also(c)`
/// is called once for each vector of channels, so that what else is made of the rows reads them while they are near.
template <class Rows, int n, layout L, class Grid, class Gradient, class Data, class Y, class Also>
MHC_DEVICE void mix_products(Grid at, float* shared, const Gradient* g, i64 g_stream, const Data* x, i64 x_stream, Y y,
                             float* d_q, float* d_mix, Also also)
{
    using tile = product_tile<n>;
    using lanes = typename Rows::lanes;
    for (int i0 = 0; i0 < n; i0 += tile::outputs) {
        for (int j0 = 0; j0 <= n; j0 += tile::inputs) {
            const float* products = channel_sums<tile::count, Rows>(at, shared, [=](int c, auto& sums) MHC_INLINE {
                lanes gs[tile::outputs];
#pragma unroll
                for (int a = 0; a < tile::outputs; ++a) gs[a] = Rows::load(g + smaller(i0 + a, n - 1) * g_stream, c);
#pragma unroll
                for (int b = 0; b < tile::inputs; ++b) {
                    const int j = j0 + b;
                    const lanes in = j < n ? Rows::load(x + j * x_stream, c) : y(c);
#pragma unroll
                    for (int a = 0; a < tile::outputs; ++a)
                        sums[a * tile::inputs + b] = add_products(sums[a * tile::inputs + b], gs[a], in);
                }
                if (i0 == 0 && j0 == 0) also(c);
            });
            for (int e = at.thread(); e < tile::count; e += Grid::block) {
                const int i = i0 + e / tile::inputs, j = j0 + e % tile::inputs;
                if (i >= n || j > n) continue;
                if (j == n)
                    d_q[i] = products[e];
                else
                    d_mix[L == layout::out_in ? i * n + j : j * n + i] = products[e];
            }
        }
    }
}

/// Gradients of out[t,i] = q[t,i] (y[t] + bias) + sum_j M[t,i,j] x[t,j]; a null bias is none. Those of static q and M (token
/// stride 0) are in `rows` for the time being, [T, n + n*n], to be summed over the tokens.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Data, class Weight, class Gradient>
MHC_DEVICE void post_gradient(Grid at, float* shared, const Data* y, const Weight* bias, const Data* x, const float* q,
                              const float* mix, const Gradient* d_out, Data* d_y, Data* d_x, float* d_q, float* d_mix,
                              float* rows, i64 tokens, i64 x_token, i64 x_stream, i64 g_token, i64 g_stream, i64 d_x_token,
                              i64 d_x_stream, i64 q_token, i64 mix_token, bool adds)
{
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const Gradient* g = d_out + t * g_token;
        float* const row = rows + t * (n + n * n);
        mix_products<Rows, n, L>(
            at, shared, g, g_stream, x + t * x_token, x_stream,
            [=](int c) MHC_INLINE {
                const typename Rows::lanes row = Rows::load(y + t * Rows::C, c);
                return bias ? row + Rows::template load<WeightAlign>(bias, c) : row;
            },
            q_token == 0 ? row : d_q + t * n, mix_token == 0 ? row + n : d_mix + t * (n * n),
            [=](int c) MHC_INLINE {
                store_mix_gradient<Rows, n, L>(g, g_stream, q + t * q_token, mix + t * mix_token, d_x + t * d_x_token,
                                               d_x_stream, d_y + t * Rows::C, c, adds);
            });
    }
}

}  // namespace mhc
