// mhc/device/group_project.hpp -- the projection made again for a gradient, and at once the products of the streams with the
// gradient of their sum: x is read once for both.
//
//   proj[s,t,r] = sum_k x[t,k] fn[r,k], sqsum[s,t] = sum_k x[t,k]^2, products[s,t,i] = sum_c g[t,c] x[t,i,c]
//
// over the s-th slice of the channels, of all streams; or other products, of the gradients of all streams
// (group_project_layer.hpp). A work-group has fn of one slice in LDS, as group_factors.hpp arranges it, and walks over
// tokens, four waves 64 at a time: a lane has 8 channels of two tokens of each stream, which are its part of a left factor
// as they come, or as they are made of what post made them of.
#pragma once

#include <mhc/device/group_factors.hpp>

namespace mhc {

/// Places in LDS are in words of 16 bytes. Gradients: rows of a token that streams are multiplied by. MakesStreams: of
/// post's operands.
template <class Tile, int Slice, int Stages, int Gradients, bool MakesStreams, class Grid>
struct group_projection {
    using unit = group_matrix;
    static constexpr int n = Tile::n, slice = Slice, slices = ceil_div(Tile::Rows::C, Slice);
    static constexpr int columns = 2 * 8 * Tile::octets;                   ///< rows of fn, in two parts
    static constexpr int load = 32;                                        ///< channels of a step
    static constexpr int tokens = Grid::waves / unit::waves * unit::rows;  ///< of a work-group at once
    static constexpr int streams = n + Gradients;                          ///< and their gradients
    static constexpr int rows = streams + MakesStreams, words = 2 * rows;  ///< of a lane in a step
    static constexpr int place_words = n * Tile::fn_words, places = Slice / Tile::channels;
    using queue = lane_queue<words, Grid::block, Stages>;
    static constexpr int fn = queue::room, signal_at = fn + places * place_words, room = signal_at + 1;
    static constexpr bool makes_streams = MakesStreams;
    static_assert(Slice % Tile::channels == 0, "whole places");

    /// Where fn of a stream's 32 channels is that begin at `channel` of the slice.
    static MHC_MEMBER int fn_at(int channel, int stream)
    {
        const int in_place = channel % Tile::channels;
        return fn + channel / Tile::channels * place_words +
               (stream * Tile::of_stream + in_place / Tile::columns) * Tile::factor_words + in_place % Tile::columns;
    }
};

/// Words of a lane in a step: of each stream those of its two tokens, and then the gradients'.
template <int rows>
struct step_words {
    uint4 at[rows][2];
};

/// Streams that are in memory.
template <class Data>
struct streams_as_they_are {
    const Data* x;
    i64 x_token, x_stream;
    struct of_tokens {};  ///< nothing
};

/// Streams that post would store, as it would: of 4 of them.
template <layout L, int WeightAlign, class Data, class Weight>
struct streams_made_again {
    const Data* x;
    i64 x_token, x_stream;
    const Data* y;
    const Weight* bias;
    const float *post, *mix;
    i64 post_token, mix_token;

    /// What two tokens are made by.
    struct of_tokens {
        float q[2][4], m[2][16];
        MHC_MEMBER void read(const streams_made_again& from, i64 t, int half)
        {
#pragma unroll
            for (int i = 0; i < 4; ++i) q[half][i] = load_fresh(from.post + t * from.post_token + i);
#pragma unroll
            for (int e = 0; e < 16; ++e) m[half][e] = load_fresh(from.mix + t * from.mix_token + e);
        }
        /// In the place of x, of channels at c.
        template <int rows>
        MHC_MEMBER void make(const streams_made_again& from, step_words<rows>& words, const uint4 (&y)[2], int c,
                             bool has_channels) const
        {
            constexpr int n = 4;
            vec<float, 8> bias = splat<8>(0.0f);
            if (from.bias && has_channels) bias = load<8, WeightAlign>(from.bias + c);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                vec<float, 8> row = widen_bf16(y[half]), x[n];
                if (from.bias) row = row + bias;
#pragma unroll
                for (int j = 0; j < n; ++j) x[j] = widen_bf16(words.at[j][half]);
#pragma unroll
                for (int i = 0; i < n; ++i) {
                    vec<float, 8> out = row * q[half][i];
#pragma unroll
                    for (int j = 0; j < n; ++j) out = fma<8>(splat<8>(m[half][place_of_weight<L, n>(i, j)]), x[j], out);
                    words.at[i][half] = narrow_word(out, from.x);
                }
            }
        }
    };
};

/// The gradient of the sum of streams, and a lane's sums of two tokens: squares, and products with each stream.
template <int n, class Data>
struct gradient_of_sum {
    const Data* at;
    i64 token;
    static constexpr int rows = 1, stream = 0;
    struct of_channels {};  ///< nothing
    MHC_MEMBER of_channels at_channels(int, bool) const { return {}; }

