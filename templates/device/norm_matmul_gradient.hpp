// mhc/device/norm_matmul_gradient.hpp -- the matrix products of the gradient of rmsnorm_matmul.
//
// y[t] = v[t] . weight^T with v[t] = x[t] * norm[2t] * norm_weight. A sum is cut in slices of a fixed length, each summed in
// order, and slices are added in order: a sum over thousands of rows stays near its exact value, and its bits depend on no
// grid.
#pragma once

#include <mhc/device/input_gradient.hpp>

namespace mhc {

/// d_row[t,c] = sum_o d_y[t,o] * weight[o,c]: the gradient of v.
template <class Rows, int WeightAlign, int TileTokens, int RowsPerSum, class Grid, class Data, class Weight>
MHC_DEVICE void matmul_input_gradient(Grid at, const Weight* weight, const Data* d_y, float* d_row, i64 rows, i64 tokens)
{
    using lanes = typename Rows::lanes;
    const i64 items = ceil_div_long(tokens, TileTokens) * Rows::chunks;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int begin = int(item % Rows::chunks) * Rows::chunk;
        const i64 first_token = item / Rows::chunks * TileTokens;
        for_each_vector<Rows>(at, begin, smaller(begin + Rows::chunk, Rows::C), [=](int c) MHC_INLINE {
            lanes totals[TileTokens];
#pragma unroll
            for (int k = 0; k < TileTokens; ++k) totals[k] = splat<Rows::W>(0.0f);
            for (i64 first = 0; first < rows; first += RowsPerSum) {
                lanes sums[TileTokens];
#pragma unroll
                for (int k = 0; k < TileTokens; ++k) sums[k] = splat<Rows::W>(0.0f);
                const i64 end = first + RowsPerSum < rows ? first + RowsPerSum : rows;
                for (i64 o = first; o < end; ++o) {
                    const lanes f = Rows::template load<WeightAlign>(weight + o * Rows::C, c);
#pragma unroll
                    for (int k = 0; k < TileTokens; ++k) {
                        const i64 t = first_token + k < tokens ? first_token + k : tokens - 1;
                        const float g = load<1, int(sizeof(Data))>(d_y + t * rows + o)[0];
                        sums[k] = fma<Rows::W>(splat<Rows::W>(g), f, sums[k]);
                    }
                }
#pragma unroll
                for (int k = 0; k < TileTokens; ++k) totals[k] = totals[k] + sums[k];
            }
#pragma unroll
            for (int k = 0; k < TileTokens; ++k)
                if (first_token + k < tokens) Rows::store(d_row + (first_token + k) * Rows::C, c, totals[k]);
        });
    }
}

/// d_weight[o,c] = norm_weight[c] * sum_t d_y[t,o] * x[t,c] * norm[2t]; norm_weight may be null. `Weights` are the rows of
/// the weight.
template <class Rows, class Weights, int TileRows, int TokensPerSum, class Grid, class Data, class Weight>
MHC_DEVICE void matmul_weight_gradient(Grid at, const Data* x, const Weight* norm_weight, const float* norm, const Data* d_y,
                                       Weight* d_weight, i64 rows, i64 tokens, bool adds)
{
    using lanes = typename Rows::lanes;
    const i64 items = ceil_div_long(rows, TileRows) * Rows::chunks;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int begin = int(item % Rows::chunks) * Rows::chunk;
        const i64 first_row = item / Rows::chunks * TileRows;
        for_each_vector<Rows>(at, begin, smaller(begin + Rows::chunk, Rows::C), [=](int c) MHC_INLINE {
            lanes totals[TileRows];
#pragma unroll
            for (int r = 0; r < TileRows; ++r) totals[r] = splat<Rows::W>(0.0f);
            for (i64 first = 0; first < tokens; first += TokensPerSum) {
                lanes sums[TileRows];
#pragma unroll
                for (int r = 0; r < TileRows; ++r) sums[r] = splat<Rows::W>(0.0f);
                const i64 end = first + TokensPerSum < tokens ? first + TokensPerSum : tokens;
                for (i64 t = first; t < end; ++t) {
                    const lanes v = Rows::load(x + t * Rows::C, c) * norm[2 * t];
#pragma unroll
                    for (int r = 0; r < TileRows; ++r) {
                        const i64 row = first_row + r < rows ? first_row + r : rows - 1;
                        const float g = load<1, int(sizeof(Data))>(d_y + t * rows + row)[0];
                        sums[r] = fma<Rows::W>(splat<Rows::W>(g), v, sums[r]);
                    }
                }
#pragma unroll
                for (int r = 0; r < TileRows; ++r) totals[r] = totals[r] + sums[r];
            }
            const lanes by = weight_at<Rows, Weights::align>(norm_weight, c);
#pragma unroll
            for (int r = 0; r < TileRows; ++r)
                if (first_row + r < rows)
                    store_gradient<Weights>(d_weight + (first_row + r) * Rows::C, c, totals[r] * by, adds);
        });
    }
}

}  // namespace mhc
