// mhc/device/transition_gradient.hpp -- the gradients of post and of the pre after it at once: the streams between them and
// their gradient are made in a work-group, and leave it only as sums.
//
//   out[i]   = post[i] (y + bias) + sum_j M[i,j] x[j], rounded as post stores it
//   g[i]     = d_out[i] + pre[i] d_layer_input + 2 d_sqsum out[i] + sum_r d_proj[r] fn[r,i]
//   d_x[j]   = sum_i M[i,j] g[i], d_y = sum_i post[i] g[i]
//   products = g[i] . x[j] and g[i] . (y + bias), of 64 channels
//   sums     = sum_t d_proj[t,r] out[t,i] over the tokens of a slice
//
// A lane has 8 channels of two tokens of a tile, of all streams: what goes from stream to stream stays in its registers.
#pragma once

#include <mhc/device/transition_tiles.hpp>

namespace mhc {

/// The bias of a lane's channels, which may lack.
struct lane_bias {
    bool is_there;
    vec<float, 8> values;
    MHC_MEMBER vec<float, 8> added_to(uint4 y) const
    {
        const vec<float, 8> v = widen_bf16(y);
        return is_there ? v + values : v;
    }
};

MHC_DEVICE uint4 masked(uint4 v, u32 mask) { return {v.x & mask, v.y & mask, v.z & mask, v.w & mask}; }

/// Makes the streams of a lane's tokens where the gradient of out was, and begins their gradient. The mask is of no bits
/// where there is no gradient of out.
template <class Tile, layout L, class Data>
MHC_DEVICE void make_streams(streams_gradient<Tile>& gradient, uint4* tile, streams_lane own, const lane_bias& bias,
                             u32 d_out_mask, const Data* type)
{
    constexpr int n = Tile::n;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int word = own.word + own.word_of(half);
        const transition_numbers<n> by(tile + Tile::numbers + (own.token + half * 8) * Tile::number_words);
        const vec<float, 8> y = bias.added_to(tile[Tile::y + word]), d_a = widen_bf16(tile[Tile::row + word]);
        vec<float, 8> x[n];
#pragma unroll
        for (int j = 0; j < n; ++j) x[j] = widen_bf16(tile[Tile::x + j * Tile::quad_words + word]);
#pragma unroll
        for (int i = 0; i < n; ++i) {
            vec<float, 8> out = y * by.of[by.post + i];
#pragma unroll
            for (int j = 0; j < n; ++j) out = fma<8>(splat<8>(by.of[by.mix + place_of_weight<L, n>(i, j)]), x[j], out);
            uint4& place = tile[Tile::streams + i * Tile::quad_words + word];
            vec<float, 8> g = widen_bf16(masked(place, d_out_mask));
            const uint4 rounded = narrow_word(out, type);
            g = fma<8>(splat<8>(by.of[by.pre + i]), d_a, g);
            gradient.set(i, half, fma<8>(splat<8>(2.0f * by.of[by.d_sqsum]), widen_bf16(rounded), g));
            place = rounded;
        }
    }
}

/// Where the gradients of post go; d_y may be null, and so bias_sums, of every 8 tokens.
template <class Data>
struct transition_gradients {
    Data *d_x, *d_y;
    float *fn_sums, *products, *bias_sums;
    i64 d_x_token, d_x_stream;
    bool adds;
};

/// Of the lane's token `half` of a tile: d_x and d_y of its channels, and products of them, each a sum over its four lanes.
template <class Tile, layout L, class Walk, class Data>
MHC_DEVICE void take_transition(const streams_gradient<Tile>& gradient, uint4* tile, float* sums, streams_lane own, int half,
                                const Walk& here, const lane_bias& bias, const transition_gradients<Data>& to)
{
    using Rows = typename Tile::Rows;
    constexpr int n = Tile::n;
    const int word = own.word + own.word_of(half), token = own.token + half * 8, c = here.channel + own.channel;
    const bool is_there = token < here.left() && (Rows::C % Tile::channels == 0 || c < Rows::C);
    const i64 t = here.first + token;
    const transition_numbers<n> by(tile + Tile::numbers + token * Tile::number_words);
    vec<float, 8> g[n], d_y = splat<8>(0.0f);
#pragma unroll
    for (int i = 0; i < n; ++i) {
        g[i] = gradient.get(i, half);
        d_y = fma<8>(splat<8>(by.of[by.post + i]), g[i], d_y);
    }
    float products[Tile::sums_of_token];
#pragma unroll
    for (int j = 0; j <= n; ++j) {
        const vec<float, 8> x =
            j < n ? widen_bf16(tile[Tile::x + j * Tile::quad_words + word]) : bias.added_to(tile[Tile::y + word]);
        vec<float, 8> d_x = splat<8>(0.0f);
#pragma unroll
        for (int i = 0; i < n; ++i) {
            float product = 0.0f;
#pragma unroll
            for (int k = 0; k < 8; ++k) product = fma(g[i][k], x[k], product);
            products[i * (n + 1) + j] = product;
            if (j < n) d_x = fma<8>(splat<8>(by.of[by.mix + place_of_weight<L, n>(i, j)]), g[i], d_x);
        }
        if (j < n && is_there) store_gradient<Rows>(to.d_x + t * to.d_x_token + j * to.d_x_stream, c, d_x, to.adds);
    }
    if (to.d_y && is_there) Rows::store(to.d_y + t * Rows::C, c, d_y);
    share_quad_sums(products, own.lane, [=](int k, float sum) MHC_INLINE {
        constexpr int each = Tile::sums_of_token / 4;
        sums[(own.quad * Tile::tokens + token) * Tile::sums_of_token + own.lane % 4 * each + k] = sum;
    });
    if (!to.bias_sums) return;
#pragma unroll
    for (int k = 0; k < 8; ++k) d_y[k] = sum_of_eight(d_y[k]);
    if (own.lane / 4 == 0 && is_there) store<8, 16>(to.bias_sums + t / 8 * Rows::C + c, d_y);
}

