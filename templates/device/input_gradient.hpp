// mhc/device/input_gradient.hpp -- the gradient of the streams where they are read more than once: mixed, summed, projected.
//
// d_x[i] = sum of the parts that there are:
//   mix         sum_o M[o,i] g[o]            g the gradient of out
//   sum         p[i] * d_a                   d_a the gradient of a = sum_i p_i x_i
//   projection  sum_r d_proj[r] fn[r,i] + 2 d_sqsum x[i]
#pragma once

#include <mhc/device/norm_gradient.hpp>
#include <mhc/device/project.hpp>
#include <mhc/device/token_sums.hpp>

namespace mhc {

/// Which parts there are. The sum's d_a comes from the gradient of a row [T, C], or, inside a layer, from q and g; through a
/// norm or not.
template <bool HasMix_, bool HasSum_, bool HasNorm_, bool HasProjection_>
struct gradient_parts {
    static constexpr bool mix = HasMix_, sum = HasSum_, norm = HasNorm_, projection = HasProjection_;
};

/// What the parts read; those that are not there are null.
template <class Data, class Weight, class Matrix>
struct gradient_sources {
    const Data* x;
    const Data* d_out;  ///< g; without a mix a gradient that d_x is to have besides, or null
    const Data* d_row;  ///< gradient of the row that the sum of streams became
    const float* p;     ///< of token t at t * coefficients_token; so q and M
    const float* q;
    const float* mix;
    const float* norm;     ///< e0, e1 of each token
    const Weight* weight;  ///< of the norm
    const float* d_proj;   ///< [S, T, fn_rows]
    const float* d_sqsum;  ///< [S, T]
    Matrix fn;
    int fn_rows, splits;
    i64 x_token, x_stream, g_token, g_stream, coefficients_token;
};

/// Tokens whose weight gradients one lane adds up before they are stored.
constexpr int tokens_of_weight_sum = 8;

/// body(s, first, end, c) for the s-th 8 tokens, which are those from first to end, and a lane's W channels at c. A work
/// item is 8 tokens and a chunk.
template <class Rows, class Grid, class Body>
MHC_DEVICE void for_each_slice(Grid at, i64 tokens, Body body)
{
    constexpr int each = tokens_of_weight_sum;
    const i64 items = ceil_div_long(tokens, each) * Rows::chunks;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int begin = int(item % Rows::chunks) * Rows::chunk;
        const i64 slice = item / Rows::chunks, first = slice * each, end = first + each < tokens ? first + each : tokens;
        for_each_vector<Rows>(at, begin, smaller(begin + Rows::chunk, Rows::C),
                              [=](int c) MHC_INLINE { body(slice, first, end, c); });
    }
}

/// d_a of W channels at c of token t, and what the weight of the norm gets from it where `is_live`, added to `weight_sum`.
template <class Parts, class Rows, int n, int WeightAlign, class Data, class Weight, class Matrix>
MHC_DEVICE typename Rows::lanes sum_gradient(const gradient_sources<Data, Weight, Matrix>& from, i64 t, int c, bool is_live,
                                             typename Rows::lanes& weight_sum)
{
    constexpr int W = Rows::W;
    using lanes = typename Rows::lanes;
    lanes h = splat<W>(0.0f);
    if constexpr (Parts::mix)
        h = weighted_sum<Rows, n>(from.d_out + t * from.g_token, from.g_stream, from.q + t * from.coefficients_token, c);
    else
        h = Rows::load(from.d_row + t * Rows::C, c);
    if constexpr (Parts::norm) {
        const lanes a =
            weighted_sum<Rows, n>(from.x + t * from.x_token, from.x_stream, from.p + t * from.coefficients_token, c);
        const float e0 = from.norm[2 * t], e1 = from.norm[2 * t + 1];
        if (is_live) weight_sum = fma<W>(h * e0, a, weight_sum);
        h = fma<W>(a, splat<W>(-e1), h * weight_at<Rows, WeightAlign>(from.weight, c) * e0);
    }
    return h;
}

/// One tile of tokens and W channels at c: d_x, and what the weight of the norm gets from it, added to `weight_sum`.
template <class Parts, class Rows, int n, layout L, int TileTokens, int WeightAlign, class Out, class Data, class Weight,
          class Matrix>
MHC_DEVICE void tile_gradient(const gradient_sources<Data, Weight, Matrix>& from, Out* d_x, i64 d_x_token, i64 d_x_stream,
                              i64 first, i64 tokens, i64 valid, int c, bool adds, typename Rows::lanes& weight_sum)
{
    constexpr int W = Rows::W;
    using lanes = typename Rows::lanes;
    const i64 split = Parts::projection ? split_of<Rows>(c, from.splits) * tokens : 0;
    lanes d_a[TileTokens];
    if constexpr (Parts::sum) {
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            const i64 t = first + k < valid ? first + k : valid - 1;
            d_a[k] = sum_gradient<Parts, Rows, n, WeightAlign>(from, t, c, first + k < valid, weight_sum);
        }
    }
    for (int i = 0; i < n; ++i) {
        lanes sums[TileTokens];
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            const i64 t = first + k < valid ? first + k : valid - 1;
            sums[k] = splat<W>(0.0f);
            if constexpr (!Parts::mix) {
                if (from.d_out) sums[k] = Rows::load(from.d_out + t * from.g_token + i * from.g_stream, c);
            } else {
                const float* mix = from.mix + t * from.coefficients_token;
                for (int o = 0; o < n; ++o)
                    sums[k] = fma<W>(splat<W>(weight_of<L, n>(mix, o, i)),
                                     Rows::load(from.d_out + t * from.g_token + o * from.g_stream, c), sums[k]);
            }
            if constexpr (Parts::sum) sums[k] = fma<W>(splat<W>(from.p[t * from.coefficients_token + i]), d_a[k], sums[k]);
            if constexpr (Parts::projection)
                sums[k] = fma<W>(splat<W>(2.0f * from.d_sqsum[split + t]),
                                 Rows::load(from.x + t * from.x_token + i * from.x_stream, c), sums[k]);
        }
        if constexpr (Parts::projection) {
            for (int r = 0; r < from.fn_rows; ++r) {
                const lanes f = Rows::template load<WeightAlign>(from.fn.row(r) + i * Rows::C, c);
#pragma unroll
                for (int k = 0; k < TileTokens; ++k) {
                    const i64 t = first + k < valid ? first + k : valid - 1;
                    sums[k] = fma<W>(splat<W>(from.d_proj[(split + t) * from.fn_rows + r]), f, sums[k]);
                }
            }
        }
