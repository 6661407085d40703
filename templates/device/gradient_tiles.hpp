// mhc/device/gradient_tiles.hpp -- gradients of a projection of bf16 streams by matrix units: of the streams and of fn, x
// being read once for both.
//
//   d_x[t,k]  = sum_r d_proj[t,r] fn[r,k] + 2 d_sqsum[t] x[t,k] + the parts of input_gradient.hpp that are elementwise
//   sums[r,k] = sum_t d_proj[t,r] x[t,k], over the tokens of a slice
//
// fn and d_proj are sums of two bf16, as weights are in project_tiles.hpp; products are exact, sums are float. A work-group
// has a slice of the tokens and some channels of one stream, of which a wave has 8 in each column of a product. (Of one:
// rows that are read and written in longer pieces take less time than a gradient that all streams share saves.) It walks
// over tiles of tokens. fn and d_proj are in LDS in octets of 8 rows or 8 tokens, what a lane has of a factor: many
// work-groups have the same ones, which a kernel before arranges for them. x is where a sum over rows leaves its tokens, and
// from there a factor of a sum over tokens.
#pragma once

#include <mhc/device/gradient_factors.hpp>
#include <mhc/device/input_gradient.hpp>

namespace mhc {

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
    for (int f = 0; f <= full; ++f) {
#pragma unroll
        for (int item = 0; item < unit::left_rows; ++item)
            left[f].rows[item] = d_proj[(f * unit::left_rows + item) * Tile::wave_size + lane];
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
            add_in_order(sums.at[2 * pair][f / 2], left[f], columns[0]);
            add_in_order(sums.at[2 * pair + 1][f / 2], left[f], columns[1]);
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

/// (fn's high + low) * (d_proj's high + low) of 16 tokens: of each octet of rows the four products of parts, as many in one
/// instruction as lanes have octets of their own. `fn` and `d_proj` are where the lane's columns and tokens are.
template <class Tile>
MHC_DEVICE token_products multiply_rows(const uint4* fn, const uint4* d_proj, int lane)
{
    using unit = matrix_unit;
    constexpr int octets = Tile::octets;
    token_products sums = {};
#pragma unroll
    for (int first = 0; first < 4; first += unit::groups) {
        const int parts = first + unit::group(lane);
        const uint4* const weights = fn + parts / 2 * (octets * Tile::column_words);
        const uint4* const tokens = d_proj + parts % 2 * (octets * Tile::token_words);
#pragma unroll
        for (int octet = 0; octet < octets; ++octet)
            sums.add([=](int word) MHC_INLINE { return weights[octet * Tile::column_words + word * unit::columns]; },
                     [=](int token) MHC_INLINE { return tokens[octet * Tile::token_words + token]; });
    }
    return sums;
}

/// 8 channels of a row as they are kept until they are used, and their values.
template <int Align>
MHC_DEVICE uint4 keep_row(const bf16* row)
{
    return load_words_of<Align>(row);
}
template <int>
MHC_DEVICE vec<float, 8> keep_row(const float* row)
{
    return load<8, 16>(row);
}
MHC_DEVICE vec<float, 8> values_of(uint4 row) { return widen_bf16(row); }
MHC_DEVICE vec<float, 8> values_of(const vec<float, 8>& row) { return row; }

/// Of several tokens.
template <class Kept, int Count>
struct lane_pieces {
    Kept at[Count];
};

/// What a lane's 8 channels of one stream are in, at the first token of a tile that its group has. d_out is stream 0's where
/// streams are mixed.
template <class Out, class Data, class Row>
struct lane_place {
    const Data* x;
    const Row* d_row;
    const Data* d_out;
    Out* d_x;
    const float* scalars;
};

/// d_x of a lane's word k of a tile: its products, and the elementwise parts. Where that is not there, of something else.
template <class Tile, class Parts, class Out, class Data, class Row, class Kept, class Weight, class Matrix>
MHC_DEVICE vec<float, 8> input_of(const gradient_sources<Data, Weight, Matrix>& from, const lane_place<Out, Data, Row>& at,
                                  int k, const token_products& sums, uint4 x, const Kept& row, bool is_there)
{
    using Rows = typename Tile::Rows;
    const int token = token_of_word(k);
    const float* const by = at.scalars + token * scalars_of<Parts, Tile::n>;
    vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = sums.get(k % token_products::tokens, i);
    v = fma<8>(splat<8>(by[0]), widen_bf16(x), v);
    if constexpr (Parts::sum) v = fma<8>(splat<8>(by[1]), values_of(row), v);
    const Data* const d_out = is_there ? at.d_out + token * from.g_token : from.d_out;
    if constexpr (Parts::mix) {
#pragma unroll
        for (int o = 0; o < Tile::n; ++o) v = fma<8>(splat<8>(by[2 + o]), Rows::load(d_out + o * from.g_stream, 0), v);
    } else {
        if (from.d_out) v = v + Rows::load(d_out, 0);
    }
    return v;
}

/// The tokens [first, end) and the channels of a stream from first_channel on. d_proj and d_sqsum are where the split of
/// these begins.
template <class Tile, class Parts, int WeightAlign, class Grid, class Row, class Out, class Data, class Weight, class Matrix>
MHC_DEVICE void gradient_of_slice(Grid at, uint4* lds, const gradient_sources<Data, Weight, Matrix>& from, const Row* d_row,
                                  Out* d_x, float* to, int stream, int first_channel, i64 first, i64 end, i64 d_x_token,
                                  i64 d_x_stream, bool adds)
{
    using Rows = typename Tile::Rows;
    constexpr int each = token_products::tokens;
    const int lane = made_anew(at.lane()), wave = at.wave(), column = matrix_unit::column(lane);
    const int begin = first_channel + wave * Tile::wave_channels;
    const int c = begin + column * 8, own_token = token_of_word(matrix_unit::group(lane), 0);
    const bool has_channels = Rows::C % Tile::channels == 0 || c < Rows::C;
    const i64 t = first + own_token;
    lane_place<Out, Data, Row> place = {};
    place.x = from.x + t * from.x_token + stream * from.x_stream + c;
    if constexpr (Parts::sum) place.d_row = d_row + t * Rows::C + c;
    if (from.d_out) place.d_out = from.d_out + t * from.g_token + (Parts::mix ? 0 : stream * from.g_stream) + c;
    place.d_x = d_x + t * d_x_token + stream * d_x_stream + c;
    using tile_words = typename Tile::queue_of_tiles;
    tile_words queue(lds + Tile::queue);
    const int place_in_queue = place_of_columns(at.thread());
    const Data* next = place.x;
    int next_left = int(end - first) - own_token;  // of this lane's tokens: what is past the end is not read, but zeros
    auto fetch = [&](int stage) MHC_INLINE {
#pragma unroll
        for (int k = 0; k < 8; ++k)
            queue.template ask<Rows::align>(stage, k, place_in_queue, next + token_of_word(k) * from.x_token,
                                            has_channels && token_of_word(k) < next_left);
        next += Tile::tokens * from.x_token;
        next_left -= Tile::tokens;
        queue.end_set();
    };
    for (int stage = 0; stage < tile_words::stages; ++stage) fetch(stage);
    bring_fn<Tile, WeightAlign>(at, lds, from.fn, stream, first_channel, from.fn_rows);
    const uint4* const fn = lds + wave * Tile::wave_channels + column;
    float* const scalars = reinterpret_cast<float*>(lds + Tile::scalars);
    using kept = decltype(keep_row<Rows::align>(place.d_row));
    // Rows of bf16 are asked for half a tile ahead, where x is in LDS and registers are left.
    constexpr bool rows_ahead = Parts::sum && tile_words::stays && sizeof(kept) == 16;
    auto is_there = [=](int word, int left) MHC_INLINE { return has_channels && own_token + token_of_word(word) < left; };
    auto ask_rows = [=](lane_pieces<kept, each>& rows, const Row* from_row, int word, int left) MHC_INLINE {
#pragma unroll
        for (int j = 0; j < each; ++j) {
            rows.at[j] = {};
            if (Parts::sum && is_there(word + j, left))
                rows.at[j] = keep_row<Rows::align>(from_row + token_of_word(word + j) * Rows::C);
        }
    };
    lane_pieces<kept, each> coming = {};
    if constexpr (rows_ahead) ask_rows(coming, place.d_row, 0, int(end - first));
    fn_sums<Tile::rows> sums = {};
    int stage = 0;
    for (int left = int(end - first); left > 0;) {
        const i64 chunk = end - left;
        barrier();  // before what the last chunk's tiles read is overwritten
        bring_d_proj<Tile>(at, lds, from.fn, from.d_proj + chunk * from.fn_rows, chunk, left, from.fn_rows);
        keep_scalars<Tile, Parts>(at, scalars, from.d_sqsum + chunk, from.p + chunk * from.coefficients_token,
                                  from.mix + chunk * from.coefficients_token, stream, int(from.coefficients_token), left);
        if constexpr (is_arranged<Matrix>) queue.wait_for_all();
        barrier();
        for (int k = 0; k < Tile::tiles && left > 0; ++k, left -= Tile::tokens) {
            lane_rows here;
            queue.wait();
#pragma unroll
            for (int w = 0; w < 8; ++w) here.at[w] = queue.word(stage, w, place_in_queue);
            if constexpr (!tile_words::stays) fetch(stage);
            add_tokens<Tile>(sums, lds + Tile::by_row + k * Tile::row_words, here, lane);
            place.scalars = scalars + (k * Tile::tokens + own_token) * scalars_of<Parts, Tile::n>;
#pragma unroll
            for (int w = 0; w < 8; w += each) {
                lane_pieces<kept, each> rows = coming;
                if constexpr (rows_ahead) {
                    if (w + each < 8)
                        ask_rows(coming, place.d_row, w + each, left);
                    else
                        ask_rows(coming, place.d_row + Tile::tokens * Rows::C, 0, left - Tile::tokens);
                } else {
                    ask_rows(rows, place.d_row, w, left);
                }
                const int token = k * Tile::tokens + w / each * 16;
                const token_products products = multiply_rows<Tile>(fn, lds + Tile::by_token + token + column, lane);
                if constexpr (tile_words::stays) {  // registers are full of sums
                    queue.wait();
#pragma unroll
                    for (int j = 0; j < each; ++j) here.at[w + j] = queue.word(stage, w + j, place_in_queue);
                }
                // All are made before the first is stored: what a store may change is not asked for ahead of it.
                vec<float, 8> made[each];
#pragma unroll
                for (int j = 0; j < each; ++j)
                    made[j] = input_of<Tile, Parts>(from, place, w + j, products, here.at[w + j], rows.at[j],
                                                    is_there(w + j, left));
#pragma unroll
                for (int j = 0; j < each; ++j)
                    if (is_there(w + j, left))
                        store_gradient<Rows>(place.d_x + token_of_word(w + j) * d_x_token, 0, made[j], adds);
            }
            if constexpr (Parts::sum) place.d_row += Tile::tokens * Rows::C;
            if (place.d_out) place.d_out += Tile::tokens * from.g_token;
            place.d_x += Tile::tokens * d_x_token;
            if constexpr (tile_words::stays) fetch(stage);
            stage = stage + 1 == tile_words::stages ? 0 : stage + 1;
        }
    }
    store_fn_sums<Tile>(to, sums, lane, stream, begin, from.fn_rows);
    queue.wait_for_all();
    barrier();  // before another slice's words come
}

/// d_x, d_a being the rows of d_row, and sums[s, r, i*C + c] over the s-th Slice tokens, as matrix_sums has them. A work
/// item is a slice of tokens and Tile::channels channels of a stream. Of all `tokens` the first `valid` are read and
/// written.
template <class Tile, class Parts, int Slice, int WeightAlign, class Grid, class Row, class Out, class Data, class Weight,
          class Matrix>
MHC_DEVICE void gradient_tiles(Grid at, uint4* lds, const gradient_sources<Data, Weight, Matrix>& from, const Row* d_row,
                               Out* d_x, float* sums, i64 tokens, i64 valid, i64 d_x_token, i64 d_x_stream, bool adds)
{
    using Rows = typename Tile::Rows;
    static_assert(Slice % Tile::chunk == 0, "chunks of a slice are whole");
    const i64 items = ceil_div_long(valid, Slice) * Tile::of_fn;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int stream = int(item % Tile::n), first_channel = int(item / Tile::n % Tile::places) * Tile::channels;
        const i64 slice = item / Tile::of_fn, first = slice * Slice, end = first + Slice < valid ? first + Slice : valid;
        gradient_sources<Data, Weight, Matrix> own = from;
        const i64 split = split_of<Rows>(first_channel, from.splits) * tokens;
        own.d_proj = from.d_proj + split * from.fn_rows;
        own.d_sqsum = from.d_sqsum + split;
        gradient_of_slice<Tile, Parts, WeightAlign>(at, lds, own, d_row, d_x,
                                                    sums + slice * from.fn_rows * (Tile::n * Rows::C), stream, first_channel,
                                                    first, end, d_x_token, d_x_stream, adds);
    }
}

}  // namespace mhc
