// mhc/device/norm_matmul.hpp -- an RMS norm and the matrix product after it: the norm's divisor is one number a token, so
// the product is made of x as it is and divided at the end.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// The sums of one wave, a vector of addends in each lane.
template <class Rows, int TileTokens, int TileRows>
struct matmul_sums {
    typename Rows::lanes products[TileTokens][TileRows], squares[TileTokens];
};

/// Sums over all channels, in the order of a lane's channels. Tokens and rows past the last stand for it.
template <class Rows, int WeightAlign, int TileTokens, int TileRows, class Grid, class Data, class Weight>
MHC_DEVICE void sum_channels(Grid at, const Data* x, const Weight* norm_weight, const Weight* weight, i64 first_token,
                             i64 tokens, i64 first_row, i64 rows, matmul_sums<Rows, TileTokens, TileRows>& sums)
{
    constexpr int W = Rows::W;
    using lanes = typename Rows::lanes;
#pragma unroll
    for (int k = 0; k < TileTokens; ++k) {
        sums.squares[k] = splat<W>(0.0f);
#pragma unroll
        for (int r = 0; r < TileRows; ++r) sums.products[k][r] = splat<W>(0.0f);
    }
    for (int c = at.lane() * W; c < Rows::C; c += Grid::wave_size * W) {
        lanes xs[TileTokens];
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            const i64 t = first_token + k < tokens ? first_token + k : tokens - 1;
            xs[k] = Rows::load(x + t * Rows::C, c);
            sums.squares[k] = fma<W>(xs[k], xs[k], sums.squares[k]);
        }
        if (norm_weight) {
            const lanes by = Rows::template load<WeightAlign>(norm_weight, c);
#pragma unroll
            for (int k = 0; k < TileTokens; ++k) xs[k] = xs[k] * by;
        }
#pragma unroll
        for (int r = 0; r < TileRows; ++r) {
            const i64 row = first_row + r < rows ? first_row + r : rows - 1;
            const lanes f = Rows::template load<WeightAlign>(weight + row * Rows::C, c);
#pragma unroll
            for (int k = 0; k < TileTokens; ++k) sums.products[k][r] = fma<W>(xs[k], f, sums.products[k][r]);
        }
    }
}

/// rms[t] = sqrt(mean(x[t]^2) + eps); y[t,o] = sum_c x[t,c] / rms[t] * norm_weight[c] * weight[o,c]; norm_weight may be
/// null. One wave makes TileTokens x TileRows numbers of y.
template <class Rows, int WeightAlign, int TileTokens, int TileRows, class Grid, class Data, class Weight>
MHC_DEVICE void rmsnorm_matmul(Grid at, const Data* x, const Weight* norm_weight, const Weight* weight, Data* y, float* rms,
                               i64 rows, i64 tokens, float eps)
{
    constexpr int wave = Grid::wave_size;
    const i64 token_tiles = (tokens + TileTokens - 1) / TileTokens, row_tiles = (rows + TileRows - 1) / TileRows;
    for (i64 item = at.group * Grid::waves + at.wave(); item < token_tiles * row_tiles; item += at.groups * Grid::waves) {
        const i64 first_token = item / row_tiles * TileTokens, first_row = item % row_tiles * TileRows;
        matmul_sums<Rows, TileTokens, TileRows> sums;
        sum_channels<Rows, WeightAlign>(at, x, norm_weight, weight, first_token, tokens, first_row, rows, sums);
#pragma unroll
        for (int k = 0; k < TileTokens; ++k) {
            const float squares = wave_sum<wave>(sum<Rows::W>(sums.squares[k]));
            const float root = square_root(squares * (1.0f / Rows::C) + eps);
            const float scale = 1.0f / root;
            const i64 t = first_token + k;
            if (t < tokens && first_row == 0 && at.lane() == 0) rms[t] = root;
#pragma unroll
            for (int r = 0; r < TileRows; ++r) {
                const float product = wave_sum<wave>(sum<Rows::W>(sums.products[k][r]));
                if (t < tokens && first_row + r < rows && at.lane() == r % wave)
                    store<1, int(sizeof(Data))>(y + t * rows + first_row + r, splat<1>(product * scale));
            }
        }
    }
}

}  // namespace mhc
