// mhc/device/project_wide.hpp -- the projection by matrix units on more rows of fn than stay in registers: the same sums as
// in project.hpp, in an order that is a function of n and C.
//
// A work-group has 32 tokens in each of its waves, some tiles of 16 rows of fn, and a slice of the channels of all streams.
// It walks over the slice, 64 channels of a stream at a time: each wave reads its own tokens, and all waves the weights that
// they have split together and put into LDS, where the next step's are made while this one's are multiplied. A sum is one
// chain of products over the slice; weights are the sum of two bf16, as in project_tiles.hpp.
#pragma once

#include <mhc/device/project_tiles.hpp>

namespace mhc {

constexpr int wide_tokens = 32, wide_channels = 64;  ///< of a wave, and of a step
constexpr int wide_parts = wide_tokens / matrix_unit::columns, wide_loads = wide_channels / load_channels;

/// Where a walk over the channels [begin, end) of n streams is.
struct wide_place {
    int stream, channel, begin, end;
    MHC_MEMBER void advance()
    {
        channel += wide_channels;
        if (channel >= end) {
            channel = begin;
            ++stream;
        }
    }
};

/// Weights of a step, `Tiles` times 16 rows: two parts of each, as the lanes of one wave have them as left factors.
template <int Tiles, class Grid>
struct wide_weights {
    using unit = matrix_unit;
    static constexpr int pieces = Tiles * wide_loads, turns = ceil_div(pieces, Grid::waves);
    static constexpr int piece_words = unit::left_rows * Grid::wave_size, words = pieces * 2 * piece_words;
    vec<float, 8> coming[turns][unit::left_rows];  ///< those that this lane splits, on their way

    /// Asks for the weights of a step. Rows past the end stand for the last, since nothing of them is stored.
    template <class Data, int C, int WeightAlign, class Matrix>
    MHC_MEMBER void fetch(Grid at, int wave, Matrix fn, wide_place from, int first_row, int fn_rows)
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int piece = turn * Grid::waves + wave, begin = from.channel + piece % wide_loads * load_channels;
            if (pieces % Grid::waves != 0 && piece >= pieces) break;
#pragma unroll
            for (int item = 0; item < unit::left_rows; ++item) {
                const int row = first_row + piece / wide_loads * 16 + unit::left_row(at.lane(), item);
                coming[turn][item] = load_weights<Data, WeightAlign>(
                    fn.row(smaller(row, fn_rows - 1)) + from.stream * C + begin, unit::group(at.lane()),
                    [=](int c) MHC_INLINE { return C % wide_channels == 0 || begin + c < C; });
            }
        }
    }
    template <bool HasLow>
    MHC_MEMBER void put(Grid at, int wave, uint4* to) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int piece = turn * Grid::waves + wave;
            if (pieces % Grid::waves != 0 && piece >= pieces) break;
            left_piece high, low;
#pragma unroll
            for (int item = 0; item < unit::left_rows; ++item) {
                const weight_parts parts = split_weights(coming[turn][item], HasLow);
                high.rows[item] = parts.high;
                low.rows[item] = parts.low;
            }
            high = in_order(high);
            low = in_order(low);
#pragma unroll
            for (int item = 0; item < unit::left_rows; ++item) {
                uint4* const word = to + piece * 2 * piece_words + item * Grid::wave_size + at.lane();
                word[0] = high.rows[item];
                word[piece_words] = low.rows[item];
            }
        }
    }
    /// The high part (0) or the low one (1) of a tile's weights for one load.
    static MHC_MEMBER left_piece get(const uint4* from, int tile, int load, int part, int lane)
    {
        left_piece piece;
#pragma unroll
        for (int item = 0; item < unit::left_rows; ++item)
            piece.rows[item] = from[((tile * wide_loads + load) * 2 + part) * piece_words + item * Grid::wave_size + lane];
        return piece;
    }
};

/// The tokens of a wave, `first` and those after it, on their way.
template <class Data, class Rows, int Stages, class Grid>
struct wide_rows {
    static constexpr int words = data_words<Data>;
    using queue_of_words = lane_queue<wide_parts * wide_loads * words, Grid::block, Stages>;
    queue_of_words queue;
    const Data* x;
    i64 row[wide_parts], stream;  ///< where this lane's tokens begin, and the distance of their streams

