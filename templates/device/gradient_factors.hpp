// mhc/device/gradient_factors.hpp -- what the work-groups of gradient_tiles.hpp keep in LDS: fn and d_proj as factors of
// matrix products, in two bf16.
#pragma once

#include <mhc/device/mix.hpp>
#include <mhc/device/project_tiles.hpp>

namespace mhc {

/// What a work-group has, and where that is in LDS, in words of 16 bytes.
template <class Rows_, int n_, int RowsMax, int Channels, int Chunk, int Scalars, class Grid>
struct gradient_tile {
    using Rows = Rows_;
    using unit = matrix_unit;
    using queue_of_tiles = lane_queue<8, Grid::block, 2>;
    static constexpr int n = n_, rows = RowsMax, channels = Channels, wave_size = Grid::wave_size;
    static constexpr int octets = ceil_div(RowsMax, 8);          ///< of rows, in each of two parts
    static constexpr int tokens = 8 * unit::groups;              ///< of a tile: those of one product over tokens
    static constexpr int chunk = Chunk, tiles = Chunk / tokens;  ///< whose d_proj is there at once
    static constexpr int wave_channels = 8 * unit::columns;
    static constexpr int places = ceil_div(Rows::C, Channels), of_fn = places * n;  ///< groups that share out all channels
    // Two words more than there are: lanes that read neighbouring octets at once meet in no bank.
    static constexpr int column_words = Grid::waves * wave_channels + 2, token_words = chunk + 2;
    /// Of a tile: left factors of fn's rows, what each lane of a wave has of one together.
    static constexpr int row_words = factors<RowsMax> * unit::left_rows * Grid::wave_size;
    static constexpr int by_token = 2 * octets * column_words, by_row = by_token + 2 * octets * token_words,
                         scalars = by_row + tiles * row_words, queue = scalars + ceil_div(chunk * Scalars, 4),
                         room = queue + queue_of_tiles::room;
    static constexpr int fn_words = by_token, d_proj_words = scalars - by_token;
    static_assert(Rows::W == 8 && Channels == Grid::waves * wave_channels, "waves share the channels");
};

/// fn's octets, of column_words words each: first the high parts, then the low ones. Of a wave's 8 channels in each column
/// the first words come first.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void keep_fn(Grid at, uint4* to, Matrix fn, int stream, int first_channel, int fn_rows)
{
    constexpr int vectors = Tile::channels / 8, columns = matrix_unit::columns;
    for (u32 e = u32(made_anew(at.thread())); e < Tile::octets * vectors; e += Grid::block) {
        const int v = int(e % vectors), octet = int(e / vectors);
        const int c = first_channel + v * 8;
        vec<float, 8> rows[8];
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            rows[r] = splat<8>(0.0f);
            if (octet * 8 + r < fn_rows && c < Tile::Rows::C)
                rows[r] = load<8, WeightAlign>(fn.row(octet * 8 + r) + stream * Tile::Rows::C + c);
        }
        uint4* const words = to + octet * Tile::column_words + v / columns * Tile::wave_channels + v % columns;
        uint4 high[8], low[8];
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            vec<float, 8> column = splat<8>(0.0f);
#pragma unroll
            for (int r = 0; r < 8; ++r) column[r] = rows[r][k];
            const weight_parts parts = split_weights(column, true);
            high[k] = parts.high;
            low[k] = parts.low;
        }
        token_products::keep(words, columns, high);
        token_products::keep(words + Tile::octets * Tile::column_words, columns, low);
    }
}

/// The token in a tile that word `k` of a lane is of, by the lane's group; and of group 0, to which that of word 0 is added.
MHC_DEVICE constexpr int token_of_word(int k)
{
    return k / token_products::tokens * 16 + token_products::token(0, k % token_products::tokens);
}
MHC_DEVICE int token_of_word(int group, int k) { return token_products::token(group, 0) + token_of_word(k); }

