// mhc/device/project.hpp -- the projection of x on the rows of fn and the sum of squares of x, split over the channels.
//
// K = n*C; fn has `rows` rows of K. proj[s, t, r] = sum over split s of x[t] * fn[r]; sqsum[s, t] = sum over it of x[t]^2.
// The channels of all streams are cut in slices, each summed on its own: split s of S has slices [s*slices/S,
// (s+1)*slices/S), added in their order. Splits past the number of slices hold zeros, so S needs no knowledge of it.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// fn [rows, K] as one matrix.
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
        // Choices without branches, of which each were waited for: rows are asked for all at once.
        const Weight* const other = r < 2 * n ? post : res;
        const int first = r < 2 * n ? n : 2 * n;
        return (r < n ? pre : other) + i64(r < n ? r : r - first) * K;
    }
};

/// The sums of one wave over one slice, a vector of addends in each lane.
template <class Rows, int TileTokens, int TileRows>
struct tile_sums {
    typename Rows::lanes products[TileTokens][TileRows], squares[TileTokens];
};

/// Sums over the channels of `slice` of all n streams; x.load(t, i, c) is a vector of stream i. Tokens past the valid ones
/// and rows past the end stand for the last. RoundAsReference: x and fn pass through bf16, as in mHC.cu.
template <class Rows, int n, bool RoundAsReference, int WeightAlign, int TileTokens, int TileRows, class Grid, class Streams,
          class Matrix>
MHC_DEVICE void sum_slice(Grid at, Streams x, Matrix fn, i64 first_token, i64 valid, int first_row, int fn_rows, int slice,
                          tile_sums<Rows, TileTokens, TileRows>& sums)
{
    constexpr int W = Rows::W;
    using lanes = typename Rows::lanes;
#pragma unroll
    for (int k = 0; k < TileTokens; ++k) {
        sums.squares[k] = splat<W>(0.0f);
#pragma unroll
        for (int r = 0; r < TileRows; ++r) sums.products[k][r] = splat<W>(0.0f);
    }
    const int end = smaller((slice + 1) * Rows::slice, Rows::C);
    for (int i = 0; i < n; ++i) {
        for (int c = slice * Rows::slice + at.lane() * W; c < end; c += Grid::wave_size * W) {
            lanes xs[TileTokens];
#pragma unroll
            for (int k = 0; k < TileTokens; ++k) {
                const i64 t = first_token + k < valid ? first_token + k : valid - 1;
                xs[k] = x.load(t, i, c);
                if (RoundAsReference) xs[k] = rounded_to<bf16, W>(xs[k]);
                sums.squares[k] = fma<W>(xs[k], xs[k], sums.squares[k]);
            }
#pragma unroll
            for (int r = 0; r < TileRows; ++r) {
                lanes f = Rows::template load<WeightAlign>(fn.row(smaller(first_row + r, fn_rows - 1)) + i * Rows::C, c);
                if (RoundAsReference) f = rounded_to<bf16, W>(f);
#pragma unroll
                for (int k = 0; k < TileTokens; ++k) sums.products[k][r] = fma<W>(xs[k], f, sums.products[k][r]);
            }
        }
    }
}

/// Sums over the lanes, each stored by a lane of its own: the first slice of a split sets, the others add.
/// Sums of a split's slices meet where they are stored, since registers are full of the tile.
template <class Rows, int TileTokens, int TileRows, class Grid>
MHC_DEVICE void store_sums(Grid at, const tile_sums<Rows, TileTokens, TileRows>& sums, float* proj, float* sqsum, int split,
                           i64 first_token, i64 tokens, i64 valid, int first_row, int fn_rows, bool is_first)
{
    constexpr int W = Rows::W, wave = Grid::wave_size, width = TileRows + 1;  // the last of a token is its sum of squares
    constexpr int count = TileTokens * width, turns = ceil_div(count, wave);
    float mine[turns] = {};
#pragma unroll
    for (int e = 0; e < count; ++e) {
        const int k = e / width, r = e % width;
        const float v = wave_sum<wave>(sum<W>(r == TileRows ? sums.squares[k] : sums.products[k][r % TileRows]));
        if (at.lane() == e % wave) mine[e / wave] = v;
    }
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
        const int e = turn * wave + at.lane(), r = e % width;
        const i64 t = first_token + e / width;
        const bool is_square = r == TileRows;
        if (e >= count || t >= valid || (is_square ? first_row != 0 : first_row + r >= fn_rows)) continue;
        const i64 place = split * tokens + t;
        float* const to = is_square ? sqsum + place : proj + place * fn_rows + first_row + r;
        *to = is_first ? mine[turn] : *to + mine[turn];
    }
}

/// The split that channel c of every stream is summed in: of those that `project` fills.
template <class Rows>
MHC_DEVICE int split_of(int c, int splits)
{
    const int used = smaller(splits, Rows::slices);
    return used == 1 ? 0 : ((c / Rows::slice + 1) * used - 1) / Rows::slices;
}

/// Zeros in `rows` rows of `width` numbers, `distance` from each other, by all lanes of the grid.
template <class Grid>
MHC_DEVICE void clear(Grid at, float* first, i64 rows, i64 width, i64 distance)
{
    for (i64 r = 0; r < rows; ++r) {
        MHC_SHORT_LOOP
        for (i64 i = at.group * Grid::block + at.thread(); i < width; i += at.groups * Grid::block)
            first[r * distance + i] = 0.0f;
    }
}

/// One wave makes TileTokens x TileRows sums of one split: in each slice every lane its channels, then over the lanes.
///
/// Work is dealt out by numbers that are constants, a row tile of all m and a split of all slices; a wave whose row or
/// split is not asked for has none. Division by what only the launch knows would cost the registers of its reciprocals.
/// Of all `tokens` the first `valid` are read and written.
template <class Rows, int n, int TileTokens, int TileRows, bool RoundAsReference, int WeightAlign, class Grid, class Streams,
          class Matrix>
MHC_DEVICE void project(Grid at, Streams x, Matrix fn, float* proj, float* sqsum, int fn_rows, int splits, i64 tokens,
                        i64 valid)
{
    constexpr int slices = Rows::slices, row_tiles = ceil_div(n * n + 2 * n, TileRows);
    const i64 items = (valid + TileTokens - 1) / TileTokens * (slices * row_tiles);
    for (i64 item = at.group * Grid::waves + at.wave(); item < items; item += at.groups * Grid::waves) {
        const int first_row = int(item % row_tiles) * TileRows, split = int(item / row_tiles % slices);
        const i64 first_token = item / (slices * row_tiles) * TileTokens;
        if (first_row >= fn_rows || split >= splits) continue;
        const int used = smaller(splits, slices), begin = split * slices / used, end = (split + 1) * slices / used;
        for (int slice = begin; slice < end; ++slice) {
            tile_sums<Rows, TileTokens, TileRows> sums;
            sum_slice<Rows, n, RoundAsReference, WeightAlign>(at, x, fn, first_token, valid, first_row, fn_rows, slice,
                                                              sums);
            store_sums(at, sums, proj, sqsum, split, first_token, tokens, valid, first_row, fn_rows, slice == begin);
        }
    }
    if (splits > slices) {  // there is nothing left for the others
        clear(at, proj + slices * tokens * fn_rows, splits - slices, valid * fn_rows, tokens * fn_rows);
        clear(at, sqsum + slices * tokens, splits - slices, valid, tokens);
    }
}

}  // namespace mhc
