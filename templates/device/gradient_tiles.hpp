// mhc/device/gradient_tiles.hpp -- gradients of a projection of bf16 streams by matrix units: of the streams and of fn, x
// being read once for both.
//
//   d_x[t,k]  = sum_r d_proj[t,r] fn[r,k] + 2 d_sqsum[t] x[t,k] + the parts of input_gradient.hpp that are elementwise
//   sums[r,k] = sum_t d_proj[t,r] x[t,k], over the tokens of a slice
//
// fn and d_proj are sums of two bf16, as weights are in project_tiles.hpp; products are exact, sums are float. A work-group
// has a slice of the tokens and some channels of all streams, of which a wave has those of one stream, 8 in each column of a
// product. It walks over tiles of tokens. fn and d_proj are in LDS in octets of 8 rows or 8 tokens, what a lane has of a
// factor; x is where a sum over rows leaves its tokens, and from there a factor of a sum over tokens.
#pragma once

#include <mhc/device/input_gradient.hpp>
#include <mhc/device/project_tiles.hpp>

namespace mhc {

/// What a work-group has, and where that is in LDS, in words of 16 bytes.
template <class Rows_, int n_, int RowsMax, int Channels, class Grid>
struct gradient_tile {
    using Rows = Rows_;
    using unit = matrix_unit;
    static constexpr int n = n_, rows = RowsMax, channels = Channels;
    static constexpr int octets = ceil_div(RowsMax, 8);         ///< of rows, in each of two parts
    static constexpr int tokens = 8 * unit::groups;             ///< of a tile: those of one product over tokens
    static constexpr int chunk = unit::tiles_at_once * tokens;  ///< whose d_proj is there at once
    static constexpr int wave_channels = 8 * unit::columns;     ///< of one stream
    static constexpr int blocks = Channels / wave_channels;     ///< waves of one stream
    // Two words more than there are: lanes that read neighbouring octets at once meet in no bank.
    static constexpr int column_words = Grid::waves * wave_channels + 2, token_words = chunk + 2;
    static constexpr int row_words = 2 * octets * 8 * unit::groups;  ///< of a tile
    static constexpr int by_token = 2 * octets * column_words, by_row = by_token + 2 * octets * token_words,
                         scalars = by_row + unit::tiles_at_once * row_words, queue = scalars + ceil_div(chunk * (n + 1), 4),
                         room = queue + lane_queue<8, Grid::block>::room;
    static_assert(Rows::W == 8 && blocks * n == Grid::waves && Rows::slice % Channels == 0,
                  "a wave has one stream and split");
};

/// fn's octets, of column_words words each: first the high parts, then the low ones. A word is of one channel, the first
/// one of every column's 8 of a wave coming first.
template <class Tile, int WeightAlign, class Grid, class Matrix>
MHC_DEVICE void keep_fn(Grid at, uint4* to, Matrix fn, int first_channel, int fn_rows)
{
    constexpr int vectors = Tile::channels / 8, columns = matrix_unit::columns;
    for (int e = at.thread(); e < Tile::octets * Tile::n * vectors; e += Grid::block) {
        const int v = e % vectors, i = e / vectors % Tile::n, octet = e / (vectors * Tile::n), c = first_channel + v * 8;
        vec<float, 8> rows[8];
#pragma unroll
        for (int r = 0; r < 8; ++r) {
            rows[r] = splat<8>(0.0f);
            if (octet * 8 + r < fn_rows && c < Tile::Rows::C)
                rows[r] = load<8, WeightAlign>(fn.row(octet * 8 + r) + i * Tile::Rows::C + c);
        }
        uint4* const words =
            to + octet * Tile::column_words + (i * Tile::blocks + v / columns) * Tile::wave_channels + v % columns;
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            vec<float, 8> column = splat<8>(0.0f);
#pragma unroll
            for (int r = 0; r < 8; ++r) column[r] = rows[r][k];
            const weight_parts parts = split_weights(column, true);
            words[k * columns] = parts.high;
            words[Tile::octets * Tile::column_words + k * columns] = parts.low;
        }
    }
}

/// The token in a tile that word `k` of a lane is of, by the lane's group.
MHC_DEVICE int token_of_word(int group, int k)
{
    return k / token_products::tokens * 16 + token_products::token(group, k % token_products::tokens);
}

