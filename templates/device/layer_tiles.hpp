// mhc/device/layer_tiles.hpp -- the gradient of mHC.cu's layer with coefficients of each token, of what layer_sums.hpp
// has made of a token's products: the gradient of the sum of streams is made where it is used.
//
//   a = sum_i p_i x_i, h = e0 sum_i q_i g_i, d_a = weight h - e1 a
//   d_x[i] = sum_o M[o,i] g[o] + p_i d_a + 2 d_sqsum x[i] + sum_r d_proj[r] fn[r,i]
//   sums = sum_t d_proj[t,r] x[t,i], weight_sums = sum_t h a, over the tokens of a slice
#pragma once

#include <mhc/device/group_streams.hpp>

namespace mhc {

/// Numbers of a token: its coefficients, the gradient of the sum of squares, and e0 and e1 of its norm.
template <int n>
struct layer_numbers : token_numbers<(n * n + 2 * n + 2) / 4 + 1> {
    static constexpr int p = 0, q = n, mix = 2 * n, d_sqsum = mix + n * n, e0 = d_sqsum + 1, e1 = e0 + 1;
    using token_numbers<e1 / 4 + 1>::token_numbers;
};

/// Places in LDS are in words of 16 bytes: of each of two tiles x, the gradient of out, d_proj and numbers of the tokens;
/// fn; the waves' sums for the norm's weight, of two items by turns, and each lane's own ones, for which registers have no
/// room; and what tells that factors have come.
template <class Rows_, int n_, int RowsMax>
struct layer_tile : streams_tile<Rows_, n_, RowsMax> {
    using base = streams_tile<Rows_, n_, RowsMax>;
    using base::n;
    using base::quad_words;
    using base::quads;
    static constexpr int streams = 0, out = n * quad_words, d_proj = 2 * n * quad_words,
                         numbers = d_proj + base::d_proj_words;
    static constexpr int number_words = layer_numbers<n>::words;
    static constexpr int stage_words = numbers + base::tokens * number_words;
    static constexpr int wave_sums = group_matrix::waves * base::channels;  ///< of an item
    static constexpr int block = quads * group_matrix::waves * 32;
    static constexpr int fn = base::stages * stage_words, sums = fn + n * base::fn_words,
                         own_sums = sums + 2 * wave_sums / 4, signals = own_sums + 2 * block, room = signals + 2;
};

/// Where a tile's words come from, and where the gradients go.
template <class Data, class Weight>
struct layer_tile_operands {
    const Data *x, *d_out;
    const Weight* weight;
    const float *coefficients, *norm, *d_sqsum;
    Data* d_x;
    float *fn_sums, *weight_sums;
    i64 x_token, x_stream, g_token, g_stream, d_x_token, d_x_stream, coefficients_token;
    bool adds;
};

/// Asks for a tile but for fn.
template <class Tile, class Grid, class Walk, class Data, class Weight>
MHC_DEVICE void ask_layer(Grid at, uint4* lds, int stage, const Walk& of, const layer_tile_operands<Data, Weight>& from,
                          arranged_factors<Tile> factors)
{
    static_assert(Grid::block == 4 * Tile::tokens, "four lanes have a token's numbers");
    using anew = lane_made_anew<Grid>;
    using numbers = layer_numbers<Tile::n>;
    if (of.is_there()) {
        const anew lane = {made_anew(at.thread())};
        uint4* const to = lds + stage * Tile::stage_words;
        using of_streams = words_to_bring<Tile, Tile::n * 8, anew, Data>;
        of_streams(lane, from.x, from.x_token, from.x_stream).ask(to + Tile::streams, of, from.x_token);
        of_streams(lane, from.d_out, from.g_token, from.g_stream).ask(to + Tile::out, of, from.g_token);
        const int token = lane.own / 4, part = lane.own % 4;
        const bool is_there = token < of.left();
        const i64 t = is_there ? of.first + token : 0;
        float* const own = reinterpret_cast<float*>(to + Tile::numbers + token * Tile::number_words);
#pragma unroll
        for (int k = 0; k < numbers::d_sqsum; k += 4)
            copy_number(own + k + part, from.coefficients + t * from.coefficients_token + k + part, is_there);
        const float* const rest = part == 0 ? from.d_sqsum + t : from.norm + 2 * t + part - 1;
        if (part < 3) copy_number(own + numbers::d_sqsum + part, rest, is_there);
        ask_d_proj<Tile>(at, lds, stage, of, factors);
    }
    end_copies();
}

/// Sums of a lane for its 8 channels, which are in LDS from tile to tile.
template <class Tile>
struct sums_of_lane {
    uint4* at;  ///< of this lane
    MHC_MEMBER vec<float, 8> get() const { return floats_of(at[0], at[Tile::block]); }
    MHC_MEMBER void put(const vec<float, 8>& sums) const
    {
        union {
            vec<float, 8> sums;
            uint4 words[2];
        } v;
        v.sums = sums;
        at[0] = v.words[0];
        at[Tile::block] = v.words[1];
    }
};

/// Begins the streams' gradient of a lane's tokens, and adds them to the sums for the norm's weight.
template <class Tile, layout L>
MHC_DEVICE void begin_layer_gradient(streams_gradient<Tile>& gradient, vec<float, 8>& weight_sum, const uint4* tile,
                                     streams_lane own, const vec<float, 8>& weight)
{
    constexpr int n = Tile::n;
    const int own_word = turned_word(made_anew(own.token), own.channel / 8);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int word = own_word + own.word_of(half);
        const layer_numbers<n> by(tile + Tile::numbers + (own.token + half * 8) * Tile::number_words);
        auto row = [=](int first, int i) MHC_INLINE { return widen_bf16(tile[first + i * Tile::quad_words + word]); };
        vec<float, 8> a = row(Tile::streams, 0) * by.of[by.p], h = row(Tile::out, 0) * by.of[by.q];
#pragma unroll
        for (int i = 1; i < n; ++i) {
            a = fma<8>(splat<8>(by.of[by.p + i]), row(Tile::streams, i), a);
            h = fma<8>(splat<8>(by.of[by.q + i]), row(Tile::out, i), h);
        }
        h = h * by.of[by.e0];
        weight_sum = fma<8>(h, a, weight_sum);
        const vec<float, 8> d_a = fma<8>(a, splat<8>(-by.of[by.e1]), h * weight);
#pragma unroll
        for (int i = 0; i < n; ++i) {
            vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
            for (int o = 0; o < n; ++o)
                v = fma<8>(splat<8>(by.of[by.mix + place_of_weight<L, n>(o, i)]), row(Tile::out, o), v);
            v = fma<8>(splat<8>(by.of[by.p + i]), d_a, v);
            gradient.set(i, half, fma<8>(splat<8>(2.0f * by.of[by.d_sqsum]), row(Tile::streams, i), v));
        }
    }
}

