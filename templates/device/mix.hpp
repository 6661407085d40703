// mhc/device/mix.hpp -- streams to one row (apply_mix), one row to streams (expand), and both ways (post).
//
// t token, i, j stream, c channel; M[i,j] is the weight of input stream j in output stream i.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

enum class layout { out_in, src_dst };

/// Where M[i,j] is in the stored matrix.
template <layout L, int n>
MHC_DEVICE int place_of_weight(int i, int j)
{
    return L == layout::out_in ? i * n + j : j * n + i;
}
template <layout L, int n>
MHC_DEVICE float weight_of(const float* stored, int i, int j)
{
    return stored[place_of_weight<L, n>(i, j)];
}

/// sum_i pre[i] * x[i, c ... c+W], in the order of i.
template <class Rows, int n, class Data>
MHC_DEVICE typename Rows::lanes weighted_sum(const Data* x, i64 stream, const float* pre, int c)
{
    typename Rows::lanes sums = Rows::load(x, c) * broadcast<Rows::W>(pre[0]);
    for (int i = 1; i < n; ++i) sums = fma<Rows::W>(broadcast<Rows::W>(pre[i]), Rows::load(x + i * stream, c), sums);
    return sums;
}

/// to[t,c] = value(t, c) for a vector at c.
template <class Rows, class Grid, class Data, class Value>
MHC_DEVICE void store_rows(Grid at, Data* to, i64 tokens, Value value)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE { Rows::store(to + t * Rows::C, c, value(t, c)); });
    });
}

/// layer_input[t,c] = sum_i pre[t,i] * x[t,i,c]
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void apply_mix(Grid at, const Data* x, const float* pre, Data* layer_input, i64 tokens, i64 x_token, i64 x_stream,
                          i64 pre_token)
{
    store_rows<Rows>(at, layer_input, tokens, [=](i64 t, int c) MHC_INLINE {
        return weighted_sum<last_read<Rows>, n>(x + t * x_token, x_stream, pre + t * pre_token, c);
    });
}

/// x[t,i,c] = h[t,c]
template <class Rows, int n, class Grid, class Data>
MHC_DEVICE void expand(Grid at, const Data* h, Data* x, i64 tokens, i64 x_token, i64 x_stream)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            const typename Rows::lanes v = last_read<Rows>::load(h + t * Rows::C, c);
            for (int i = 0; i < n; ++i) Rows::store(x + t * x_token + i * x_stream, c, v);
        });
    });
}

/// take(i, out) of every output stream, out = q[i] * y + sum_j M[i,j] x[j,c] for W channels at c, in the order of j.
///
/// Up to 8 streams are held in registers, and all are asked for before the first is used, so that what is taken may be
/// stored in their place; more are read again for each 8 outputs, from cache.
template <class Rows, int n, layout L, class Data, class Take>
MHC_DEVICE void post_vector(typename Rows::lanes y, const Data* x, i64 x_stream, const float* q, const float* mix, int c,
                            Take take)
{
    constexpr int tile = smaller(n, 8);
    constexpr bool fits = n <= tile;
    using lanes = typename Rows::lanes;
    // All as they are stored: a compiler that meets arithmetic between two loads waits for the first before it asks for the
    // second.
    vec<typename storage<Data>::element, Rows::W> xs[tile];
    float factors[tile], weights[fits ? n * n : 1];
    if constexpr (fits) {
#pragma unroll
        for (int j = 0; j < n; ++j) xs[j] = Rows::fetch(x + j * x_stream, c);
#pragma unroll
        for (int i = 0; i < n; ++i) factors[i] = q[i];
#pragma unroll
        for (int e = 0; e < n * n; ++e) weights[e] = mix[e];
        q = factors;
        mix = weights;
    }
    for (int first = 0; first < n; first += tile) {
        lanes sums[tile];
#pragma unroll
        for (int k = 0; k < tile; ++k) sums[k] = y * broadcast<Rows::W>(q[smaller(first + k, n - 1)]);
        auto add = [&](int j, lanes xj) MHC_INLINE {
#pragma unroll
            for (int k = 0; k < tile; ++k) {
                const float weight = weight_of<L, n>(mix, smaller(first + k, n - 1), j);
                sums[k] = fma<Rows::W>(broadcast<Rows::W>(weight), xj, sums[k]);
            }
        };
        if constexpr (fits) {
#pragma unroll
            for (int j = 0; j < n; ++j) add(j, widen<Rows::W>(xs[j], x));
        } else {
            for (int j = 0; j < n; ++j) add(j, Rows::load(x + j * x_stream, c));
        }
#pragma unroll
        for (int k = 0; k < tile; ++k)
            if (first + k < n) take(first + k, sums[k]);
    }
}

