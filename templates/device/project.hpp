// mhc/device/project.hpp -- the projection of x on the rows of fn and the sum of squares of x, in slices of the channels.
//
// K = n*C, m = n*n + 2n rows. partial[t, s, r] = sum over slice s of x[t] * fn[r]; partial[t, s, m] = sum of x[t]^2.
// A slice is a range of channels of all streams; the slices of a token are added by `coefficients`, in their order.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// fn [m, K] as one matrix.
template <class Weight, int K>
struct one_matrix {
    const Weight* fn;
    MHC_MEMBER const Weight* row(int r) const { return fn + i64(r) * K; }
};

/// fn as the three matrices of mHC.cu: phi_pre [n, K], phi_post [n, K], phi_res [n*n, K].
template <class Weight, int K, int n>
struct three_matrices {
    const Weight* pre;
    const Weight* post;
    const Weight* res;
    MHC_MEMBER const Weight* row(int r) const
    {
        return r < n ? pre + i64(r) * K : r < 2 * n ? post + i64(r - n) * K : res + i64(r - 2 * n) * K;
    }
};

/// One wave makes TileTokens x TileRows sums of one slice: each lane its channels, then over the lanes.
/// RoundAsReference: x and fn pass through bf16, as in mHC.cu.
template <class Rows, int n, int TileTokens, int TileRows, bool RoundAsReference, int WeightAlign, class Grid, class Data,
          class Matrix>
MHC_DEVICE void project(Grid at, const Data* x, Matrix fn, float* partial, i64 tokens, i64 x_token, i64 x_stream)
{
    constexpr int m = n * n + 2 * n, row_tiles = ceil_div(m, TileRows), W = Rows::W;
    using lanes = typename Rows::lanes;
    const i64 items = (tokens + TileTokens - 1) / TileTokens * Rows::slices * row_tiles;
    for (i64 item = at.group * Grid::waves + at.wave(); item < items; item += at.groups * Grid::waves) {
        const int first_row = int(item % row_tiles) * TileRows;
        const int s = int(item / row_tiles % Rows::slices);
        const i64 first_token = item / row_tiles / Rows::slices * TileTokens;
        const int end = smaller((s + 1) * Rows::slice, Rows::C);

        lanes sums[TileTokens][TileRows], squares[TileTokens];
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            squares[k] = splat<W>(0.0f);
#pragma unroll
            for (int r = 0; r < TileRows; ++r) sums[k][r] = splat<W>(0.0f);
        }
        for (int i = 0; i < n; ++i) {
            for (int c = s * Rows::slice + at.lane() * W; c < end; c += Grid::wave_size * W) {
                lanes xs[TileTokens];
#pragma unroll
                for (int k = 0; k < TileTokens; ++k) {
                    const i64 t =
                        first_token + k < tokens ? first_token + k : tokens - 1;  // a token past the end is not stored
                    xs[k] = Rows::load(x + t * x_token + i * x_stream, c);
                    if (RoundAsReference) xs[k] = rounded_to<bf16, W>(xs[k]);
                    squares[k] = fma<W>(xs[k], xs[k], squares[k]);
                }
#pragma unroll
                for (int r = 0; r < TileRows; ++r) {
                    lanes f = Rows::template load<WeightAlign>(fn.row(smaller(first_row + r, m - 1)) + i * Rows::C, c);
                    if (RoundAsReference) f = rounded_to<bf16, W>(f);
#pragma unroll
                    for (int k = 0; k < TileTokens; ++k) sums[k][r] = fma<W>(xs[k], f, sums[k][r]);
                }
            }
        }
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            float* slot = partial + ((first_token + k) * Rows::slices + s) * (m + 1);
            const bool is_stored = at.lane() == 0 && first_token + k < tokens;
#pragma unroll
            for (int r = 0; r < TileRows; ++r) {
                const float v = wave_sum<Grid::wave_size>(sum<W>(sums[k][r]));
                if (is_stored && first_row + r < m) slot[first_row + r] = v;
            }
            const float v = wave_sum<Grid::wave_size>(sum<W>(squares[k]));
            if (is_stored && first_row == 0) slot[m] = v;
        }
    }
}

}  // namespace mhc