    MHC_MEMBER wide_rows(Grid at, uint4* lds, const Data* x_, i64 first, i64 valid, i64 x_token, i64 x_stream)
        : queue(lds), x(x_), stream(x_stream)
    {
#pragma unroll
        for (int part = 0; part < wide_parts; ++part) {
            const i64 t = first + part * matrix_unit::columns + matrix_unit::column(at.lane());
            row[part] = (t < valid ? t : valid - 1) * x_token;
        }
    }
    MHC_MEMBER void fetch(Grid at, int stage, wide_place from, bool is_there)
    {
        if (is_there) {
#pragma unroll
            for (int load = 0; load < wide_loads; ++load) {
#pragma unroll
                for (int word = 0; word < words; ++word) {
                    const int c =
                        from.channel + load * load_channels + place_in_load<Data>(matrix_unit::group(at.lane()), word);
#pragma unroll
                    for (int part = 0; part < wide_parts; ++part)
                        queue.template ask<Rows::align>(stage, (part * wide_loads + load) * words + word, at.thread(),
                                                        x + row[part] + from.stream * stream + c,
                                                        Rows::C % wide_channels == 0 || c < Rows::C);
                }
            }
        }
        queue.end_set();
    }
};

template <int Tiles>
struct wide_sums {
    product_sums products[Tiles][wide_parts];
    column_squares<wide_loads> squares[wide_parts];

    /// Adds a step's products, of the words of one stage.
    template <class Data, bool RoundAsReference, class Grid, class Queue>
    MHC_MEMBER void add(Grid at, const Queue& x, int stage, const uint4* weights)
    {
        using all_weights = wide_weights<Tiles, Grid>;
        using piece = right_piece<Data, RoundAsReference>;
        constexpr int words = data_words<Data>;
#pragma unroll
        for (int load = 0; load < wide_loads; ++load) {
            piece right[wide_parts];
#pragma unroll
            for (int part = 0; part < wide_parts; ++part) {
                uint4 taken[words];
#pragma unroll
                for (int word = 0; word < words; ++word)
                    taken[word] = x.word(stage, (part * wide_loads + load) * words + word, at.thread());
                right[part].take(taken);
                right[part].add_squares(taken, load, squares[part]);
            }
#pragma unroll
            for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
                for (int part_of_weights = 0; part_of_weights < 2; ++part_of_weights) {
                    const left_piece left = all_weights::get(weights, tile, load, part_of_weights, at.lane());
#pragma unroll
                    for (int part = 0; part < wide_parts; ++part) {
                        add_in_order(products[tile][part], left, right[part].high[0]);
                        if constexpr (piece::has_low)
                            if (part_of_weights == 0) add_in_order(products[tile][part], left, right[part].low[0]);
                    }
                }
            }
        }
    }

    /// Stores them, or adds them to what is there. Squares are the first rows' to store.
    MHC_MEMBER void store(float* proj, float* sqsum, int lane, int first_row, int fn_rows, i64 first, i64 valid,
                          bool is_first) const
    {
        using unit = matrix_unit;
        const auto put = [=](float* to, float sum) MHC_INLINE { *to = is_first ? sum : *to + sum; };
#pragma unroll
        for (int part = 0; part < wide_parts; ++part) {
            const i64 begin = first + part * unit::columns;
#pragma unroll
            for (int tile = 0; tile < Tiles; ++tile) {
#pragma unroll
                for (int i = 0; i < unit::sums; ++i) {
                    const int row = first_row + tile * 16 + unit::sum_row(lane, i);
                    const i64 t = begin + unit::sum_column(lane, i);
                    if (row < fn_rows && t < valid) put(proj + t * fn_rows + row, products[tile][part].at[i]);
                }
            }
            squares[part].give(lane, [=](int column, float sum) MHC_INLINE {
                if (first_row == 0 && begin + column < valid) put(sqsum + begin + column, sum);
            });
        }
    }
};

/// 16 bytes of LDS that a work-group takes.
template <class Data, int Tiles, int Stages, class Grid>
constexpr int wide_room =
    lane_queue<wide_parts * wide_loads * data_words<Data>, Grid::block, Stages>::room + 2 * wide_weights<Tiles, Grid>::words;