/// d_proj of a chunk's tokens, twice: octets of rows by token, and octets of tokens by row. Zeros where there is no such
/// row or token. d_proj is where the tokens' split begins.
template <class Tile, class Grid>
MHC_DEVICE void keep_d_proj(Grid at, uint4* lds, const float* d_proj, i64 first, i64 end, int fn_rows)
{
    constexpr int octets = Tile::octets, groups = matrix_unit::groups;
#pragma unroll
    for (int turn = 0; turn < ceil_div(octets * Tile::chunk, Grid::block); ++turn) {
        const int e = turn * Grid::block + at.thread();
        const int token = e % Tile::chunk, octet = e / Tile::chunk;
        if (octet >= octets) break;
        vec<float, 8> v = splat<8>(0.0f);
        const float* const from = d_proj + (first + token) * fn_rows + octet * 8;
#pragma unroll
        for (int r = 0; r < 8; ++r)
            if (first + token < end && octet * 8 + r < fn_rows) v[r] = from[r];
        const weight_parts parts = split_weights(v, true);
        uint4* const word = lds + Tile::by_token + octet * Tile::token_words + token;
        word[0] = parts.high;
        word[octets * Tile::token_words] = parts.low;
    }
#pragma unroll
    for (int turn = 0; turn < ceil_div(octets * Tile::chunk, Grid::block); ++turn) {
        const int e = turn * Grid::block + at.thread();
        const int group = e % groups, row = e / groups % (octets * 8), tile = e / (groups * octets * 8);
        if (tile >= matrix_unit::tiles_at_once) break;
        vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            const i64 t = first + tile * Tile::tokens + token_of_word(group, k);
            if (t < end && row < fn_rows) v[k] = d_proj[t * fn_rows + row];
        }
        const weight_parts parts = split_weights(v, true);
        uint4* const word = lds + Tile::by_row + tile * Tile::row_words + row * groups + group;
        word[0] = parts.high;
        word[octets * 8 * groups] = parts.low;
    }
}

/// What the elementwise parts of a token are multiplied by: 2 d_sqsum, and p of each stream.
template <class Tile, bool HasSum, class Grid>
MHC_DEVICE void keep_scalars(Grid at, float* to, const float* d_sqsum, const float* p, i64 p_token, i64 first, i64 end)
{
    constexpr int width = Tile::n + 1;
    for (int e = at.thread(); e < Tile::chunk * width; e += Grid::block) {
        const i64 t = first + e / width;
        const int i = e % width - 1;
        if (t < end) to[e] = i < 0 ? 2.0f * d_sqsum[t] : HasSum ? p[t * p_token + i] : 0.0f;
    }
}

/// Words of a lane: 8 channels of 8 tokens.
struct lane_rows {
    uint4 at[8];
};

/// Sums over tokens: of each channel of a lane's column and 16 rows of fn, and of the last 8 in two parts.
template <int RowsMax>
struct fn_sums {
    static constexpr int factors = full_factors<RowsMax> / 2 + 1;
    product_sums at[8][factors];
};

/// Adds a tile's tokens.
template <class Tile>
MHC_DEVICE void add_tokens(fn_sums<Tile::rows>& sums, const uint4* d_proj, const lane_rows& x, int lane)
{
    using unit = matrix_unit;
    constexpr int full = full_factors<Tile::rows>;
    left_piece left[full + 1];
#pragma unroll
    for (int item = 0; item < unit::left_rows; ++item) {
        const int row = unit::left_row(lane, item);
        auto word = [=](int row, bool is_low) MHC_INLINE {
            return d_proj[((is_low ? Tile::octets * 8 : 0) + row) * unit::groups + unit::group(lane)];
        };
#pragma unroll
        for (int f = 0; f < full; ++f) left[f].rows[item] = word(f / 2 * 16 + row, f % 2 != 0);
        left[full].rows[item] = word(full * 8 + row_of_parts(row), is_low_part(row));
    }
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) {
        u32 words[8];
#pragma unroll
        for (int k = 0; k < 8; ++k) words[k] = word_of(x.at[k], pair);
        const uint4 columns[2] = {{lower_halves(words[0], words[1]), lower_halves(words[2], words[3]),
                                   lower_halves(words[4], words[5]), lower_halves(words[6], words[7])},
                                  {upper_halves(words[0], words[1]), upper_halves(words[2], words[3]),
                                   upper_halves(words[4], words[5]), upper_halves(words[6], words[7])}};
#pragma unroll
        for (int f = 0; f <= full; ++f) {
            add_product(sums.at[2 * pair][f / 2], left + f, columns);
            add_product(sums.at[2 * pair + 1][f / 2], left + f, columns + 1);
        }
    }
}

