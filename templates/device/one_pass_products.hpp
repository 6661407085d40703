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

/// One of the waves that multiply, and make the streams of the next tile before, where they are not as they were fetched;
/// after(j) when it has done its part of the j-th tile.
template <class Pass, class Data, int WeightAlign, bool RoundAsReference = false, class Streams, class Matrix, class After>
MHC_DEVICE void multiply_tiles(typename Pass::memory& lds, tiles_of of, int wave, int lane, const Streams& streams,
                               Matrix fn, After after)
{
    constexpr bool is_scaled = has_fp16_factors<Data, RoundAsReference>;
    using factor_of_data = factor_of<Data, RoundAsReference>;
    constexpr int m = Pass::m, loads = tile_loads<typename Pass::Rows, Pass::n>;
    const tile_place place = place_of<typename Pass::Rows, Pass::n>(int(of.rank), wave);
    tile_weights<m, loads, Pass::in_lds> weights;
    weights.lds = lds.weights_of(wave * (tile_lanes / tile_waves) + lane);
    if (is_scaled) signals_for_products<Pass>{}.meet();  // no registers are left for all weights on their way
    load_tile_weights<Data, typename Pass::Rows, WeightAlign, RoundAsReference>(weights, fn, place, lane, m);
    const u32 known = bits_of(weights);
    if (!is_scaled) signals_for_products<Pass>{}.meet_after(known);
    if (lane == 0) lds.weights_here.arrive_after(known);
    ring<Pass::stages> from;
    ring<2> to;
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
        int places[2];  // of loads by turns, a box having two
#pragma unroll
        for (int i = 0; i < 2; ++i)
            places[i] = Pass::word(place.stream, first / 8 + i * 4 + matrix_unit::group(mine), token);
        lds.ready(from.at).wait(from.turn);
        product_sums products[factors<m>] = {};
        column_squares<loads> squares = {};
        const uint4* const x = lds.x[from.at];
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            const uint4 v = x[places[i % 2] + i / 2 * (Pass::n * Pass::tokens * 8)];
            right_piece<factor_of_data, Data, RoundAsReference> right;
            right.take(&v);
#pragma unroll
            for (int factor = 0; factor < factors<m>; ++factor) {
                left_piece room;
                add_product(products[factor], weights.pieces(factor, i, room), right.high,
                            static_cast<const factor_of_data*>(nullptr));
            }
            right.add_squares(&v, i, squares);
        }
        if (to.turn > 0) lds.parts_gone[to.at].wait(to.turn - 1);
        share_columns<Pass::width, m, is_scaled>(reinterpret_cast<float*>(lds.parts[to.at][wave]), products, squares,
                                                 weights.scales, mine);
        wave_sync();
        if (lane == 0) lds.parts_here[to.at].arrive();
        after(j);
    }
}

}  // namespace mhc
