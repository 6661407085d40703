// mhc/device/project_tiles.hpp -- the projection by matrix units: the same sums as in project.hpp, in another order, which
// is a function of n, C and the data's type too.
//
// Weights of any type are a sum of two bf16, high and low: what that leaves out is below 2^-17 of a weight. Products are
// exact, sums are float. A slice is some channels of all n streams. A work-group keeps the weights of one slice in
// registers, a wave those of some of its channels of one stream, and walks over tiles of 16 tokens: x is read once, ahead of
// its use; fn is the left factor, so that what one load brings is the right one as it is. How factors and products lie in
// lanes is matrix_unit's, of a target's matrix header.
#pragma once

#include <mhc/device/tile_weights.hpp>

namespace mhc {

/// 16 tokens of a wave's channels.
template <class Data, int Loads>
struct tile_rows {
    uint4 at[tile_parts][Loads * data_words<Data>];
};

/// Registers of weights that are kept beside the tile that is multiplied. Where some have to go to LDS, so many do that
/// there are registers for all of a tile, of which fp32 has twice as many.
template <class Data>
constexpr int weights_kept = sizeof(Data) == 4 ? 120 : 168;
template <int m, class Data, int Loads>
constexpr int pieces_in_lds = weight_registers<m, Loads> <= weights_kept<Data>
                                  ? 0
                                  : (weight_registers<m, Loads> - (sizeof(Data) == 4 ? 112 : 152)) /
                                        (matrix_unit::left_rows * 4);

/// Three tiles of two bytes a number on their way; one fewer of four, and where weights have a part of LDS.
template <class Data, bool HasWeights>
constexpr int tile_stages = 3 - (sizeof(Data) == 4 ? 1 : 0) - (HasWeights ? 1 : 0);
template <int m, class Data, int Loads, class Grid>
using tile_queue =
    lane_queue<tile_parts * Loads * data_words<Data>, Grid::block, tile_stages<Data, pieces_in_lds<m, Data, Loads> != 0>>;

/// Asks for this lane's part of 16 tokens; those past the end stand for the last, and of a tile past it there is nothing.
template <class Rows, int Loads, class Queue, class Data, class Grid>
MHC_DEVICE void fetch_tile(Queue& queue, Grid at, int stage, const Data* x, tile_place place, i64 first_token, i64 tokens,
                           i64 x_token, i64 x_stream)
{
    constexpr int words = data_words<Data>;
    if (first_token < tokens) {
#pragma unroll
        for (int part = 0; part < tile_parts; ++part) {
            const i64 t = first_token + part * matrix_unit::columns + matrix_unit::column(at.lane());
            const Data* const from = x + (t < tokens ? t : tokens - 1) * x_token + place.stream * x_stream;
#pragma unroll
            for (int i = 0; i < Loads; ++i) {
#pragma unroll
                for (int word = 0; word < words; ++word) {
                    const int c = place.first + load_channels * i + place_in_load<Data>(matrix_unit::group(at.lane()), word);
                    const bool is_there = Rows::C % Rows::slice == 0 || c < place.end;
                    queue.template ask<Rows::align>(stage, (part * Loads + i) * words + word, at.thread(), from + c,
                                                    is_there);
                }
            }
        }
    }
    queue.end_set();
}

template <class Data, int Loads, class Queue, class Grid>
MHC_DEVICE tile_rows<Data, Loads> take_tile(const Queue& queue, Grid at, int stage)
{
    constexpr int words = Loads * data_words<Data>;
    tile_rows<Data, Loads> rows;
    queue.wait();
#pragma unroll
    for (int part = 0; part < tile_parts; ++part) {
#pragma unroll
        for (int i = 0; i < words; ++i) rows.at[part][i] = queue.word(stage, part * words + i, at.thread());
    }
    return rows;
}

/// Sums of one wave over its channels, of each part of a tile's tokens.
template <int m, int Loads>
struct wave_sums {
    product_sums products[tile_parts][factors<m>];
    column_squares<Loads> squares[tile_parts];
};

template <bool RoundAsReference, class Data, int m, int Loads, int InLds>
MHC_DEVICE wave_sums<m, Loads> multiply(const tile_rows<Data, Loads>& x, const tile_weights<m, Loads, InLds>& by)
{
    using factor_of_data = factor_of<Data, RoundAsReference>;
    using piece = right_piece<factor_of_data, Data, RoundAsReference>;
    wave_sums<m, Loads> sums = {};
#pragma unroll
    for (int i = 0; i < Loads; i += matrix_unit::loads) {
        piece right[tile_parts];
#pragma unroll
        for (int part = 0; part < tile_parts; ++part) right[part].take(x.at[part] + i * data_words<Data>);
#pragma unroll
        for (int factor = 0; factor < factors<m>; ++factor) {
            left_piece room;
            const left_piece* const left = by.pieces(factor, i, room);
#pragma unroll
            for (int part = 0; part < tile_parts; ++part) {
                product_sums& sum = sums.products[part][factor];
                add_product(sum, left, right[part].high, static_cast<const factor_of_data*>(nullptr));
                // Low parts of weights are in every second factor alone, and with high ones in the last.
                if constexpr (piece::has_low)
                    if (factor % 2 == 0) add_product(sum, left, right[part].low);
            }
        }
#pragma unroll
        for (int part = 0; part < tile_parts; ++part)
            right[part].add_squares(x.at[part] + i * data_words<Data>, i, sums.squares[part]);
    }
    return sums;
}

/// Of a token's sums in LDS, those of products first, then that of squares.
template <int m>
constexpr int tile_products = ceil_div(m, 8) * 8;
template <int m>
constexpr int tile_width = matrix_unit::spaced(tile_products<m> + 1);

/// Floats of LDS that the waves' sums of a tile take. Those of twice as many tiles as are made between two barriers have
/// room, so that one barrier is enough.
template <int m>
constexpr int tile_floats = tile_waves* tile_tokens* tile_width<m>;
constexpr int tiles_at_once = matrix_unit::tiles_at_once;

/// 16 bytes of LDS that a work-group takes.
template <class Data, class Rows, int n, class Grid>
constexpr int tile_room =
    tile_queue<n * n + 2 * n, Data, tile_loads<Rows, n>, Grid>::room + 2 * tiles_at_once* tile_floats<n * n + 2 * n> / 4 +
    pieces_in_lds<n * n + 2 * n, Data, tile_loads<Rows, n>>* piece_words;

/// A sum of a factor's products, its scale undone: number `item` of a lane's.
template <bool IsScaled>
MHC_DEVICE float unscaled(float sum, row_scales scales, int factor, int item)
{
    return IsScaled ? sum * scales.inverse(factor / 2 * matrix_unit::left_rows + item / (matrix_unit::sums / 2)) : sum;
}

/// A wave's sums of as many tokens as a product has columns, to LDS, `Width` floats a token: those of products.
template <int Width, int m, bool IsScaled>
MHC_DEVICE void share_products(float* to, const product_sums (&products)[factors<m>], row_scales scales, int lane)
{
    using unit = matrix_unit;
    constexpr int last = full_factors<m>;
    auto sums_of = [=](int item) MHC_INLINE { return to + unit::sum_column(lane, item) * Width; };
#pragma unroll
    for (int factor = 0; factor < last; factor += 2) {
#pragma unroll
        for (int i = 0; i < unit::sums; ++i)
            sums_of(i)[factor * 8 + unit::sum_row(lane, i)] =
                unscaled<IsScaled>(products[factor].at[i] + products[factor + 1].at[i], scales, factor, i);
    }
#pragma unroll
    for (int i = 0; i < unit::sums / 2; ++i)
        sums_of(i)[last * 8 + row_of_parts(unit::sum_row(lane, i))] =
            unscaled<IsScaled>(products[last].at[i] + products[last].at[i + unit::sums / 2], scales, last, i);
}

/// The same, and then those of squares.
template <int Width, int m, bool IsScaled, int Loads>
MHC_DEVICE void share_columns(float* to, const product_sums (&products)[factors<m>], const column_squares<Loads>& squares,
                              row_scales scales, int lane)
{
    share_products<Width, m, IsScaled>(to, products, scales, lane);
    squares.give(lane, [=](int column, float sum) MHC_INLINE { to[column * Width + tile_products<m>] = sum; });
}

template <bool IsScaled, int m, int Loads>
MHC_DEVICE void share_sums(float* to, const wave_sums<m, Loads>& sums, row_scales scales, int lane)
{
    constexpr int width = tile_width<m>;
#pragma unroll
    for (int part = 0; part < tile_parts; ++part)
        share_columns<width, m, IsScaled>(to + part * matrix_unit::columns * width, sums.products[part], sums.squares[part],
                                          scales, lane);
}

/// What a lane adds up and stores of each tile: number e = thread + turn * block of the tile's sums.
template <int m, class Grid>
struct tile_results {
    static constexpr int width = tile_width<m>, count = tile_tokens * width, turns = ceil_div(count, Grid::block);
    float* to[turns];  ///< of tile 0
    int token[turns];  ///< in its tile; so large that it is past every end where there is nothing to store
    i64 per_tile[turns];

