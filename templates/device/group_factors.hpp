// mhc/device/group_factors.hpp -- what the work-groups of gradient_groups.hpp have in LDS, and fn and d_proj in its order.
#pragma once

#include <mhc/device/cuda_group_matrix.hpp>
#include <mhc/device/gradient_factors.hpp>

namespace mhc {

/// A work-group has some channels of all streams, four of its waves 64 channels of one: first those of stream 0. Places in
/// LDS are in words of 16 bytes: of each tile on its way x, what d_x is made of besides and d_proj; fn of two work items;
/// and what tells that factors have come. RowBytes: of a number of the row that is the gradient of the sum of streams;
/// HasOut: there is the gradient of out.
template <class Rows_, int n_, int RowsMax, int Channels, int Stages, int RowBytes, bool HasOut>
struct gradient_group {
    using Rows = Rows_;
    using unit = group_matrix;
    static constexpr int n = n_, rows = RowsMax, channels = Channels, stages = Stages;
    static constexpr bool has_out = HasOut;
    static constexpr int columns = 64, quads = n * Channels / columns, of_stream = Channels / columns;
    static constexpr int octets = ceil_div(RowsMax, 8);        ///< of rows, in each of two parts
    static constexpr int tokens = unit::rows, chunk = tokens;  ///< of a tile
    static constexpr int places = ceil_div(Rows::C, Channels), of_fn = places * n;
    static constexpr int factor_words = 2 * octets * 64;  ///< of 64 tokens' d_proj, or 64 channels' fn
    static constexpr int fn_words = of_stream * factor_words, d_proj_words = factor_words;
    static constexpr int quad_words = tokens * columns / 8;
    static constexpr int row_planes = RowBytes / 2;  ///< words of 8 channels of the row
    static constexpr int row = quads * quad_words, out = row + row_planes * of_stream * quad_words,
                         d_proj = out + (HasOut ? quads * quad_words : 0), stage_words = d_proj + d_proj_words;
    static constexpr int fn = stages * stage_words, signals = fn + 2 * n * fn_words, room = signals + ceil_div(stages, 2);
    static_assert(Rows::W == 8 && Channels % columns == 0, "waves share the channels");

    /// The column of a product that channel `c` of 64 is: a lane then has 8 channels of a row that follow each other.
    static MHC_MEMBER int column_of(int c) { return c / 32 * 32 + c % 8 / 2 * 8 + c % 32 / 8 * 2 + c % 2; }
    /// Words of octet `octet` of rows, in its high part (0) or its low one (1).
    static constexpr MHC_MEMBER int octet_at(int octet, int part) { return (2 * octet + part) * 64; }
};

/// put(row, sum) for the rows of fn that a lane has sums of, in row `half` of its product: columns are eight rows in their
/// high part, and then the same in their low one.
template <class Tile, class Put>
MHC_DEVICE void give_rows(const group_sums<2 * 8 * Tile::octets>& sums, int lane, int half, int fn_rows, Put put)
{
    using unit = group_matrix;
#pragma unroll
    for (int octet = 0; octet < Tile::octets; ++octet) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const int row = octet * 8 + unit::column(lane) + e;
            if (row < fn_rows)
                put(row, sums.at[unit::place(2 * octet, half, e)] + sums.at[unit::place(2 * octet + 1, half, e)]);
        }
    }
}

/// fn's octets of rows, of the channels from first_channel on: zeros where there is no such row or channel. A lane has four
/// channels of an octet: more would take registers that the assembler does not give.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void keep_group_fn(Grid at, uint4* to, Matrix fn, int stream, int first_channel, int fn_rows)
{
    constexpr int each = 4, vectors = Tile::channels / each, columns = Tile::columns;
    constexpr int align = smaller(WeightAlign, each * int(sizeof(*fn.row(0))));
    for (int e = at.thread(); e < Tile::octets * vectors; e += Grid::block) {
        const int v = e % vectors, octet = e / vectors, c = first_channel + v * each;
        vec<float, each> rows[8];
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            rows[r] = splat<each>(0.0f);
            if (octet * 8 + r < fn_rows && c < Tile::Rows::C)
                rows[r] = load<each, align>(fn.row(octet * 8 + r) + stream * Tile::Rows::C + c);
        }
        uint4* const words = to + v * each / columns * Tile::factor_words;
#pragma unroll
        for (int k = 0; k < each; ++k) {
            vec<float, 8> column = splat<8>(0.0f);
#pragma unroll
            for (int r = 0; r < 8; ++r) column[r] = rows[r][k];
            const weight_parts parts = split_weights(column, true);
            const int place = Tile::column_of(v * each % columns + k);
            words[Tile::octet_at(octet, 0) + place] = parts.high;
            words[Tile::octet_at(octet, 1) + place] = parts.low;
        }
    }
}

/// d_proj's octets of rows, of Tokens of a tile's tokens, of which there are `left`; a token's rows begin `distance` numbers
/// after those of the one before.
template <class Tile, int Tokens, class Grid>
MHC_DEVICE void keep_group_d_proj(Grid at, uint4* to, const float* d_proj, int distance, int left, int fn_rows)
{
    for (int e = at.thread(); e < Tile::octets * Tokens; e += Grid::block) {
        const int token = e / Tile::octets, octet = e % Tile::octets;  // neighbours in memory
        vec<float, 8> v = splat<8>(0.0f);
        const float* const from = d_proj + token * distance + octet * 8;
#pragma unroll
        for (int r = 0; r < 8; ++r)
            if (token < left && octet * 8 + r < fn_rows) v[r] = from[r];
        const weight_parts parts = split_weights(v, true);
        to[Tile::octet_at(octet, 0) + token] = parts.high;
        to[Tile::octet_at(octet, 1) + token] = parts.low;
    }
}

/// fn alone. A work item is a stream and some channels.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void arrange_group_fn(Grid at, float* arranged, Matrix fn, int fn_rows)
{
    uint4* const to = reinterpret_cast<uint4*>(arranged);
    for (i64 item = at.group; item < Tile::of_fn; item += at.groups) {
        const int stream = int(item) % Tile::n, first_channel = int(item) / Tile::n * Tile::channels;
        keep_group_fn<Tile, WeightAlign>(at, to + arranged_factors<Tile>::fn_at(stream, first_channel), fn, stream,
                                         first_channel, fn_rows);
    }
}

/// fn, and d_proj of the first `valid` tokens. A work item is a stream and some channels, then a tile's tokens.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void arrange_group_factors(Grid at, float* arranged, const float* d_proj, Matrix fn, int fn_rows, i64 valid)
{
    arrange_group_fn<Tile, WeightAlign>(at, arranged, fn, fn_rows);
    uint4* const to = reinterpret_cast<uint4*>(arranged);
    for (i64 tile = at.group; tile * Tile::tokens < valid; tile += at.groups) {
        const i64 first = tile * Tile::tokens;
        const int left = int(valid - first < Tile::tokens ? valid - first : Tile::tokens);
        keep_group_d_proj<Tile, Tile::tokens>(at, to + arranged_factors<Tile>::d_proj_at(tile), d_proj + first * fn_rows,
                                              fn_rows, left, fn_rows);
    }
}

}  // namespace mhc
