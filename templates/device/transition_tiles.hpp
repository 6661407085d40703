// mhc/device/transition_tiles.hpp -- what the work-groups of transition_gradient.hpp have in LDS, and how it comes there.
#pragma once

#include <mhc/device/group_streams.hpp>

namespace mhc {

/// Numbers of a token that its elementwise parts are multiplied by: post [n], the matrix as it is stored [n, n], pre [n],
/// and the gradient of the sum of squares.
template <int n>
struct transition_numbers : token_numbers<(n * n + 2 * n) / 4 + 1> {
    static constexpr int post = 0, mix = n, pre = n + n * n, d_sqsum = pre + n;
    using token_numbers<d_sqsum / 4 + 1>::token_numbers;
};

/// Places in LDS are in words of 16 bytes: of each of two tiles x, the gradient of out, in whose place the streams are then
/// made, y, the gradient of layer_input, d_proj and numbers of the tokens; fn; the sums of the tile before, of each four
/// waves; and what tells that factors have come.
template <class Rows_, int n_, int RowsMax>
struct transition_tile : streams_tile<Rows_, n_, RowsMax> {
    using base = streams_tile<Rows_, n_, RowsMax>;
    using base::n;
    using base::quad_words;
    using base::quads;
    static constexpr int sums_of_token = n * (n + 1);  ///< of each out_i products with every x_j and with y
    static constexpr int x = 0, streams = n * quad_words, y = 2 * n * quad_words, row = y + quad_words,
                         d_proj = row + quad_words, numbers = d_proj + base::d_proj_words;
    static constexpr int number_words = transition_numbers<n>::words;
    static constexpr int stage_words = numbers + base::tokens * number_words;
    static constexpr int fn = base::stages * stage_words, sums = fn + n * base::fn_words,
                         signals = sums + quads * base::tokens * sums_of_token / 4, room = signals + 2;
};

/// Where a tile's words come from.
template <class Data, class Weight>
struct transition_sources {
    const Data *x, *d_out, *y, *d_row;
    const Weight* bias;
    const float *post, *mix, *pre, *d_sqsum;
    i64 x_token, x_stream, g_token, g_stream, post_token, mix_token;
};

/// Asks for the numbers of a tile's tokens: each lane for every fourth of one.
template <class Tile, class Walk, class Sources>
MHC_DEVICE void ask_numbers(int thread, uint4* to, const Walk& of, const Sources& from)
{
    using numbers = transition_numbers<Tile::n>;
    const int token = thread / 4, part = thread % 4;
    const bool is_there = token < of.left();
    const i64 t = is_there ? of.first + token : 0;
    float* const own = reinterpret_cast<float*>(to + token * Tile::number_words) + part;
    copy_number(own + numbers::post, from.post + t * from.post_token + part, is_there);
#pragma unroll
    for (int k = 0; k < Tile::n; ++k)
        copy_number(own + numbers::mix + 4 * k, from.mix + t * from.mix_token + 4 * k + part, is_there);
    copy_number(own + numbers::pre, from.pre + t * Tile::n + part, is_there);
    if (part == 0) copy_number(own + numbers::d_sqsum, from.d_sqsum + t, is_there);
}

/// Asks for a tile but for fn.
template <class Tile, class Grid, class Walk, class Data, class Weight>
MHC_DEVICE void ask_transition(Grid at, uint4* lds, int stage, const Walk& of, const transition_sources<Data, Weight>& from,
                               arranged_factors<Tile> factors)
{
    static_assert(Grid::block == 4 * Tile::tokens, "four lanes have a token's numbers");
    using anew = lane_made_anew<Grid>;
    if (of.is_there()) {
        const anew lane = {made_anew(at.thread())};
        uint4* const to = lds + stage * Tile::stage_words;
        using of_streams = words_to_bring<Tile, Tile::n * 8, anew, Data>;
        using of_row = words_to_bring<Tile, 8, anew, Data>;
        of_streams(lane, from.x, from.x_token, from.x_stream).ask(to + Tile::x, of, from.x_token);
        if (from.d_out) of_streams(lane, from.d_out, from.g_token, from.g_stream).ask(to + Tile::streams, of, from.g_token);
        of_row(lane, from.y, Tile::Rows::C, 0).ask(to + Tile::y, of, Tile::Rows::C);
        of_row(lane, from.d_row, Tile::Rows::C, 0).ask(to + Tile::row, of, Tile::Rows::C);
        ask_numbers<Tile>(lane.own, to + Tile::numbers, of, from);
        ask_d_proj<Tile>(at, lds, stage, of, factors);
    }
    end_copies();
}

}  // namespace mhc