/// proj[t, r] and sqsum[t] of one slice, for the tokens of this work-group from `first` on and the rows from first_row on.
template <class Rows, int n, int Tiles, int Stages, int WeightAlign, bool RoundAsReference, class Grid, class Data,
          class Matrix>
MHC_DEVICE void project_wide_slice(Grid at, uint4* lds, const Data* x, Matrix fn, float* proj, float* sqsum, int first_row,
                                   int fn_rows, int slice, bool is_first, i64 first, i64 valid, i64 x_token, i64 x_stream)
{
    using rows_of_wave = wide_rows<Data, Rows, Stages, Grid>;
    using queue_of_words = typename rows_of_wave::queue_of_words;
    using all_weights = wide_weights<Tiles, Grid>;
    const int wave = at.wave(), begin = slice * Rows::slice;
    wide_place next_weights = {0, begin, begin, smaller(begin + Rows::slice, Rows::C)}, next_rows = next_weights;
    const i64 own = first + wave * wide_tokens;
    const bool has_tokens = own < valid;

    all_weights weights;
    uint4* const shared = lds + queue_of_words::room;
    weights.template fetch<Data, Rows::C, WeightAlign>(at, wave, fn, next_weights, first_row, fn_rows);
    rows_of_wave rows(at, lds, x, own, valid, x_token, x_stream);
    auto fetch_rows = [&](int stage) MHC_INLINE {
        rows.fetch(at, stage, next_rows, has_tokens && next_rows.stream < n);
        next_rows.advance();
    };
    for (int stage = 0; stage < queue_of_words::stages; ++stage) fetch_rows(stage);
    weights.template put<!RoundAsReference>(at, wave, shared);
    barrier();

    wide_sums<Tiles> sums = {};
    int stage = 0, room = 0;
    do {
        next_weights.advance();
        if (next_weights.stream < n)
            weights.template fetch<Data, Rows::C, WeightAlign>(at, wave, fn, next_weights, first_row, fn_rows);
        rows.queue.wait();
        const queue_of_words taken = rows.queue;
        if constexpr (!queue_of_words::stays) fetch_rows(stage);
        if (has_tokens) sums.template add<Data, RoundAsReference>(at, taken, stage, shared + room);
        if constexpr (queue_of_words::stays) fetch_rows(stage);
        stage = stage + 1 == queue_of_words::stages ? 0 : stage + 1;
        room = all_weights::words - room;
        if (next_weights.stream < n) weights.template put<!RoundAsReference>(at, wave, shared + room);
        barrier();
    } while (next_weights.stream < n);
    rows.queue.wait_for_all();
    if (has_tokens) sums.store(proj, sqsum, at.lane(), first_row, fn_rows, own, valid, is_first);
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp, of the first RowsMax rows of fn at most.
template <class Rows, int n, int RowsMax, int Tiles, int Stages, int WeightAlign, bool RoundAsReference, class Grid,
          class Data, class Matrix>
MHC_DEVICE void project_wide(Grid at, uint4* lds, const Data* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                             int splits, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    static_assert(Rows::slice % wide_channels == 0 && Rows::C % 8 == 0 && matrix_unit::loads == 1, "whole steps and loads");
    constexpr int slices = Rows::slices, blocks = ceil_div(RowsMax, 16 * Tiles), group_tokens = Grid::waves * wide_tokens;
    const i64 items = (valid + group_tokens - 1) / group_tokens * (slices * blocks);
    for (i64 item = at.group; item < items; item += at.groups) {
        const int first_row = int(item % blocks) * (16 * Tiles), split = int(item / blocks % slices);
        if (first_row >= fn_rows || split >= splits) continue;
        const int used = smaller(splits, slices), begin = split * slices / used, end = (split + 1) * slices / used;
        for (int slice = begin; slice < end; ++slice)
            project_wide_slice<Rows, n, Tiles, Stages, WeightAlign, RoundAsReference>(
                at, lds, x, fn, proj + split * tokens * fn_rows, sqsum + split * tokens, first_row, fn_rows, slice,
                slice == begin, item / (slices * blocks) * group_tokens, valid, x_token, x_stream);
    }
    if (splits > slices) {  // there is nothing left for the others
        clear(at, proj + slices * tokens * fn_rows, splits - slices, valid * fn_rows, tokens * fn_rows);
        clear(at, sqsum + slices * tokens, splits - slices, valid, tokens);
    }
}

}  // namespace mhc
