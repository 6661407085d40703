// mhc/device/group_streams.hpp -- work-groups of gradient_groups.hpp's kind of which a lane has 8 channels of two tokens of
// a tile, of all streams: what goes from stream to stream stays in its registers.
//
// Four waves have 32 channels of every stream for products with fn, and whole rows of some streams for sums over tokens.
#pragma once

#include <mhc/device/gradient_groups.hpp>

namespace mhc {

/// Numbers of a token, beside its words in LDS.
template <int Words>
struct token_numbers {
    static constexpr int words = Words;
    union {
        uint4 at[words];
        float of[words * 4];
    };
    explicit MHC_MEMBER token_numbers(const uint4* from)
    {
#pragma unroll
        for (int k = 0; k < words; ++k) at[k] = from[k];
    }
};

/// A work-group has 64 channels of all streams, four of its waves 32 of them, and sums over tokens of some streams.
template <class Rows_, int n_, int RowsMax>
struct streams_tile : gradient_group<Rows_, n_, RowsMax, 64, 2, 2, true> {
    using base = gradient_group<Rows_, n_, RowsMax, 64, 2, 2, true>;
    static constexpr int n = n_, quads = 2, quad_channels = base::channels / quads, own_streams = n / quads;
    static_assert(base::stages == 2 && n == 4, "four lanes have a token's numbers");
};

/// Where a lane's words are in a tile, and what they are of.
struct streams_lane {
    int wave, lane, quad, token, channel, word;
    template <class Grid>
    explicit MHC_MEMBER streams_lane(Grid at)
        : wave(at.wave() % group_matrix::waves),
          lane(at.lane()),
          quad(at.wave() / group_matrix::waves),
          token(group_matrix::row(wave, lane, 0)),
          channel(quad * 32 + lane % 4 * 8),
          word(turned_word(token, channel / 8))
    {
    }
    /// Of the lane's second token: 8 tokens further the words lie alike.
    static constexpr MHC_MEMBER int word_of(int half) { return half * 64; }
};

/// A lane's part of the streams' gradient: sums of products of 32 channels of each stream.
template <class Tile>
struct streams_gradient {
    group_sums<32> of[Tile::n];
    static constexpr MHC_MEMBER int place(int half, int channel)
    {
        return group_matrix::place(channel / 2, half, channel % 2);
    }
    MHC_MEMBER void set(int stream, int half, const vec<float, 8>& v)
    {
#pragma unroll
        for (int k = 0; k < 8; ++k) of[stream].at[place(half, k)] = v[k];
    }
    MHC_MEMBER vec<float, 8> get(int stream, int half) const
    {
        vec<float, 8> v = splat<8>(0.0f);
#pragma unroll
        for (int k = 0; k < 8; ++k) v[k] = of[stream].at[place(half, k)];
        return v;
    }
};

/// Adds fn's part to the streams' gradient, and a tile to the sums for d_fn, of the streams that the lane's four waves have.
template <class Tile>
MHC_DEVICE void multiply_streams(streams_gradient<Tile>& gradient, channel_sums_of<Tile> (&fn_sums)[Tile::own_streams],
                                 int tile, int fn, streams_lane own, bool adds)
{
    constexpr int step = group_matrix::step, steps = Tile::tokens / step;
    group_left left[Tile::own_streams][steps];
#pragma unroll
    for (int s = 0; s < Tile::own_streams; ++s) {
#pragma unroll
        for (int k = 0; k < steps; ++k)
            left[s][k] =
                left_of_turned(tile + Tile::streams + (own.quad * Tile::own_streams + s) * Tile::quad_words + k * step * 8,
                               own.wave, own.lane);
    }
    begin_products();
#pragma unroll
    for (int i = 0; i < Tile::n; ++i)
        multiply_fn<Tile>(gradient.of[i], tile + Tile::d_proj, fn + i * Tile::fn_words + own.quad * Tile::quad_channels,
                          true);
#pragma unroll
    for (int s = 0; s < Tile::own_streams; ++s) multiply_x<Tile>(fn_sums[s], left[s], tile + Tile::d_proj, adds);
    end_products();
    products_but<0>();
#pragma unroll
    for (int i = 0; i < Tile::n; ++i) made(gradient.of[i]);
#pragma unroll
    for (int s = 0; s < Tile::own_streams; ++s) made(fn_sums[s]);
}

/// Stores an item's sums for d_fn, of the streams that the lane's four waves have. LaneAnew: what follows from the lane is
/// in no register before.
template <class Tile, bool LaneAnew, class Walk>
MHC_DEVICE void store_stream_sums(float* to, const channel_sums_of<Tile> (&fn_sums)[Tile::own_streams], streams_lane own,
                                  const Walk& here, int fn_rows)
{
#pragma unroll
    for (int s = 0; s < Tile::own_streams; ++s)
        store_channel_sums<Tile>(to + i64(here.slice) * fn_rows * (Tile::n * Tile::Rows::C), fn_sums[s], own.wave,
                                 LaneAnew ? made_anew(own.lane) : own.lane, own.quad * Tile::own_streams + s, here.channel,
                                 fn_rows);
}

/// Where a lane is whose places are to be made each time anew: registers are full of sums.
template <class Grid>
struct lane_made_anew {
    static constexpr int block = Grid::block;
    int own;
    MHC_MEMBER int thread() const { return own; }
};

/// Asks for d_proj of a tile.
template <class Tile, class Grid, class Walk>
MHC_DEVICE void ask_d_proj(Grid at, uint4* lds, int stage, const Walk& of, arranged_factors<Tile> factors)
{
    if (at.thread() != 0) return;
    signal& told = reinterpret_cast<signal*>(lds + Tile::signals)[stage];
    told.expect(Tile::d_proj_words * 16);
    copy_words(lds + stage * Tile::stage_words + Tile::d_proj, factors.words() + factors.d_proj_at(of.first / Tile::tokens),
               Tile::d_proj_words, told);
}

/// Asks for fn of an item with its first tile, when nobody uses its place any more.
template <class Tile, class Grid, class Walk>
MHC_DEVICE void ask_fn_of(Grid at, uint4* lds, const Walk& of, arranged_factors<Tile> factors)
{
    constexpr int words = Tile::n * Tile::fn_words;
    if (!of.is_first() || at.thread() != 0) return;
    signal& told = reinterpret_cast<signal*>(lds + Tile::signals)[2];
    told.expect(words * 16);
    copy_words(lds + Tile::fn, factors.words() + factors.fn_at(0, of.channel), words, told);
}

}  // namespace mhc
