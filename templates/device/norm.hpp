// mhc/device/norm.hpp -- RMS norms over the channels: of a row, of a layer input, and inside mHC.cu's layer.
//
// The norm reads the float value, not what is stored; a row is computed twice (for its sum of squares, then for its
// result), the second time from cache, unless lanes have registers to keep it.
#pragma once

#include <mhc/device/mix.hpp>
#include <mhc/device/rows.hpp>

namespace mhc {

/// sqrt(mean_c(a(c)^2) + eps), in every lane.
template <class Rows, class Grid, class Value>
MHC_DEVICE float root_mean_square(Grid at, float* slice_sums, float eps, Value a)
{
    const float squares = channel_sum<Rows>(at, slice_sums, [=](int c) MHC_INLINE {
        const typename Rows::lanes v = a(c);
        return v * v;
    });
    return square_root(squares * (1.0f / Rows::C) + eps);
}

/// body(t) for each token of this work-group.
template <class Grid, class Body>
MHC_DEVICE void for_each_token(Grid at, i64 tokens, Body body)
{
    for (i64 t = at.group; t < tokens; t += at.groups) body(t);
}

/// rms[t] = sqrt(mean(x[t]^2) + eps); y[t,c] = x[t,c] / rms[t] * weight[c]
template <class Rows, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void rmsnorm(Grid at, float* slice_sums, const Data* x, const Weight* weight, Data* y, float* rms, i64 tokens,
                        float eps)
{
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        const Data* row = x + t * Rows::C;
        const float root = root_mean_square<Rows>(at, slice_sums, eps, [=](int c) MHC_INLINE { return Rows::load(row, c); });
        const float scale = 1.0f / root;
        for_each_vector<Rows>(at, 0, Rows::C, [=](int c) MHC_INLINE {
            typename Rows::lanes v = Rows::load(row, c) * scale;
            if (weight) v = v * Rows::template load<WeightAlign>(weight, c);
            Rows::store(y + t * Rows::C, c, v);
        });
        if (at.thread() == 0) rms[t] = root;
    });
}

/// sqrt(mean_c(a(c)^2) + eps), in every lane, then take(c, a(c), 1 / that) for each of this lane's vectors, with a wave for
/// each slice: fill(own, a) makes a lane's vectors, zeros past the row's end, once.
template <class Rows, class Grid, class Fill, class Take>
MHC_DEVICE float normalise_in_registers(Grid at, float* slice_sums, float eps, Fill fill, Take take)
{
    using vectors = own_vectors<Rows, Grid>;
    vectors own(at);
    own.first = made_here(own.first);
    typename Rows::lanes a[vectors::count], squares[vectors::count];
    fill(own, a);
#pragma unroll
    for (int k = 0; k < vectors::count; ++k) squares[k] = a[k] * a[k];
    const float root = square_root(own_channel_sum<Rows>(at, slice_sums, squares) * (1.0f / Rows::C) + eps);
    const float scale = 1.0f / root;
#pragma unroll
    for (int k = 0; k < vectors::count; ++k)
        if (own.has(k)) take(own.channel(k), a[k], scale);
    return root;
}

/// rmsnorm with a wave for each slice: x is read once.
template <class Rows, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void rmsnorm_in_registers(Grid at, float* slice_sums, const Data* x, const Weight* weight, Data* y, float* rms,
                                     i64 tokens, float eps)
{
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        const Data* const row = x + t * Rows::C;
        const float root = normalise_in_registers<Rows>(
            at, slice_sums, eps,
            [=](own_vectors<Rows, Grid> own, auto& v) MHC_INLINE {
#pragma unroll
                for (int k = 0; k < own.count; ++k)
                    v[k] = own.has(k) ? last_read<Rows>::load(row, own.channel(k)) : splat<Rows::W>(0.0f);
            },
            [=](int c, typename Rows::lanes v, float scale) MHC_INLINE {
                v = v * scale;
                if (weight) v = v * Rows::template load<WeightAlign>(weight, c);
                Rows::store(y + t * Rows::C, c, v);
            });
        if (at.thread() == 0) rms[t] = root;
    });
}