#pragma unroll
        for (int k = 0; k < TileTokens; ++k)
            if (first + k < valid) store_gradient<Rows>(d_x + (first + k) * d_x_token + i * d_x_stream, c, sums[k], adds);
    }
}

/// d_x, and weight_sums[s, c]: what the norm's weight gets from the s-th 8 tokens. Of all `tokens` the first `valid` are
/// read and written.
template <class Parts, class Rows, int n, layout L, int TileTokens, int WeightAlign, class Grid, class Out, class Data,
          class Weight, class Matrix>
MHC_DEVICE void input_gradient(Grid at, const gradient_sources<Data, Weight, Matrix>& from, Out* d_x, float* weight_sums,
                               i64 tokens, i64 valid, i64 d_x_token, i64 d_x_stream, bool adds)
{
    static_assert(tokens_of_weight_sum % TileTokens == 0, "whole tiles");
    const gradient_sources<Data, Weight, Matrix> copy = from;
    for_each_slice<Rows>(at, valid, [=](i64 slice, i64 first, i64 end, int c) MHC_INLINE {
        typename Rows::lanes weight_sum = splat<Rows::W>(0.0f);
        for (i64 t = first; t < end; t += TileTokens)
            tile_gradient<Parts, Rows, n, L, TileTokens, WeightAlign>(copy, d_x, d_x_token, d_x_stream, t, tokens, valid, c,
                                                                      adds, weight_sum);
        if constexpr (Parts::norm) Rows::store(weight_sums + slice * Rows::C, c, weight_sum);
    });
}

/// d_a alone [T, C], and weight_sums as input_gradient has them.
template <class Parts, class Rows, int n, int WeightAlign, class Grid, class Data, class Weight, class Matrix>
MHC_DEVICE void row_gradient(Grid at, const gradient_sources<Data, Weight, Matrix>& from, float* d_a, float* weight_sums,
                             i64 valid)
{
    const gradient_sources<Data, Weight, Matrix> copy = from;
    for_each_slice<Rows>(at, valid, [=](i64 slice, i64 first, i64 end, int c) MHC_INLINE {
        typename Rows::lanes weight_sum = splat<Rows::W>(0.0f);
        for (i64 t = first; t < end; ++t)
            Rows::store(d_a + t * Rows::C, c, sum_gradient<Parts, Rows, n, WeightAlign>(copy, t, c, true, weight_sum));
        Rows::store(weight_sums + slice * Rows::C, c, weight_sum);
    });
}

/// d_x of rmsnorm, with what weight gets from every 8 tokens: norm[t] = e0, e1.
template <class Rows, int WeightAlign, class Grid, class Data, class Weight, class Gradient>
MHC_DEVICE void rmsnorm_gradient(Grid at, const Data* x, const Weight* weight, const Gradient* d_y, const float* norm,
                                 Data* d_x, float* weight_sums, i64 tokens, bool adds)
{
    constexpr int W = Rows::W;
    using lanes = typename Rows::lanes;
    for_each_slice<Rows>(at, tokens, [=](i64 slice, i64 first, i64 end, int c) MHC_INLINE {
        lanes weight_sum = splat<W>(0.0f);
        const lanes w = weight_at<Rows, WeightAlign>(weight, c);
        for (i64 t = first; t < end; ++t) {
            const lanes a = Rows::load(x + t * Rows::C, c), h = Rows::load(d_y + t * Rows::C, c) * norm[2 * t];
            weight_sum = fma<W>(h, a, weight_sum);
            store_gradient<Rows>(d_x + t * Rows::C, c, fma<W>(a, splat<W>(-norm[2 * t + 1]), h * w), adds);
        }
        Rows::store(weight_sums + slice * Rows::C, c, weight_sum);
    });
}

/// sums[s, c]: what the bias of post gets from the s-th 8 tokens, sum_t sum_i q[t,i] g[t,i,c], the sum over i being d_y
/// before it is rounded.
template <class Rows, int n, class Grid, class Gradient>
MHC_DEVICE void bias_sums(Grid at, const float* q, const Gradient* d_out, float* sums, i64 tokens, i64 g_token, i64 g_stream,
                          i64 q_token)
{
    for_each_slice<Rows>(at, tokens, [=](i64 slice, i64 first, i64 end, int c) MHC_INLINE {
        typename Rows::lanes total = splat<Rows::W>(0.0f);
        for (i64 t = first; t < end; ++t)
            total = total + weighted_sum<Rows, n>(d_out + t * g_token, g_stream, q + t * q_token, c);
        Rows::store(sums + slice * Rows::C, c, total);
    });
}

}  // namespace mhc