/// y[t] + bias, or y[t] where there is no bias. Y: how y's rows are read.
template <class Rows, int WeightAlign, class Y = Rows, class Data, class Weight>
MHC_DEVICE typename Rows::lanes with_bias(const Data* y, const Weight* bias, i64 t, int c)
{
    const typename Rows::lanes row = Y::load(y + t * Rows::C, c);
    return bias ? row + Rows::template load<WeightAlign>(bias, c) : row;
}

/// out[t,i,c] = post[t,i] * (y[t,c] + bias[c]) + sum_j M[t,i,j] * x[t,j,c]; without a bias, that is null, plus 0.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void post(Grid at, const Data* y, const Weight* bias, const Data* x, const float* q, const float* mix, Data* out,
                     i64 tokens, i64 x_token, i64 x_stream, i64 out_token, i64 out_stream, i64 q_token, i64 mix_token)
{
    using y_rows = last_read<Rows>;
    using x_rows = last_read<Rows, n <= 8>;  // more streams are read again
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            post_vector<x_rows, n, L>(with_bias<Rows, WeightAlign, y_rows>(y, bias, t, c), x + t * x_token, x_stream,
                                      q + t * q_token, mix + t * mix_token, c,
                                      [=](int i, typename Rows::lanes sum)
                                          MHC_INLINE { Rows::store(out + t * out_token + i * out_stream, c, sum); });
        });
    });
}

/// layer_input of apply_mix, and out of post where out is not null: a vector of x is read once for both.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void recompute(Grid at, const Data* x, const float* pre, const Data* y, const Weight* bias, const float* q,
                          const float* mix, Data* layer_input, Data* out, i64 tokens, i64 x_token, i64 x_stream,
                          i64 out_token, i64 out_stream, i64 pre_token, i64 q_token, i64 mix_token)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            const Data* row = x + t * x_token;
            Rows::store(layer_input + t * Rows::C, c, weighted_sum<Rows, n>(row, x_stream, pre + t * pre_token, c));
            if (out)
                post_vector<Rows, n, L>(with_bias<Rows, WeightAlign>(y, bias, t, c), row, x_stream, q + t * q_token,
                                        mix + t * mix_token, c, [=](int i, typename Rows::lanes sum) MHC_INLINE {
                                            Rows::store(out + t * out_token + i * out_stream, c, sum);
                                        });
        });
    });
}

/// Streams that post would store, as it would store them: made where they are read, each time again.
template <class Rows, int n, layout L, int WeightAlign, class Data, class Weight>
struct streams_of_post {
    const Data* y;
    const Weight* bias;
    const Data* x;
    const float* q;
    const float* mix;
    i64 x_token, x_stream, q_token, mix_token;

    using lanes = typename Rows::lanes;

    MHC_MEMBER lanes load(i64 t, int i, int c) const
    {
        const float* stored = mix + t * mix_token;
        lanes sum = with_bias<Rows, WeightAlign>(y, bias, t, c) * q[t * q_token + i];
        for (int j = 0; j < n; ++j)
            sum = fma<Rows::W>(splat<Rows::W>(weight_of<L, n>(stored, i, j)), Rows::load(x + t * x_token + j * x_stream, c),
                               sum);
        return rounded_to<Data, Rows::W>(sum);
    }

    /// weighted_sum of them.
    MHC_MEMBER lanes weighted(i64 t, const float* pre, int c) const
    {
        lanes total = splat<Rows::W>(0.0f);
        post_vector<Rows, n, L>(with_bias<Rows, WeightAlign>(y, bias, t, c), x + t * x_token, x_stream, q + t * q_token,
                                mix + t * mix_token, c, [&](int i, lanes sum) MHC_INLINE {
                                    const lanes out = rounded_to<Data, Rows::W>(sum);
                                    total = i == 0 ? out * pre[0] : fma<Rows::W>(splat<Rows::W>(pre[i]), out, total);
                                });
        return total;
    }
};

}  // namespace mhc
