// mhc/device/gradient_groups.hpp -- the gradients of gradient_tiles.hpp by matrix units that take factors from LDS, and make
// products in the background.
//
// A work-group has a slice of the tokens and some channels of all streams, four waves 64 of one. It walks over tiles of 64
// tokens, those of its next slice after those of one, while later tiles come. d_proj and fn are factors as the copy engine
// brings them; of x, which lanes bring, a wave takes a left factor, and words of 8 channels for what is elementwise.
#pragma once

#include <mhc/device/group_tiles.hpp>

namespace mhc {

/// What a work-group has asked for, tile by tile.
template <class Tile, class Grid, class Row, class Data>
struct tiles_to_come {
    words_to_bring<Tile, Tile::quads * 8, Grid, Data> x, out;
    words_to_bring<Tile, Tile::of_stream * Tile::row_planes * 8, Grid, Row> row;

    /// A tile of x and the like, its d_proj, and, with the first of an item, fn.
    template <class Walk, class Sources>
    MHC_MEMBER void ask(Grid at, uint4* lds, int stage, const Walk& of, const Sources& from) const
    {
        if (of.is_there()) {
            uint4* const to = lds + stage * Tile::stage_words;
            x.ask(to, of, from.x_token);
            row.ask(to + Tile::row, of, Tile::Rows::C);
            if constexpr (Tile::has_out)
                if (from.d_out) out.ask(to + Tile::out, of, from.g_token);
            if (at.thread() == 0) {
                constexpr int fn_words = Tile::n * Tile::fn_words;
                signal& told = reinterpret_cast<signal*>(lds + Tile::signals)[stage];
                told.expect((Tile::d_proj_words + (of.is_first() ? fn_words : 0)) * 16);
                copy_words(to + Tile::d_proj, from.fn.words() + from.fn.d_proj_at(of.first / Tile::tokens),
                           Tile::d_proj_words, told);
                if (of.is_first())
                    copy_words(lds + Tile::fn + of.turn % 2 * fn_words, from.fn.words() + from.fn.fn_at(0, of.channel),
                               fn_words, told);
            }
        }
        end_copies();
    }
};

/// Of words of LDS by their numbers: sum_r d_proj[t,r] fn[r,c] of a tile: d_proj's parts, of rows, by fn's. Of two octets of
/// rows low parts are not multiplied by low ones; an octet without another has both its parts in one product.
template <class Tile, int Columns>
MHC_DEVICE void multiply_fn(group_sums<Columns>& sums, int d_proj, int fn, bool adds)
{
    constexpr int pairs = Tile::octets / 2;
#pragma unroll
    for (int pair = 0; pair < pairs; ++pair) {
#pragma unroll
        for (int k = 0; k < 3; ++k)
            multiply(sums, lds_factor::by_sum(d_proj + Tile::octet_at(2 * pair, k == 1), Tile::octet_at(1, 0)),
                     lds_factor::by_sum(fn + Tile::octet_at(2 * pair, k == 2), Tile::octet_at(1, 0)), adds || pair + k > 0);
    }
    if constexpr (Tile::octets % 2 != 0) {
#pragma unroll
        for (int part = 0; part < 2; ++part)
            multiply(sums, lds_factor::by_sum(d_proj + Tile::octet_at(2 * pairs, 0), Tile::octet_at(0, 1)),
                     lds_factor::by_sum(fn + Tile::octet_at(2 * pairs, part), 0), adds || pairs + part > 0);
    }
}

/// Sums over tokens of a lane: channels are the rows, and the columns are rows of fn, eight in their high part and then in
/// their low one.
template <class Tile>
using channel_sums_of = group_sums<2 * 8 * Tile::octets>;

/// sum_t x[t,c] d_proj[t,r], added.
template <class Tile>
MHC_DEVICE void multiply_x(channel_sums_of<Tile>& sums, const group_left (&x)[Tile::tokens / group_matrix::step], int d_proj,
                           bool adds)
{
    constexpr int step = group_matrix::step;
#pragma unroll
    for (int k = 0; k < Tile::tokens / step; ++k)
        multiply(sums, x[k], lds_factor::by_rows(d_proj + k * step, Tile::octet_at(0, 1)), adds || k > 0);
}

/// Stores the sums: to[r, i*C + c].
template <class Tile>
MHC_DEVICE void store_channel_sums(float* to, const channel_sums_of<Tile>& sums, int wave, int lane, int stream,
                                   int first_channel, int fn_rows)
{
    using unit = group_matrix;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int c = first_channel + unit::row(wave, lane, half);
        if (Tile::Rows::C % Tile::channels != 0 && c >= Tile::Rows::C) continue;
        give_rows<Tile>(sums, lane, half, fn_rows,
                        [=](int row, float sum) MHC_INLINE { to[(i64(row) * Tile::n + stream) * Tile::Rows::C + c] = sum; });
    }
}