/// to[t] = a / sqrt(mean(a^2) + eps) * weight with a = value(t, c)
template <class Rows, int WeightAlign, class Grid, class Data, class Weight, class Value>
MHC_DEVICE void store_normalised(Grid at, float* slice_sums, const Weight* weight, Data* to, i64 tokens, float eps,
                                 Value value)
{
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        auto a = [=](int c) MHC_INLINE { return value(t, c); };
        const float scale = 1.0f / root_mean_square<Rows>(at, slice_sums, eps, a);
        for_each_vector<Rows>(at, 0, Rows::C, [=](int c) MHC_INLINE {
            Rows::store(to + t * Rows::C, c, a(c) * scale * Rows::template load<WeightAlign>(weight, c));
        });
    });
}

/// a = sum_i pre[t,i] * x[t,i]; layer_input[t] = a / sqrt(mean(a^2) + eps) * weight
template <class Rows, int n, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void apply_mix_norm(Grid at, float* slice_sums, const Data* x, const float* pre, const Weight* weight,
                               Data* layer_input, i64 tokens, i64 x_token, i64 x_stream, i64 pre_token, float eps)
{
    store_normalised<Rows, WeightAlign>(at, slice_sums, weight, layer_input, tokens, eps, [=](i64 t, int c) MHC_INLINE {
        return weighted_sum<Rows, n>(x + t * x_token, x_stream, pre + t * pre_token, c);
    });
}

/// A lane's vectors of sum_i pre[i] * x[i]. Those of up to 4 streams are all asked for before the first is used.
template <class Rows, int n, class Data, class Own, class Lanes>
MHC_DEVICE void weighted_sums(Own own, Lanes& a, const Data* x, i64 stream, const float* pre)
{
    using read = last_read<Rows>;
    constexpr int W = Rows::W, count = Own::count;
    if constexpr (n <= 4) {
        vec<typename storage<Data>::element, W> xs[count][n] = {};
#pragma unroll
        for (int k = 0; k < count; ++k) {
#pragma unroll
            for (int i = 0; i < n; ++i)
                if (own.has(k)) xs[k][i] = read::fetch(x + i * stream, own.channel(k));
        }
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const typename Rows::lanes by = broadcast<W>(load_uniform(pre + i));
#pragma unroll
            for (int k = 0; k < count; ++k)
                a[k] = i == 0 ? widen<W>(xs[k][i], x) * by : fma<W>(by, widen<W>(xs[k][i], x), a[k]);
        }
    } else {
#pragma unroll
        for (int k = 0; k < count; ++k)
            a[k] = own.has(k) ? weighted_sum<read, n>(x, stream, pre, own.channel(k)) : splat<W>(0.0f);
    }
}

/// apply_mix_norm with a wave for each slice: x is read once.
template <class Rows, int n, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void apply_mix_norm_in_registers(Grid at, float* slice_sums, const Data* x, const float* pre,
                                            const Weight* weight, Data* layer_input, i64 tokens, i64 x_token, i64 x_stream,
                                            i64 pre_token, float eps)
{
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        normalise_in_registers<Rows>(
            at, slice_sums, eps,
            [=](own_vectors<Rows, Grid> own, auto& a)
                MHC_INLINE { weighted_sums<Rows, n>(own, a, x + t * x_token, x_stream, pre + t * pre_token); },
            [=](int c, typename Rows::lanes a, float scale) MHC_INLINE {
                Rows::store(layer_input + t * Rows::C, c, a * scale * Rows::template load<WeightAlign>(weight, c));
            });
    });
}