/// Stores a tile's products, those of the work-group's four waves added in their order.
template <class Tile, class Grid>
MHC_DEVICE void store_transition_products(Grid at, const float* sums, float* to, int left)
{
    constexpr int count = Tile::tokens * Tile::sums_of_token;
#pragma unroll
    for (int e = 0; e < count; e += Grid::block) {
        const int own = e + at.thread();
        if (own < left * Tile::sums_of_token) to[own] = sums[own] + sums[count + own];
    }
}

/// All of it; products[p, t] are those of the p-th 64 channels. A work item is a slice of tokens and 64 channels. Of all
/// `tokens` the first `valid` are read and written.
template <class Tile, layout L, int Slice, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void transition_gradient(Grid at, uint4* lds, const transition_sources<Data, Weight>& from,
                                    arranged_factors<Tile> factors, const transition_gradients<Data>& to, int fn_rows,
                                    i64 tokens, i64 valid)
{
    using Rows = typename Tile::Rows;
    static_assert(Slice % Tile::tokens == 0 && Grid::waves == Tile::quads * group_matrix::waves,
                  "whole tiles, four waves each");
    const streams_lane own(at);
    const int lds_first = lds_word(lds);
    float* const sums = reinterpret_cast<float*>(lds + Tile::sums);
    signal* const come = signals_at<3>(at, lds + Tile::signals);
    tile_walk<Tile, Slice, narrow_walk_numbers> here(at, valid), next = here;
    ask_transition<Tile>(at, lds, 0, next, from, factors);
    if (next.is_there()) next.advance();
    channel_sums_of<Tile> fn_sums[Tile::own_streams] = {};
    float* products_before = nullptr;
    int left_before = 0, stage = 0;
    u32 turn = 0;
    for (; here.is_there(); here.advance()) {
        copies_but<0>();
        barrier();  // the tile has come, and the one before is used but for its sums
        ask_fn_of<Tile>(at, lds, here, factors);
        ask_transition<Tile>(at, lds, 1 - stage, next, from, factors);
        if (next.is_there()) next.advance();
        store_transition_products<Tile>(at, sums, products_before, left_before);
        uint4* const tile = lds + stage * Tile::stage_words;
        const int c = here.channel + own.channel;
        lane_bias bias = {from.bias != nullptr, splat<8>(0.0f)};
        if (from.bias && (Rows::C % Tile::channels == 0 || c < Rows::C)) bias.values = load<8, WeightAlign>(from.bias + c);
        streams_gradient<Tile> gradient;
        make_streams<Tile, L>(gradient, tile, own, bias, from.d_out ? ~0U : 0U, from.x);
        barrier();  // the streams are there
        come[stage].wait(turn / 2);
        come[2].wait(u32(here.turn));
        multiply_streams<Tile>(gradient, fn_sums, lds_first + stage * Tile::stage_words, lds_first + Tile::fn, own,
                               !here.is_first());
#pragma unroll
        for (int half = 0; half < 2; ++half) take_transition<Tile, L>(gradient, tile, sums, own, half, here, bias, to);
        if (here.is_last()) store_stream_sums<Tile, false>(to.fn_sums, fn_sums, own, here, fn_rows);
        products_before = to.products + (here.channel / Tile::channels * tokens + here.first) * Tile::sums_of_token;
        left_before = smaller(here.left(), Tile::tokens);
        stage = 1 - stage;
        ++turn;
    }
    copies_but<0>();
    barrier();
    store_transition_products<Tile>(at, sums, products_before, left_before);
}

}  // namespace mhc