/// The four words of a tile that a lane has: 8 channels of the tokens `token` and `token` + 8, and 32 channels further.
struct lane_words {
    static constexpr int count = 4;
    int token, channel;  ///< the first ones, in a tile and in 64 channels
    MHC_MEMBER lane_words(int wave, int lane) : token(group_matrix::row(wave, lane, 0)), channel(lane % 4 * 8) {}
    static constexpr MHC_MEMBER int token_of(int k) { return k / 2 * 8; }  ///< beyond the first
    static constexpr MHC_MEMBER int channel_of(int k) { return k % 2 * 32; }
    static MHC_MEMBER vec<float, 8> products(const group_sums<64>& sums, int k)
    {
        vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
        for (int i = 0; i < 8; ++i) v[i] = sums.at[group_matrix::place(k % 2 * 4 + i / 2, k / 2, i % 2)];
        return v;
    }
    MHC_MEMBER uint4 word(const uint4* x, int k) const
    {
        return x[turned_word(token, (channel + channel_of(k)) / 8) + token_of(k) * 8];
    }
};

MHC_DEVICE vec<float, 8> floats_of(uint4 low, uint4 high)
{
    union {
        uint4 words[2];
        vec<float, 8> values;
    } v;
    v.words[0] = low;
    v.words[1] = high;
    return v.values;
}

/// What the elementwise parts of a token are multiplied by.
template <class Parts, int n>
struct token_scalars {
    float square, p, mix[n];
    template <class Sources>
    MHC_MEMBER void read(const Sources& from, i64 t, int stream)
    {
        square = 2.0f * load_fresh(from.d_sqsum + t);
        const i64 at = t * from.coefficients_token;
        if constexpr (Parts::sum) p = load_fresh(from.p + at + stream);
        if constexpr (Parts::mix) {
#pragma unroll
            for (int o = 0; o < n; ++o)
                mix[o] = load_fresh(from.mix + at + (Parts::out_layout == layout::out_in ? o * n + stream : stream * n + o));
        }
    }
};