/// Stores d_x of a lane's tokens.
template <class Tile, class Walk, class Data, class Weight>
MHC_DEVICE void store_layer_tile(const streams_gradient<Tile>& gradient, streams_lane own, const Walk& here,
                                 const layer_tile_operands<Data, Weight>& to)
{
    using Rows = typename Tile::Rows;
    const int c = here.channel + own.channel, first = made_anew(own.token);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int token = first + half * 8;
        if (token >= here.left() || (Rows::C % Tile::channels != 0 && c >= Rows::C)) continue;
#pragma unroll
        for (int i = 0; i < Tile::n; ++i)
            store_gradient<Rows>(to.d_x + (here.first + token) * to.d_x_token + i * to.d_x_stream, c, gradient.get(i, half),
                                 to.adds);
    }
}

/// The sums for the norm's weight of one of two items: those of a quad's waves, added in their order.
template <class Tile>
struct weight_sums_of_waves {
    float* at;  ///< in LDS

    MHC_MEMBER void put(int turn, streams_lane own, const vec<float, 8>& own_sums) const
    {
        float* const place = at + turn % 2 * Tile::wave_sums + own.wave * Tile::channels + own.channel;
#pragma unroll
        for (int k = 0; k < 8; ++k) {
            const float sum = sum_of_eight(own_sums[k]);
            if (own.lane / 4 == 0) place[k] = sum;
        }
    }
    /// After a barrier: those of the item before, if there is one.
    template <class Walk>
    MHC_MEMBER void store_before(const Walk& here, int thread, float* to) const
    {
        if (here.turn == 0 || thread >= Tile::channels) return;
        const u32 item = u32(here.item - here.step);
        const int slice = int(item / Tile::places), channel = int(item % Tile::places) * Tile::channels;
        if (channel + thread >= Tile::Rows::C) return;
        const float* const place = at + (here.turn - 1) % 2 * Tile::wave_sums + thread;
        float total = place[0];
#pragma unroll
        for (int w = 1; w < group_matrix::waves; ++w) total += place[w * Tile::channels];
        to[i64(slice) * Tile::Rows::C + channel + thread] = total;
    }
};

