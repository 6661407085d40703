// mhc/device/group_project.hpp -- the projection made again for a gradient, and at once the products of the streams with the
// gradient of their sum: x is read once for both.
//
//   proj[s,t,r] = sum_k x[t,k] fn[r,k], sqsum[s,t] = sum_k x[t,k]^2, products[s,t,i] = sum_c g[t,c] x[t,i,c]
//
// over the s-th slice of the channels, of all streams. A work-group has fn of one slice in LDS, as group_factors.hpp
// arranges it, and walks over tokens, four waves 64 at a time: a lane has 8 channels of two tokens of each stream, which are
// its part of a left factor as they come.
#pragma once

#include <mhc/device/group_factors.hpp>

namespace mhc {

/// Places in LDS are in words of 16 bytes.
template <class Tile, int Slice, int Stages, class Grid>
struct group_projection {
    using unit = group_matrix;
    static constexpr int n = Tile::n, slice = Slice, slices = ceil_div(Tile::Rows::C, Slice);
    static constexpr int columns = 2 * 8 * Tile::octets;                   ///< rows of fn, in two parts
    static constexpr int load = 32;                                        ///< channels of a step
    static constexpr int tokens = Grid::waves / unit::waves * unit::rows;  ///< of a work-group at once
    static constexpr int words = 2 * (n + 1);                              ///< of a lane in a step
    static constexpr int place_words = n * Tile::fn_words, places = Slice / Tile::channels;
    using queue = lane_queue<words, Grid::block, Stages>;
    static constexpr int fn = queue::room, signal_at = fn + places * place_words, room = signal_at + 1;
    static_assert(Slice % Tile::channels == 0, "whole places");

    /// Where fn of a stream's 32 channels is that begin at `channel` of the slice.
    static MHC_MEMBER int fn_at(int channel, int stream)
    {
        const int in_place = channel % Tile::channels;
        return fn + channel / Tile::channels * place_words +
               (stream * Tile::of_stream + in_place / Tile::columns) * Tile::factor_words + in_place % Tile::columns;
    }
};

/// A lane's sums of two tokens.
template <int n>
struct lane_products {
    float squares[2], products[2][n];
};

/// Words of a lane in a step: of each stream those of its two tokens, and then the gradient's.
template <int n>
struct step_words {
    uint4 at[n + 1][2];
};

template <int n>
MHC_DEVICE void add_elementwise(lane_products<n>& sums, const step_words<n>& words)
{
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const vec<float, 8> g = widen_bf16(words.at[n][half]);
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const vec<float, 8> x = widen_bf16(words.at[i][half]);
#pragma unroll
            for (int k = 0; k < 8; ++k) {
                sums.squares[half] = fma(x[k], x[k], sums.squares[half]);
                sums.products[half][i] = fma(g[k], x[k], sums.products[half][i]);
            }
        }
    }
}

/// Adds a stream's 32 channels: column_of has put a lane's words where two products take them.
template <int Columns>
MHC_DEVICE void multiply_step(group_sums<Columns>& sums, const uint4 (&x)[2], int fn, bool adds)
{
    const group_left first = {{x[0].x, x[1].x, x[0].y, x[1].y}}, second = {{x[0].z, x[1].z, x[0].w, x[1].w}};
    multiply(sums, first, lds_factor::by_rows(fn, 64), adds);
    multiply(sums, second, lds_factor::by_rows(fn + group_matrix::step, 64), true);
}

/// Of all `tokens` the first `valid` are read and written. The number of groups is a multiple of that of slices.
template <class Pass, class Tile, class Grid, class Data>
MHC_DEVICE void group_project(Grid at, uint4* lds, const Data* x, const Data* g, arranged_factors<Tile> fn, float* proj,
                              float* sqsum, float* products, int fn_rows, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    using unit = group_matrix;
    using Rows = typename Tile::Rows;
    constexpr int n = Pass::n;
    const int slice = int(u32(at.group) % u32(Pass::slices)), begin = slice * Pass::slice;
    const i64 step = i64(u32(at.groups) / u32(Pass::slices)) * Pass::tokens;
    i64 here = i64(u32(at.group) / u32(Pass::slices)) * Pass::tokens;
    const int lds_first = lds_word(lds), thread = at.thread(), lane = at.lane(), all = at.wave();
    const int own = all / unit::waves * unit::rows + unit::row(all % unit::waves, lane, 0), own_channel = lane % 4 * 8;
    const int loads = ceil_div(smaller(Pass::slice, Rows::C - begin), Pass::load);
    signal& come = *reinterpret_cast<signal*>(lds + Pass::signal_at);
    if (thread == 0) {
        come.make(1);
        show_signals();
    }
    barrier();
    if (thread == 0) {
        const int places = smaller(Pass::places, Tile::places - slice * Pass::places);
        come.expect(u32(places * Pass::place_words) * 16);
        copy_words(lds + Pass::fn, fn.words() + fn.fn_at(0, begin), places * Pass::place_words, come);
    }
    typename Pass::queue queue(lds);
    i64 asked = here;
    int asked_load = 0;
    auto ask = [&](int stage) MHC_INLINE {
        const int c = begin + asked_load * Pass::load + own_channel;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = asked + own + half * 8;
            const bool is_there = t < valid && (Rows::C % Pass::slice == 0 || c < Rows::C);
            const Data* const row = x + t * x_token + c;
#pragma unroll
            for (int i = 0; i < n; ++i)
                queue.template ask<Rows::align>(stage, i * 2 + half, thread, row + i * x_stream, is_there);
            queue.template ask<Rows::align>(stage, n * 2 + half, thread, g + t * Rows::C + c, is_there);
        }
        queue.end_set();
        if (++asked_load == loads) {
            asked_load = 0;
            asked += step;
        }
    };
    for (int stage = 0; stage < queue.stages; ++stage) ask(stage);
    come.wait(0);
    int stage = 0;
    for (; here < valid; here += step) {
        group_sums<Pass::columns> sums = {};
        lane_products<n> own_sums = {};
        for (int k = 0; k < loads; ++k) {
            step_words<n> words;
            queue.wait();
#pragma unroll
            for (int i = 0; i <= n; ++i) {
#pragma unroll
                for (int half = 0; half < 2; ++half) words.at[i][half] = queue.word(stage, i * 2 + half, thread);
            }
            begin_products();
#pragma unroll
            for (int i = 0; i < n; ++i)
                multiply_step(sums, words.at[i], lds_first + Pass::fn_at(k * Pass::load, i), k + i > 0);
            end_products();
            ask(stage);
            add_elementwise(own_sums, words);
            products_but<0>();
            made(sums);
            stage = stage + 1 == queue.stages ? 0 : stage + 1;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = here + own + half * 8, place = slice * tokens + t;
            const float squares = quad_sum(own_sums.squares[half]);
            float by_stream[n];
#pragma unroll
            for (int i = 0; i < n; ++i) by_stream[i] = quad_sum(own_sums.products[half][i]);
            if (t >= valid) continue;
            give_rows<Tile>(sums, lane, half, fn_rows,
                            [=](int row, float sum) MHC_INLINE { proj[place * fn_rows + row] = sum; });
            if (lane % 4 != 0) continue;
            sqsum[place] = squares;
#pragma unroll
            for (int i = 0; i < n; ++i) products[place * n + i] = by_stream[i];
        }
    }
    queue.wait_for_all();
}

}  // namespace mhc