/// Stores the sums: to[r, i*C + c].
template <class Tile>
MHC_DEVICE void store_fn_sums(float* to, const fn_sums<Tile::rows>& sums, int lane, int stream, int first_channel,
                              int fn_rows)
{
    using unit = matrix_unit;
    using Rows = typename Tile::Rows;
    constexpr int last = full_factors<Tile::rows> / 2;
    auto store_row = [=](int row, int item, const vec<float, 8>& v) MHC_INLINE {
        const int c = first_channel + unit::sum_column(lane, item) * 8;
        if (row < fn_rows && c < Rows::C) store<8, 16>(to + (i64(row) * Tile::n + stream) * Rows::C + c, v);
    };
#pragma unroll
    for (int f = 0; f <= last; ++f) {
#pragma unroll
        for (int item = 0; item < (f < last ? unit::sums : unit::sums / 2); ++item) {
            vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
            for (int c = 0; c < 8; ++c)
                v[c] = f < last ? sums.at[c][f].at[item] : sums.at[c][f].at[item] + sums.at[c][f].at[item + unit::sums / 2];
            const int row = unit::sum_row(lane, item);
            store_row(f * 16 + (f < last ? row : row_of_parts(row)), item, v);
        }
    }
}

/// (fn's high + low) * (d_proj's high + low) of 16 tokens, every octet of one with every octet of the same rows of the
/// other, in steps of as many as a product has. `fn` and `d_proj` are where the lane's columns and tokens are.
template <class Tile>
MHC_DEVICE token_products multiply_rows(const uint4* fn, const uint4* d_proj, int lane)
{
    using unit = matrix_unit;
    constexpr int octets = Tile::octets;
    token_products sums = {};
#pragma unroll
    for (int step = 0; step < 4 * octets / unit::groups; ++step) {
        const int e = step * unit::groups + unit::group(lane);
        const uint4* const weights = fn + (e / (2 * octets) * octets + e % octets) * Tile::column_words;
        const uint4* const tokens = d_proj + e % (2 * octets) * Tile::token_words;
        sums.add([=](int channel) MHC_INLINE { return weights[channel * unit::columns]; },
                 [=](int first) MHC_INLINE { return tokens[first]; });
    }
    return sums;
}

/// d_x of 16 tokens from `first` on: their products, and the elementwise parts. `x` and `rows` are a lane's words of the
/// streams and of d_row.
template <class Tile, class Parts, class Out, class Data, class Weight, class Matrix>
MHC_DEVICE void store_inputs(const gradient_sources<Data, Weight, Matrix>& from, Out* d_x, const token_products& sums,
                             const uint4* x, const uint4* rows, const float* scalars, int lane, int stream, int c, i64 first,
                             i64 valid, i64 d_x_token, bool adds)
{
    using Rows = typename Tile::Rows;
    constexpr int width = Tile::n + 1;
#pragma unroll
    for (int k = 0; k < token_products::tokens; ++k) {
        const int token = token_products::token(matrix_unit::group(lane), k);
        const i64 t = first + token;
        if (t >= valid || c >= Rows::C) continue;
        vec<float, 8> v = splat<8>(0.0f);
        if (from.d_out) v = Rows::load(from.d_out + t * from.g_token + stream * from.g_stream, c);
        if constexpr (Parts::sum) v = fma<8>(splat<8>(scalars[token * width + 1 + stream]), widen_bf16(rows[k]), v);
        v = fma<8>(splat<8>(scalars[token * width]), widen_bf16(x[k]), v);
#pragma unroll
        for (int i = 0; i < 8; ++i) v[i] = v[i] + sums.get(k, i);
        store_gradient<Rows>(d_x + t * d_x_token, c, v, adds);
    }
}