/// All of it. A work item is a slice of tokens and 64 channels; the first `valid` tokens are read and written.
template <class Tile, layout L, int Slice, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void layer_tile_gradient(Grid at, uint4* lds, const layer_tile_operands<Data, Weight>& of,
                                    arranged_factors<Tile> factors, int fn_rows, i64 valid)
{
    using Rows = typename Tile::Rows;
    static_assert(Slice % Tile::tokens == 0 && Grid::waves == Tile::quads * group_matrix::waves,
                  "whole tiles, four waves each");
    const streams_lane own(at);
    const int lds_first = lds_word(lds);
    const weight_sums_of_waves<Tile> of_waves = {reinterpret_cast<float*>(lds + Tile::sums)};
    const sums_of_lane<Tile> of_lane = {lds + Tile::own_sums + at.thread()};
    signal* const come = signals_at<3>(at, lds + Tile::signals);
    tile_walk<Tile, Slice, narrow_walk_numbers> here(at, valid), next = here;
    ask_layer<Tile>(at, lds, 0, next, of, factors);
    if (next.is_there()) next.advance();
    channel_sums_of<Tile> fn_sums[Tile::own_streams] = {};
    for (u32 turn = 0; here.is_there(); here.advance(), ++turn) {
        const int stage = int(turn % 2);
        copies_but<0>();
        barrier();  // the tile has come, and the one before is used
        const int c = here.channel + own.channel;
        vec<float, 8> weight = splat<8>(0.0f);  // asked for each time, when there are no sums in registers
        if (Rows::C % Tile::channels == 0 || c < Rows::C) weight = load<8, WeightAlign>(of.weight + c);
        ask_fn_of<Tile>(at, lds, here, factors);
        ask_layer<Tile>(at, lds, 1 - stage, next, of, factors);
        if (next.is_there()) next.advance();
        if (here.is_first()) of_waves.store_before(here, at.thread(), of.weight_sums);
        vec<float, 8> weight_sum = splat<8>(0.0f);
        if (!here.is_first()) weight_sum = of_lane.get();
        streams_gradient<Tile> gradient;
        begin_layer_gradient<Tile, L>(gradient, weight_sum, lds + stage * Tile::stage_words, own, weight);
        of_lane.put(weight_sum);
        come[stage].wait(turn / 2);
        come[2].wait(u32(here.turn));
        const int first = made_anew(lds_first);  // what is counted from here is in no register meanwhile
        multiply_streams<Tile>(gradient, fn_sums, first + stage * Tile::stage_words, first + Tile::fn, own,
                               !here.is_first());
        store_layer_tile(gradient, own, here, of);
        if (here.is_last()) {
            store_stream_sums<Tile, true>(of.fn_sums, fn_sums, own, here, fn_rows);
            of_waves.put(here.turn, own, of_lane.get());
        }
    }
    copies_but<0>();
    barrier();
    of_waves.store_before(here, at.thread(), of.weight_sums);
}

}  // namespace mhc