/// gradient_tiles of gradient_tiles.hpp: the same arguments, and the same sums in another order.
template <class Tile, class Parts, int Slice, int, class Grid, class Row, class Out, class Data, class Weight>
MHC_DEVICE void gradient_groups(Grid at, uint4* lds, const gradient_sources<Data, Weight, arranged_factors<Tile>>& from,
                                const Row* d_row, Out* d_x, float* sums, i64 tokens, i64 valid, i64 d_x_token,
                                i64 d_x_stream, bool adds)
{
    using Rows = typename Tile::Rows;
    using unit = typename Tile::unit;
    static_assert(Slice % Tile::tokens == 0 && Grid::waves == Tile::quads * unit::waves, "whole tiles, four waves each");
    static_assert(Parts::sum && sizeof(Row) == 2 * Tile::row_planes, "the row is there");
    const int lds_first = lds_word(lds), lane = at.lane(), all = at.wave(), quad = all / unit::waves,
              wave = all % unit::waves, stream = quad / Tile::of_stream;
    const lane_words own(wave, lane);
    const int quad_channel = quad % Tile::of_stream * Tile::columns, channel = quad_channel + own.channel;
    signal* const come = signals_at<Tile::stages>(at, lds + Tile::signals);
    const tiles_to_come<Tile, Grid, Row, Data> coming = {
        {at, from.x, from.x_token, from.x_stream}, {at, from.d_out, from.g_token, from.g_stream}, {at, d_row, Rows::C, 0}};
    tile_walk<Tile, Slice> here(at, valid), asked = here;
    auto ask_next = [&](int stage) MHC_INLINE {
        coming.ask(at, lds, stage, asked, from);
        if (asked.is_there()) asked.advance();
    };
    for (int stage = 0; stage + 1 < Tile::stages; ++stage) ask_next(stage);
    Out* const own_d_x = d_x + own.token * d_x_token + stream * d_x_stream + channel;
    channel_sums_of<Tile> fn_sums = {};
    group_sums<Tile::columns> products = {};
    u32 turn = 0;  // how often all stages were used
    for (int stage = 0; here.is_there(); here.advance()) {
        token_scalars<Parts, Tile::n> scalars[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = here.first + own.token + half * 8;
            scalars[half].read(from, t < valid ? t : valid - 1, stream);
        }
        copies_but<Tile::stages - 2>();
        barrier();  // x of the tile has come, and all waves have used the one before, whose place is free
        ask_next(stage == 0 ? Tile::stages - 1 : stage - 1);
        const int at_stage = stage * Tile::stage_words, d_proj = lds_first + at_stage + Tile::d_proj;
        group_left left[Tile::tokens / unit::step];
#pragma unroll
        for (int k = 0; k < Tile::tokens / unit::step; ++k)
            left[k] = left_of_turned(lds_first + at_stage + quad * Tile::quad_words + k * unit::step * 8, wave, lane);
        come[stage].wait(turn);
        begin_products();
        multiply_fn<Tile>(products, d_proj,
                          lds_first + Tile::fn + here.turn % 2 * (Tile::n * Tile::fn_words) + quad * Tile::factor_words,
                          false);
        multiply_x<Tile>(fn_sums, left, d_proj, !here.is_first());
        end_products();
        products_but<0>();
        made(products);
        made(fn_sums);
        const uint4* const tile = lds + at_stage;
        Out* const d_x_here = own_d_x + (here.first * d_x_token + here.channel);
        const int tokens_left = here.left();
#pragma unroll
        for (int k = 0; k < own.count; ++k) {
            const bool has_channels = Rows::C % Tile::channels == 0 || here.channel + channel + own.channel_of(k) < Rows::C;
            const bool is_there = has_channels && own.token + own.token_of(k) < tokens_left;
            const token_scalars<Parts, Tile::n>& by = scalars[k / 2];
            auto values_at = [&](int first) MHC_INLINE { return widen_bf16(own.word(tile + first, k)); };
            vec<float, 8> v = fma<8>(splat<8>(by.square), values_at(quad * Tile::quad_words), own.products(products, k));
            const int of_stream = quad % Tile::of_stream, row = Tile::row + of_stream * Tile::row_planes * Tile::quad_words;
            if constexpr (Tile::row_planes == 1)
                v = fma<8>(splat<8>(by.p), values_at(row), v);
            else
                v = fma<8>(splat<8>(by.p), floats_of(own.word(tile + row, k), own.word(tile + row + Tile::quad_words, k)),
                           v);
            if constexpr (Parts::mix) {
#pragma unroll
                for (int o = 0; o < Tile::n; ++o)
                    v = fma<8>(splat<8>(by.mix[o]),
                               values_at(Tile::out + (o * Tile::of_stream + of_stream) * Tile::quad_words), v);
            } else if constexpr (Tile::has_out) {
                if (from.d_out) v = v + values_at(Tile::out + quad * Tile::quad_words);
            }
            Out* const to = d_x_here + own.token_of(k) * d_x_token + own.channel_of(k);
            if constexpr (sizeof(Out) == 4) {  // of all lanes of a token: they have 32 channels together
                const int even = own.channel / 16 * 16, c = here.channel + quad_channel + even + own.channel_of(k);
                auto is_at = [=](int c) MHC_INLINE {
                    return own.token + own.token_of(k) < tokens_left && (Rows::C % Tile::channels == 0 || c < Rows::C);
                };
                store_together(to - (own.channel - even), lane, v, is_at(c), is_at(c + 8));
            } else if (is_there) {
                store_gradient<Rows>(to, 0, v, adds);
            }
        }
        if (here.is_last())
            store_channel_sums<Tile>(sums + i64(here.slice) * from.fn_rows * (Tile::n * Rows::C), fn_sums, wave, lane,
                                     stream, here.channel + quad_channel, from.fn_rows);
        if (++stage == Tile::stages) {
            stage = 0;
            ++turn;
        }
    }
    copies_but<0>();
}

}  // namespace mhc