/// d_proj of a tile's tokens, of which there are `left`, as left factors of rows: what one lane has of 16 rows, in two
/// parts, or of the last 8. A step is one of these of one lane.
template <class Tile>
MHC_DEVICE void keep_by_row(uint4* to, const float* d_proj, int step, int lane, int left, int fn_rows)
{
    using unit = matrix_unit;
    constexpr int full = full_factors<Tile::rows>, lanes = Tile::wave_size;
    left_piece high = {}, low = {};
#pragma unroll
    for (int item = 0; item < unit::left_rows; ++item) {
        const int own = unit::left_row(lane, item);
        const int row = step * 16 + (step < full / 2 ? own : row_of_parts(own));
        vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            const int token = token_of_word(unit::group(lane), k);
            if (token < left && row < fn_rows) v[k] = d_proj[token * fn_rows + row];
        }
        const weight_parts parts = split_weights(v, true);
        high.rows[item] = step < full / 2 || !is_low_part(own) ? parts.high : parts.low;
        low.rows[item] = parts.low;
    }
    high = in_order(high);
    low = in_order(low);
    uint4* const words = to + step * 2 * unit::left_rows * lanes + lane;
#pragma unroll
    for (int item = 0; item < unit::left_rows; ++item) {
        words[item * lanes] = high.rows[item];
        if (step < full / 2) words[(unit::left_rows + item) * lanes] = low.rows[item];
    }
}

/// d_proj of a chunk's tokens, of which there are `left`, twice: octets of rows by token, and octets of tokens by row. Zeros
/// where there is no such row or token. d_proj is where the first one's is. Of Parts work-groups this is `part`.
template <class Tile, int Parts = 1, class Grid>
MHC_DEVICE void keep_d_proj(Grid at, uint4* lds, const float* d_proj, int left, int fn_rows, int part = 0)
{
    constexpr int octets = Tile::octets, steps = full_factors<Tile::rows> / 2 + 1;
    const int thread = made_anew(at.thread());
#pragma unroll
    for (int turn = 0; turn < ceil_div(octets * Tile::chunk, Grid::block * Parts); ++turn) {
        const u32 e = u32((turn * Parts + part) * Grid::block + thread);
        const int token = int(e / octets), octet = int(e % octets);  // neighbours in memory
        if (token >= Tile::chunk) break;
        vec<float, 8> v = splat<8>(0.0f);
        const float* const from = d_proj + token * fn_rows + octet * 8;
#pragma unroll
        for (int r = 0; r < 8; ++r)
            if (token < left && octet * 8 + r < fn_rows) v[r] = from[r];
        const weight_parts parts = split_weights(v, true);
        uint4* const word = lds + Tile::by_token + octet * Tile::token_words + token;
        word[0] = parts.high;
        word[octets * Tile::token_words] = parts.low;
    }
    for (int e = part * Grid::waves + thread / Grid::wave_size; e < steps * Tile::tiles; e += Grid::waves * Parts) {
        const int tile = e / steps;
        keep_by_row<Tile>(lds + Tile::by_row + tile * Tile::row_words, d_proj + tile * Tile::tokens * fn_rows, e % steps,
                          thread % Grid::wave_size, left - tile * Tile::tokens, fn_rows);
    }
}

/// Which parts d_x has beside the projection: the mix, and the sum of streams.
template <bool HasMix_, bool HasSum_, layout L = layout::out_in>
struct parts_of_tiles {
    static constexpr bool mix = HasMix_, sum = HasSum_;
    static constexpr layout out_layout = L;
};

/// What the elementwise parts of a token are multiplied by: 2 d_sqsum, p of the stream, and M[o] of it for each o.
template <class Parts, int n>
constexpr int scalars_of = Parts::mix ? 2 + n : 2;