    struct sums {
        float squares[2], products[2][n];
        MHC_MEMBER void add(const step_words<n + rows>& words, of_channels)
        {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const vec<float, 8> g = widen_bf16(words.at[n][half]);
#pragma unroll
                for (int i = 0; i < n; ++i) {
                    const vec<float, 8> x = widen_bf16(words.at[i][half]);
#pragma unroll
                    for (int k = 0; k < 8; ++k) {
                        squares[half] = fma(x[k], x[k], squares[half]);
                        products[half][i] = fma(g[k], x[k], products[half][i]);
                    }
                }
            }
        }
        /// Of all lanes of a wave; of a token at `place`.
        MHC_MEMBER void store(float* sqsum, float* to, i64 place, int half, int lane, bool is_there) const
        {
            const float square = quad_sum(squares[half]);
            float by_stream[n];
#pragma unroll
            for (int i = 0; i < n; ++i) by_stream[i] = quad_sum(products[half][i]);
            if (!is_there || lane % 4 != 0) return;
            sqsum[place] = square;
#pragma unroll
            for (int i = 0; i < n; ++i) to[place * n + i] = by_stream[i];
        }
    };
};

/// Adds a stream's 32 channels: column_of has put a lane's words where two products take them.
template <int Columns>
MHC_DEVICE void multiply_step(group_sums<Columns>& sums, const uint4 (&x)[2], int fn, bool adds)
{
    const group_left first = {{x[0].x, x[1].x, x[0].y, x[1].y}}, second = {{x[0].z, x[1].z, x[0].w, x[1].w}};
    multiply(sums, first, lds_factor::by_rows(fn, 64), adds);
    multiply(sums, second, lds_factor::by_rows(fn + group_matrix::step, 64), true);
}

/// Of all `tokens` the first `valid` are read and written. The number of groups is a multiple of that of slices.
template <class Pass, class Tile, class Grid, class Streams, class Gradients>
MHC_DEVICE void group_project(Grid at, uint4* lds, const Streams& from, const Gradients& g, arranged_factors<Tile> fn,
                              float* proj, float* sqsum, float* products, int fn_rows, i64 tokens, i64 valid)
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
    // Words that come through registers come one after the other where these are full of sums.
    constexpr int at_once = Rows::align < 4 && Gradients::rows > 1 ? 1 : 8;
    auto ask = [&](int stage) MHC_INLINE {
        const int c = begin + asked_load * Pass::load + own_channel;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = asked + own + half * 8;
            const bool is_there = t < valid && (Rows::C % Pass::slice == 0 || c < Rows::C);
            const auto *const row = from.x + t * from.x_token + c, *const gradient = g.at + t * g.token + c;
#pragma unroll at_once
            for (int i = 0; i < n; ++i)
                queue.template ask<Rows::align>(stage, i * 2 + half, thread, row + i * from.x_stream, is_there);
#pragma unroll at_once
            for (int i = 0; i < g.rows; ++i)
                queue.template ask<Rows::align>(stage, (n + i) * 2 + half, thread, gradient + i * g.stream, is_there);
            if constexpr (Pass::makes_streams)
                queue.template ask<Rows::align>(stage, Pass::streams * 2 + half, thread, from.y + t * Rows::C + c, is_there);
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
        typename Gradients::sums own_sums = {};
        typename Streams::of_tokens by;
        if constexpr (Pass::makes_streams) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const i64 t = here + own + half * 8;
                by.read(from, t < valid ? t : valid - 1, half);
            }
        }
        for (int k = 0; k < loads; ++k) {
            step_words<Pass::streams> words;
            const int c = begin + k * Pass::load + own_channel;
            const bool has_channels = Rows::C % Pass::slice == 0 || c < Rows::C;
            const typename Gradients::of_channels by_channel = g.at_channels(c, has_channels);
            queue.wait();
#pragma unroll
            for (int i = 0; i < Pass::streams; ++i) {
#pragma unroll
                for (int half = 0; half < 2; ++half) words.at[i][half] = queue.word(stage, i * 2 + half, thread);
            }
            if constexpr (Pass::makes_streams) {
                uint4 y[2];
#pragma unroll
                for (int half = 0; half < 2; ++half) y[half] = queue.word(stage, Pass::streams * 2 + half, thread);
                by.make(from, words, y, c, has_channels);
            }
            begin_products();
#pragma unroll
            for (int i = 0; i < n; ++i)
                multiply_step(sums, words.at[i], lds_first + Pass::fn_at(k * Pass::load, i), k + i > 0);
            end_products();
            ask(stage);
            own_sums.add(words, by_channel);
            products_but<0>();
            made(sums);
            stage = stage + 1 == queue.stages ? 0 : stage + 1;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = here + own + half * 8, place = slice * tokens + t;
            own_sums.store(sqsum, products, place, half, lane, t < valid);
            if (t < valid)
                give_rows<Tile>(sums, lane, half, fn_rows,
                                [=](int row, float sum) MHC_INLINE { proj[place * fn_rows + row] = sum; });
        }
    }
    queue.wait_for_all();
}

}  // namespace mhc