/// The tokens [first, end) and the channels of all streams from first_channel on. d_proj and d_sqsum are where the split of
/// these begins.
template <class Tile, class Parts, int WeightAlign, class Grid, class Out, class Data, class Weight, class Matrix>
MHC_DEVICE void gradient_of_slice(Grid at, uint4* lds, const gradient_sources<Data, Weight, Matrix>& from, Out* d_x,
                                  float* to, int first_channel, i64 first, i64 end, i64 d_x_token, i64 d_x_stream, bool adds)
{
    using Rows = typename Tile::Rows;
    constexpr int each = token_products::tokens;
    const int lane = at.lane(), wave = at.wave(), group = matrix_unit::group(lane), column = matrix_unit::column(lane);
    const int stream = wave / Tile::blocks, begin = first_channel + wave % Tile::blocks * Tile::wave_channels;
    const int c = begin + column * 8;
    const bool has_channels = Rows::C % Tile::channels == 0 || c < Rows::C;
    const Data* const x = from.x + stream * from.x_stream + c;
    auto token_at = [=](i64 tile, int word) MHC_INLINE {
        const i64 t = tile + token_of_word(group, word);
        return t < end ? t : end - 1;  // whose d_proj is zeros
    };
    using tile_words = lane_queue<8, Grid::block>;
    tile_words queue(lds + Tile::queue);
    auto fetch = [&](int stage, i64 tile) MHC_INLINE {
        if (tile < end) {
#pragma unroll
            for (int k = 0; k < 8; ++k)
                queue.template ask<Rows::align>(stage, k, at.thread(), x + token_at(tile, k) * from.x_token, has_channels);
        }
        queue.end_set();
    };
    for (int stage = 0; stage < tile_words::stages; ++stage) fetch(stage, first + stage * Tile::tokens);
    if constexpr (Parts::input) keep_fn<Tile, WeightAlign>(at, lds, from.fn, first_channel, from.fn_rows);
    const uint4* const fn = lds + wave * Tile::wave_channels + column;
    float* const scalars = reinterpret_cast<float*>(lds + Tile::scalars);
    fn_sums<Tile::rows> sums = {};
    int stage = 0;
    for (i64 chunk = first; chunk < end; chunk += Tile::chunk) {
        barrier();  // before what the last chunk's tiles read is overwritten
        keep_d_proj<Tile>(at, lds, from.d_proj, chunk, end, from.fn_rows);
        if constexpr (Parts::input)
            keep_scalars<Tile, Parts::sum>(at, scalars, from.d_sqsum, from.p, from.coefficients_token, chunk, end);
        barrier();
        for (int k = 0; k < matrix_unit::tiles_at_once; ++k) {
            const i64 tile = chunk + k * Tile::tokens;
            if (tile >= end) break;
            lane_rows here;
            queue.wait();
#pragma unroll
            for (int w = 0; w < 8; ++w) here.at[w] = queue.word(stage, w, at.thread());
            const auto fetch_next = [&]() MHC_INLINE { fetch(stage, tile + tile_words::stages * Tile::tokens); };
            if constexpr (!tile_words::stays) fetch_next();
            add_tokens<Tile>(sums, lds + Tile::by_row + k * Tile::row_words, here, lane);
            if constexpr (Parts::input) {
#pragma unroll
                for (int w = 0; w < 8; w += each) {
                    const int token = k * Tile::tokens + w / each * 16;
                    uint4 rows[each] = {};
#pragma unroll
                    for (int j = 0; j < each; ++j)
                        if (Parts::sum && has_channels)
                            rows[j] = load_words_of<Rows::align>(from.d_row + token_at(tile, w + j) * Rows::C + c);
                    const token_products products = multiply_rows<Tile>(fn, lds + Tile::by_token + token + column, lane);
                    if constexpr (tile_words::stays) {  // registers are full of sums
                        queue.wait();
#pragma unroll
                        for (int j = 0; j < each; ++j) here.at[w + j] = queue.word(stage, w + j, at.thread());
                    }
                    store_inputs<Tile, Parts>(from, d_x + stream * d_x_stream, products, here.at + w, rows,
                                              scalars + token * (Tile::n + 1), lane, stream, c, chunk + token, end,
                                              d_x_token, adds);
                }
            }
            if constexpr (tile_words::stays) fetch_next();
            stage = stage + 1 == tile_words::stages ? 0 : stage + 1;
        }
    }
    store_fn_sums<Tile>(to, sums, lane, stream, begin, from.fn_rows);
    queue.wait_for_all();
    barrier();  // before another slice's words come
}

/// Which parts there are beside the sums for d_fn: d_x, and in it the sum of streams.
template <bool HasInput_, bool HasSum_>
struct tile_parts_of {
    static constexpr bool input = HasInput_, sum = HasSum_;
};

/// d_x, and sums[s, r, i*C + c] over the s-th Slice tokens, as matrix_sums has them. A work item is a slice of tokens and
/// Tile::channels channels of all streams. Of all `tokens` the first `valid` are read and written.
template <class Tile, class Parts, int Slice, int WeightAlign, class Grid, class Out, class Data, class Weight, class Matrix>
MHC_DEVICE void gradient_tiles(Grid at, uint4* lds, const gradient_sources<Data, Weight, Matrix>& from, Out* d_x,
                               float* sums, i64 tokens, i64 valid, i64 d_x_token, i64 d_x_stream, bool adds)
{
    using Rows = typename Tile::Rows;
    static_assert(Slice % Tile::chunk == 0, "chunks of a slice are whole");
    constexpr int places = ceil_div(Rows::C, Tile::channels);
    const i64 items = ceil_div_long(valid, Slice) * places;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int first_channel = int(item % places) * Tile::channels;
        const i64 slice = item / places, first = slice * Slice, end = first + Slice < valid ? first + Slice : valid;
        gradient_sources<Data, Weight, Matrix> own = from;
        const i64 split = split_of<Rows>(first_channel, from.splits) * tokens;
        own.d_proj = from.d_proj + split * from.fn_rows;
        if constexpr (Parts::input) own.d_sqsum = from.d_sqsum + split;
        gradient_of_slice<Tile, Parts, WeightAlign>(at, lds, own, d_x, sums + slice * from.fn_rows * (Tile::n * Rows::C),
                                                    first_channel, first, end, d_x_token, d_x_stream, adds);
    }
}

}  // namespace mhc
