// mhc/device/fn_order.hpp -- fn as a projection reads it, [rows, K] in float, from fn as the caller has it; and its gradient
// back.
//
// K = n*C. The caller's fn is [rows, K], or in the order phi [K, rows]; a norm's weight [K] on the streams is as good as
// multiplied into every row, since it does not change their sum of squares.
#pragma once

#include <mhc/device/token_sums.hpp>

namespace mhc {

enum class fn_order { fn, phi };

/// Where fn[r, k] is.
template <fn_order O>
MHC_DEVICE i64 place_in_fn(i64 r, i64 k, i64 fn_rows, i64 K)
{
    return O == fn_order::fn ? r * K + k : k * fn_rows + r;
}

/// to[r, k] = fn[r, k] * norm[k]; a null norm is ones. A work item is a row, a stream and a chunk of channels.
template <class Rows, int n, fn_order O, int WeightAlign, class Grid, class Weight>
MHC_DEVICE void arrange_fn(Grid at, const Weight* fn, const Weight* norm, float* to, i64 fn_rows)
{
    constexpr i64 K = i64(n) * Rows::C;
    const i64 items = fn_rows * (n * Rows::chunks);
    for (i64 item = at.group; item < items; item += at.groups) {
        const int begin = int(item % Rows::chunks) * Rows::chunk, i = int(item / Rows::chunks % n);
        const i64 r = item / (n * Rows::chunks), stream = i64(i) * Rows::C;
        for_each_vector<Rows>(at, begin, smaller(begin + Rows::chunk, Rows::C), [=](int c) MHC_INLINE {
            typename Rows::lanes v = splat<Rows::W>(0.0f);
            if constexpr (O == fn_order::fn) {
                v = Rows::template load<WeightAlign>(fn + r * K + stream, c);
            } else {
#pragma unroll
                for (int j = 0; j < Rows::W; ++j)
                    if (c + j < Rows::C)
                        v[j] = load<1, int(sizeof(Weight))>(fn + place_in_fn<O>(r, stream + c + j, fn_rows, K))[0];
            }
            if (norm) v = v * Rows::template load<WeightAlign>(norm + stream, c);
            Rows::store(to + r * K + stream, c, v);
        });
    }
}

/// d_fn and d_norm, where they are not null, from the gradient G of what `arrange_fn` made: the sum of `count` rows of
/// [fn_rows, K]. d_fn[r, k] = G[r, k] * norm[k], in fn's order; d_norm[k] = sum_r G[r, k] * fn[r, k], in the order of r.
/// Lanes share k. No rows, nothing read, zeros.
template <int K, fn_order O, class Grid, class Weight>
MHC_DEVICE void finish_fn(Grid at, const float* totals, i64 count, const Weight* fn, const Weight* norm, Weight* d_fn,
                          Weight* d_norm, i64 fn_rows, bool adds)
{
    auto number = [](const Weight* from) MHC_INLINE { return load<1, int(sizeof(Weight))>(from)[0]; };
    for (i64 k = at.group * Grid::block + at.thread(); k < K; k += at.groups * Grid::block) {
        const float weight = norm && count > 0 ? number(norm + k) : 1.0f;
        float total = 0.0f;
        for (i64 r = 0; r < fn_rows; ++r) {
            const float g = column_sum(totals, count, fn_rows * K, r * K + k);
            const i64 place = place_in_fn<O>(r, k, fn_rows, K);
            if (d_norm && count > 0) total = fma(g, number(fn + place), total);
            if (d_fn) store_parameter(d_fn + place, g * weight, adds);
        }
        if (d_norm) store_parameter(d_norm + k, total, adds);
    }
}

}  // namespace mhc
