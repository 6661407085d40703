// mhc/device/one_pass_products.hpp -- the waves of one_pass.hpp that multiply: the sums of project_tiles.hpp, a tile of 8
// tokens at a time.
#pragma once

#include <mhc/device/one_pass_room.hpp>

namespace mhc {

/// Bits that all weights that a lane has in registers have a part in.
template <int m, int Loads, int InLds>
MHC_DEVICE u32 bits_of(const tile_weights<m, Loads, InLds>& weights)
{
    u32 bits = 0;
#pragma unroll
    for (int factor = 0; factor < factors<m>; ++factor) {
#pragma unroll
        for (int i = 0; i < Loads; ++i) {
            if (weights.is_in_lds(factor, i)) continue;
#pragma unroll
            for (int row = 0; row < matrix_unit::left_rows; ++row) {
                const uint4 v = weights.at[factor][i].rows[row];
                bits ^= v.x ^ v.y ^ v.z ^ v.w;
            }
        }
    }
    return bits;
}

/// The products of the low parts of x, as `multiply` makes them. It has a head's low parts of weights in a factor of their
/// own, that it leaves out here; a head alone has them beside the high ones.
template <int m>
MHC_DEVICE void add_low_product(product_sums& sums, const left_piece* left, const uint4* low)
{
    const left_piece high = {{left->rows[0], {0, 0, 0, 0}}};
    add_product(sums, full_factors<m> == 0 ? &high : left, low);
}

/// One of the waves that multiply, and make the streams of the next tile before, where they are not as they were fetched;
/// after(j) when it has done its part of the j-th tile.
template <class Pass, class Data, int WeightAlign, bool RoundAsReference = false, class Streams, class Matrix, class After>
MHC_DEVICE void multiply_tiles(typename Pass::memory& lds, tiles_of of, int wave, int lane, const Streams& streams,
                               Matrix fn, After after)
{
    constexpr bool is_scaled = has_fp16_factors<Data, RoundAsReference>;
    using factor_of_data = factor_of<Data, RoundAsReference>;
    using piece = right_piece<factor_of_data, Data, RoundAsReference>;
    constexpr int m = Pass::m, loads = tile_loads<typename Pass::Rows, Pass::n>, words = data_words<Data>;
    constexpr bool asks_first = loads * words <= 4;  ///< weights of more loads leave no registers for all words
    constexpr bool squares_follow = Pass::is_one_row && asks_first;  ///< a branch between products would keep them apart
    static_assert(Pass::each * words == 8, "a load's channels of a lane");
    const tile_place place = place_of<typename Pass::Rows, Pass::n>(int(of.rank), wave);
    tile_weights<m, loads, Pass::in_lds> weights;
    weights.lds = lds.weights_of(wave * (tile_lanes / tile_waves) + lane);
    if (is_scaled) signals_for_products<Pass>{}.meet();  // no registers are left for all weights on their way
    load_tile_weights<Data, typename Pass::Rows, WeightAlign, RoundAsReference>(weights, fn, place, lane, m);
    const u32 known = bits_of(weights);
    if (!is_scaled) signals_for_products<Pass>{}.meet_after(known);
    if (lane == 0) lds.weights_here.arrive_after(known);
    ring<Pass::stages> from;
    ring<Pass::parts_rooms> to;
    ring<Pass::stages> next;
    next.next();
    if (Pass::is_made) wait_for_last_kernel();  // for post and mix
    float coming = of.count > 1 ? streams.weight_of_lane(of, 1, wave, lane) : 0.0f;
    for (int j = 0; j < of.count; ++j, from.next(), to.next(), next.next()) {
        if (Pass::is_made && j + 1 < of.count) {
            if (j == 0) lds.ready(0).wait(0);  // until then others make a token of this wave's
            const int here = made_anew(lane);
            const float weight = coming;
            if (j + 2 < of.count) coming = streams.weight_of_lane(of, j + 2, wave, here);
            streams.make(lds, of, j + 1, next.at, next.turn, wave, here, weight);
        }
        // What follows from it is no more kept beside many weights, or scales.
        const int mine = Pass::is_made || loads > 6 || is_scaled ? made_anew(lane) : lane;
        if (Pass::in_lds > 0) weights.lds = lds.weights_of(wave * (tile_lanes / tile_waves) + mine);
        const int token = Pass::token_of(matrix_unit::column(mine)), first = place.first - int(of.rank) * Pass::slice;
        int places[2];  // of words by turns, a box having two of a lane's
#pragma unroll
        for (int i = 0; i < 2; ++i)
            places[i] = Pass::word(place.stream, first / Pass::each + i * 4 + matrix_unit::group(mine), token);
        lds.ready(from.at).wait(from.turn);
        product_sums products[factors<m>] = {};
        column_squares<loads> squares = {};
        // Squares of one row are those of all streams: their waves make them by turns.
        const bool has_squares = !Pass::is_one_row || place.stream == j % Pass::n;
        const auto word = [&, x = lds.x[from.at]](int i) MHC_INLINE { return x[places[i % 2] + i / 2 * Pass::box]; };
        uint4 asked[asks_first ? loads * words : words];
        if (asks_first) {
#pragma unroll
            for (int i = 0; i < loads * words; ++i) asked[i] = word(i);
            wave_sync();  // else the compiler asks for each when the one before has been used, to save registers
        }
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            if (!asks_first) {
#pragma unroll
                for (int k = 0; k < words; ++k) asked[k] = word(i * words + k);
            }
            const uint4* const v = asked + (asks_first ? i * words : 0);
            piece right;
            right.take(v);
#pragma unroll
            for (int factor = 0; factor < factors<m>; ++factor) {
                left_piece room;
                const left_piece* const left = weights.pieces(factor, i, room);
                add_product(products[factor], left, right.high, static_cast<const factor_of_data*>(nullptr));
                if constexpr (piece::has_low)
                    if (factor % 2 == 0) add_low_product<m>(products[factor], left, right.low);
            }
            if (!squares_follow && has_squares) right.add_squares(v, i, squares);
        }
        if (squares_follow && has_squares) {
#pragma unroll
            for (int i = 0; i < loads; ++i) {
                piece right;
                right.take(asked + i * words);
                right.add_squares(asked + i * words, i, squares);
            }
        }
        if (to.turn > 0) lds.parts_gone[to.at].wait(to.turn - 1);
        float* const sums = reinterpret_cast<float*>(lds.parts[to.at][wave]);
        share_products<Pass::width, m, is_scaled>(sums, products, weights.scales, mine);
        if (has_squares)
            squares.give(mine, [&](int column, float sum) MHC_INLINE {
                const int place = column * Pass::width + tile_products<m>;
                if (!Pass::is_one_row) {
                    sums[place] = sum;
                    return;
                }
                constexpr int each = Pass::waves / Pass::n;
#pragma unroll
                for (int stream = 0; stream < Pass::n; ++stream)
                    reinterpret_cast<float*>(lds.parts[to.at][stream * each + wave % each])[place] = sum;
            });
        wave_sync();
        if (lane == 0) lds.parts_here[to.at].arrive();
        after(j);
    }
}

}  // namespace mhc
