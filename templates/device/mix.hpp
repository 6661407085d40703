// mhc/device/mix.hpp -- streams to one row (apply_mix), one row to streams (expand), and both ways (post).
//
// t token, i, j stream, c channel; M[i,j] is the weight of input stream j in output stream i.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

enum class layout { out_in, src_dst };

/// M[i,j] in the stored matrix.
template <layout L, int n>
MHC_DEVICE float weight_of(const float* stored, int i, int j)
{
    return L == layout::out_in ? stored[i * n + j] : stored[j * n + i];
}

/// sum_i pre[i] * x[i, c ... c+W], in the order of i.
template <class Rows, int n, class Data>
MHC_DEVICE typename Rows::lanes weighted_sum(const Data* x, i64 stream, const float* pre, int c)
{
    typename Rows::lanes sums = Rows::load(x, c) * pre[0];
    for (int i = 1; i < n; ++i) sums = fma<Rows::W>(splat<Rows::W>(pre[i]), Rows::load(x + i * stream, c), sums);
    return sums;
}

/// layer_input[t,c] = sum_i pre[t,i] * x[t,i,c]
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void apply_mix(Grid at, const Data* x, const float* pre, Data* layer_input, i64 tokens, i64 x_token, i64 x_stream,
                          i64 pre_token)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            Rows::store(layer_input + t * Rows::C, c,
                        weighted_sum<Rows, n>(x + t * x_token, x_stream, pre + t * pre_token, c));
        });
    });
}

/// x[t,i,c] = h[t,c]
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void expand(Grid at, const Data* h, Data* x, i64 tokens, i64 x_token, i64 x_stream)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            const typename Rows::lanes v = Rows::load(h + t * Rows::C, c);
            for (int i = 0; i < n; ++i) Rows::store(x + t * x_token + i * x_stream, c, v);
        });
    });
}

/// out[i,c] = q[i] * y + sum_j M[i,j] x[j,c] for W channels at c, in the order of j.
///
/// Up to 8 streams are held in registers, and all are asked for before the first is used, so that `out` may be `x`; more are
/// read again for each 8 outputs, from cache.
template <class Rows, int n, layout L, class Data>
MHC_DEVICE void post_vector(typename Rows::lanes y, const Data* x, i64 x_stream, const float* q, const float* mix, Data* out,
                            i64 out_stream, int c)
{
    constexpr int tile = smaller(n, 8);
    constexpr bool fits = n <= tile;
    using lanes = typename Rows::lanes;
    lanes xs[tile];
    if constexpr (fits) {
#pragma unroll
        for (int j = 0; j < n; ++j) xs[j] = Rows::load(x + j * x_stream, c);
    }
    for (int first = 0; first < n; first += tile) {
        lanes sums[tile];
#pragma unroll
        for (int k = 0; k < tile; ++k) sums[k] = y * q[smaller(first + k, n - 1)];
        auto add = [&](int j, lanes xj) MHC_INLINE {
#pragma unroll
            for (int k = 0; k < tile; ++k) {
                const float weight = weight_of<L, n>(mix, smaller(first + k, n - 1), j);
                sums[k] = fma<Rows::W>(splat<Rows::W>(weight), xj, sums[k]);
            }
        };
        if constexpr (fits) {
#pragma unroll
            for (int j = 0; j < n; ++j) add(j, xs[j]);
        } else {
            for (int j = 0; j < n; ++j) add(j, Rows::load(x + j * x_stream, c));
        }
#pragma unroll
        for (int k = 0; k < tile; ++k)
            if (first + k < n) Rows::store(out + (first + k) * out_stream, c, sums[k]);
    }
}

/// out[t,i,c] = post[t,i] * (y[t,c] + bias[c]) + sum_j M[t,i,j] * x[t,j,c]; without a bias, that is null, plus 0.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void post(Grid at, const Data* y, const Weight* bias, const Data* x, const float* q, const float* mix, Data* out,
                     i64 tokens, i64 x_token, i64 x_stream, i64 out_token, i64 out_stream, i64 q_token, i64 mix_token)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            typename Rows::lanes sum = Rows::load(y + t * Rows::C, c);
            if (bias) sum = sum + Rows::template load<WeightAlign>(bias, c);
            post_vector<Rows, n, L>(sum, x + t * x_token, x_stream, q + t * q_token, mix + t * mix_token,
                                    out + t * out_token, out_stream, c);
        });
    });
}

}  // namespace mhc