template <class Tile, class Parts, class Grid>
MHC_DEVICE void keep_scalars(Grid at, float* to, const float* d_sqsum, const float* p, const float* mix, int stream,
                             int coefficients_token, int left)
{
    constexpr int n = Tile::n, width = scalars_of<Parts, n>;
    for (int token = made_anew(at.thread()); token < Tile::chunk; token += Grid::block) {
        if (token >= left) break;
        to[width * token] = 2.0f * d_sqsum[token];
        if constexpr (Parts::sum) to[width * token + 1] = p[token * coefficients_token + stream];
        if constexpr (Parts::mix) {
#pragma unroll
            for (int o = 0; o < n; ++o)
                to[width * token + 2 + o] = weight_of<Parts::out_layout, n>(mix + token * coefficients_token, o, stream);
        }
    }
}

/// Factors that a kernel before has made in the order that LDS has them in: fn's of each stream and each Tile::channels
/// channels, then d_proj's of each chunk of tokens.
template <class Tile>
struct arranged_factors {
    static constexpr int fn_words = Tile::fn_words, d_proj_words = Tile::d_proj_words;
    const float* at;

    MHC_MEMBER const uint4* words() const { return reinterpret_cast<const uint4*>(at); }
    static MHC_MEMBER i64 fn_at(int stream, int first_channel)
    {
        return i64(first_channel / Tile::channels * Tile::n + stream) * fn_words;
    }
    static MHC_MEMBER i64 d_proj_at(i64 chunk) { return i64(Tile::of_fn) * fn_words + chunk * d_proj_words; }
};

/// Those of the first `valid` tokens. A work item is a stream and some channels, or a part of a chunk's tokens.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void arrange_factors(Grid at, float* arranged, const float* d_proj, Matrix fn, int fn_rows, i64 valid)
{
    using order = arranged_factors<Tile>;
    uint4* const to = reinterpret_cast<uint4*>(arranged);
    constexpr int parts = Tile::chunk < 256 ? 1 : 4, of_fn = Tile::of_fn;
    const i64 items = of_fn + (valid + Tile::chunk - 1) / Tile::chunk * parts;
    for (i64 item = at.group; item < items; item += at.groups) {
        if (item < of_fn) {
            const int stream = int(item) % Tile::n, first_channel = int(item) / Tile::n * Tile::channels;
            keep_fn<Tile, WeightAlign>(at, to + order::fn_at(stream, first_channel), fn, stream, first_channel, fn_rows);
        } else {
            const i64 chunk = (item - of_fn) / parts, first = chunk * Tile::chunk;
            const int left = int(valid - first < Tile::chunk ? valid - first : Tile::chunk);
            // Its place is counted from where a work-group's LDS would begin.
            keep_d_proj<Tile, parts>(at, to + order::d_proj_at(chunk) - Tile::by_token, d_proj + first * fn_rows, left,
                                     fn_rows, int((item - of_fn) % parts));
        }
    }
}

template <class Matrix>
constexpr bool is_arranged = false;
template <class Tile>
constexpr bool is_arranged<arranged_factors<Tile>> = true;

/// What gradient_of_slice reads: matrices as they are, or what arrange_factors has made of them.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void bring_fn(Grid at, uint4* lds, Matrix fn, int stream, int first_channel, int fn_rows)
{
    keep_fn<Tile, WeightAlign>(at, lds, fn, stream, first_channel, fn_rows);
}
template <class Tile, int, class Grid>
MHC_DEVICE void bring_fn(Grid at, uint4* lds, arranged_factors<Tile> from, int stream, int first_channel, int)
{
    bring_words<Grid::block, from.fn_words>(lds, from.words() + from.fn_at(stream, first_channel), at.thread());
}
template <class Tile, class Grid, class Matrix>
MHC_DEVICE void bring_d_proj(Grid at, uint4* lds, Matrix, const float* d_proj, i64, int left, int fn_rows)
{
    keep_d_proj<Tile>(at, lds, d_proj, left, fn_rows);
}
template <class Tile, class Grid>
MHC_DEVICE void bring_d_proj(Grid at, uint4* lds, arranged_factors<Tile> from, const float*, i64 first, int, int)
{
    bring_words<Grid::block, from.d_proj_words>(lds + Tile::by_token, from.words() + from.d_proj_at(first / Tile::chunk),
                                                at.thread());
}

}  // namespace mhc