    MHC_MEMBER tile_results(Grid at, float* proj, float* sqsum, int split, i64 tokens, int fn_rows)
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int e = at.thread() + turn * Grid::block, r = e % width;
            const bool is_square = r == tile_products<m>;
            const i64 place = split * tokens + e / width;
            token[turn] = e < count && (is_square || r < fn_rows) ? e / width : 0x7fffffff;
            to[turn] = is_square ? sqsum + place : proj + place * fn_rows + r;
            per_tile[turn] = tile_tokens * i64(is_square ? 1 : fn_rows);
        }
    }

    /// Adds the waves' sums, in four parts of waves w, w + 4, ...: the first slice of a split sets, others add.
    MHC_MEMBER void store(Grid at, const float* shared, i64 tile, i64 valid, bool is_first) const
    {
        const i64 left = valid - tile * tile_tokens;
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            if (token[turn] >= left) continue;
            const float* const from = shared + at.thread() + turn * Grid::block;
            float parts[4];
#pragma unroll
            for (int w = 0; w < tile_waves; ++w) parts[w % 4] = w < 4 ? from[w * count] : parts[w % 4] + from[w * count];
            const float sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
            float* const place = to[turn] + tile * per_tile[turn];
            *place = is_first ? sum : *place + sum;
        }
    }
};