/// a = sum_i p_i x[t,i]; y = a / sqrt(mean(a^2) + eps) * weight; out[t,i] = q_i y + sum_j M[i,j] x[t,j].
/// `coefficients` holds p [n], q [n] and the stored matrix [n,n] of token t at t * coefficients_token.
/// RoundAsReference: a and y pass through bf16, as mHC.cu stores them.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void layer(Grid at, float* slice_sums, const Data* x, const float* coefficients, const Weight* weight, Data* out,
                      i64 tokens, i64 x_token, i64 x_stream, i64 out_token, i64 out_stream, i64 coefficients_token,
                      float eps)
{
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        const Data* row = x + t * x_token;
        const float* p = coefficients + t * coefficients_token;
        auto a = [=](int c) MHC_INLINE {
            const typename Rows::lanes v = weighted_sum<Rows, n>(row, x_stream, p, c);
            return RoundAsReference ? rounded_to<bf16, Rows::W>(v) : v;
        };
        const float scale = 1.0f / root_mean_square<Rows>(at, slice_sums, eps, a);
        for_each_vector<Rows>(at, 0, Rows::C, [=](int c) MHC_INLINE {
            typename Rows::lanes y = a(c) * scale * Rows::template load<WeightAlign>(weight, c);
            if (RoundAsReference) y = rounded_to<bf16, Rows::W>(y);
            post_vector<Rows, n, L>(y, row, x_stream, p + n, p + 2 * n, c, [=](int i, typename Rows::lanes sum) MHC_INLINE {
                Rows::store(out + t * out_token + i * out_stream, c, sum);
            });
        });
    });
}

/// The same with a wave for each slice: a lane keeps its vectors of x in registers, so that x is read once.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void layer_in_registers(Grid at, float* slice_sums, const Data* x, const float* coefficients,
                                   const Weight* weight, Data* out, i64 tokens, i64 x_token, i64 x_stream, i64 out_token,
                                   i64 out_stream, i64 coefficients_token, float eps)
{
    constexpr int W = Rows::W, count = own_vectors<Rows, Grid>::count;
    using lanes = typename Rows::lanes;
    for_each_token(at, tokens, [=](i64 t) MHC_INLINE {
        own_vectors<Rows, Grid> own(at);
        own.first = made_here(own.first);
        const Data* const row = x + t * x_token;
        const float* const p = coefficients + t * coefficients_token;
        const float* const q = p + n;
        const float* const mix = q + n;
        lanes xs[count][n], a[count], squares[count];
#pragma unroll
        for (int k = 0; k < count; ++k) {
#pragma unroll
            for (int j = 0; j < n; ++j)
                xs[k][j] = own.has(k) ? last_read<Rows>::load(row + j * x_stream, own.channel(k)) : splat<W>(0.0f);
        }
#pragma unroll
        for (int j = 0; j < n; ++j) {
            const lanes by = broadcast<W>(load_uniform(p + j));
#pragma unroll
            for (int k = 0; k < count; ++k) a[k] = j == 0 ? xs[k][0] * by : fma<W>(by, xs[k][j], a[k]);
        }
#pragma unroll
        for (int k = 0; k < count; ++k) {
            if (RoundAsReference) a[k] = rounded_to<bf16, W>(a[k]);
            squares[k] = own.has(k) ? a[k] * a[k] : splat<W>(0.0f);
        }
        const float total = own_channel_sum<Rows>(at, slice_sums, squares);
        const lanes scale = broadcast<W>(1.0f / square_root(total * (1.0f / Rows::C) + eps));
#pragma unroll
        for (int k = 0; k < count; ++k) {
            if (own.has(k)) a[k] = a[k] * scale * Rows::template load<WeightAlign>(weight, own.channel(k));
            if (RoundAsReference) a[k] = rounded_to<bf16, W>(a[k]);
        }
#pragma unroll
        for (int i = 0; i < n; ++i) {
#pragma unroll
            for (int k = 0; k < count; ++k) {  // one sum after the other: side by side they want registers that waves need
                lanes sum = a[k] * broadcast<W>(load_uniform(q + i));
#pragma unroll
                for (int j = 0; j < n; ++j)
                    sum = fma<W>(broadcast<W>(load_uniform(mix + place_of_weight<L, n>(i, j))), xs[k][j], sum);
                if (own.has(k)) Rows::store(out + t * out_token + i * out_stream, own.channel(k), sum);
            }
        }
    });
}

}  // namespace mhc