/// Tiles first, first + step, ... of the sums over one slice.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, class Grid, class Data, class Matrix>
MHC_DEVICE void project_slice(Grid at, uint4* lds, const Data* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int split, int slice, bool is_first, i64 first_tile, i64 step, i64 tokens, i64 valid,
                              i64 x_token, i64 x_stream)
{
    constexpr int m = n * n + 2 * n, loads = tile_loads<Rows, n>;
    const int lane = at.lane(), wave = at.wave();
    const tile_place place = place_of<Rows, n>(slice, wave);
    const i64 tiles = (valid + tile_tokens - 1) / tile_tokens;

    using queue_of_tiles = tile_queue<m, Data, loads, Grid>;
    constexpr int stages = queue_of_tiles::stages, room_floats = tiles_at_once * tile_floats<m>;

    tile_weights<m, loads, pieces_in_lds<m, Data, loads>> weights;
    weights.lds = lds + queue_of_tiles::room + 2 * room_floats / 4 + at.thread();
    load_tile_weights<Data, Rows, WeightAlign, RoundAsReference>(weights, fn, place, lane, fn_rows);
    wait_for_last_kernel();
    let_next_kernel_start();  // not earlier: it may read what the last one wrote

    const tile_results<m, Grid> results(at, proj, sqsum, split, tokens, fn_rows);
    queue_of_tiles queue(lds);
    float* const shared = reinterpret_cast<float*>(lds + queue_of_tiles::room);
    auto fetch = [&](int stage, i64 tile) MHC_INLINE {
        fetch_tile<Rows, loads>(queue, at, stage, x, place, tile * tile_tokens, valid, x_token, x_stream);
    };
    for (int stage = 0; stage < stages; ++stage) fetch(stage, first_tile + stage * step);
    int stage = 0, room = 0;
    auto make = [&](i64 tile, float* to) MHC_INLINE {
        const wave_sums<m, loads> sums = multiply<RoundAsReference>(take_tile<Data, loads>(queue, at, stage), weights);
        fetch(stage, tile + stages * step);
        share_sums<has_fp16_factors<Data, RoundAsReference>>(to + wave * tile_tokens * tile_width<m>, sums, weights.scales,
                                                             lane);
        stage = stage + 1 == stages ? 0 : stage + 1;
    };
    for (i64 tile = first_tile; tile < tiles; tile += tiles_at_once * step) {
#pragma unroll
        for (int k = 0; k < tiles_at_once; ++k)
            if (tile + k * step < tiles) make(tile + k * step, shared + room + k * tile_floats<m>);
        barrier();
#pragma unroll
        for (int k = 0; k < tiles_at_once; ++k)
            if (tile + k * step < tiles)
                results.store(at, shared + room + k * tile_floats<m>, tile + k * step, valid, is_first);
        room = room_floats - room;
    }
    queue.wait_for_all();
    barrier();  // before another slice's sums come
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp. The number of groups is a multiple of that of slices.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, class Grid, class Data, class Matrix>
MHC_DEVICE void project_tiles(Grid at, uint4* lds, const Data* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int splits, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    static_assert(Grid::waves == tile_waves && Rows::slice * n == tile_waves * tile_loads<Rows, n> * load_channels,
                  "waves have as many channels");
    constexpr int slices = Rows::slices;
    const u32 used = u32(smaller(splits, slices)), group = u32(at.group), groups = u32(at.groups);
    const int split = int(group % used);
    const i64 first_tile = group / used, step = groups / used;
    const bool is_one = used == u32(slices);  // of each split, as always but in a caller's splits: no divisions then
    const int begin = is_one ? split : int(u32(split * slices) / used),
              end = is_one ? split + 1 : int(u32((split + 1) * slices) / used);
    // With fewer splits than slices some groups may be left over.
    for (int slice = begin; first_tile < step && slice < end; ++slice)
        project_slice<Rows, n, WeightAlign, RoundAsReference>(at, lds, x, fn, proj, sqsum, fn_rows, split, slice,
                                                              slice == begin, first_tile, step, tokens, valid, x_token,
                                                              x_stream);
    wait_for_last_kernel();  // by those that had nothing to do
    if (splits > slices) {
        clear(at, proj + slices * tokens * fn_rows, splits - slices, valid * fn_rows, tokens * fn_rows);
        clear(at, sqsum + slices * tokens, splits - slices, valid, tokens);
    }
}

}  // namespace mhc
