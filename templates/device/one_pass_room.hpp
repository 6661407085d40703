// mhc/device/one_pass_room.hpp -- what a work-group of one_pass.hpp has in LDS, the signals that its waves wait at, and how
// tiles go round.
#pragma once

#include <mhc/device/cuda_cluster.hpp>
#include <mhc/device/project_tiles.hpp>
#include <mhc/device/sinkhorn.hpp>

namespace mhc {

/// LDS for the pieces of weights that registers do not hold.
template <int Pieces>
struct room_of_weights {
    uint4 words[Pieces * piece_words];
    MHC_MEMBER uint4* weights_of(int thread) { return words + thread; }
};
template <>
struct room_of_weights<0> {
    MHC_MEMBER uint4* weights_of(int) { return nullptr; }
};

/// What is made of a token's sums: pre, post and mix; those of the first layer, whose streams are all one row, which is
/// fetched once; a head's pre alone; or those of the layer after this one, whose streams are added by given numbers.
enum class coefficients_of { a_layer, the_first_layer, a_head, the_next_layer };

/// Sizes that follow from n, the slice and the tiles that LDS holds. Where IsMade, who multiplies and adds streams waits
/// until other waves have made them of what was fetched. InLds: as in tile_weights.
template <class Rows_, int n_, int Stages_, int InLds, bool IsMade = false, coefficients_of Kind = coefficients_of::a_layer>
struct pass {
    using Rows = Rows_;
    static constexpr bool is_made = IsMade, has_matrix = Kind != coefficients_of::a_head,
                          has_given_pre = Kind == coefficients_of::the_next_layer,
                          is_one_row = Kind == coefficients_of::the_first_layer;
    static constexpr int in_lds = InLds;
    static constexpr int n = n_, m = has_matrix ? n * n + 2 * n : n, slice = Rows::slice, ranks = Rows::slices,
                         stages = Stages_;
    static constexpr int tokens = matrix_unit::columns, waves = tile_waves;
    static constexpr int width = tile_products<m> + 4;  ///< floats of a token's sums: lanes in a row meet no bank twice
    static constexpr int sums = tokens * width;         ///< floats of a tile's sums
    /// Words of 16 bytes: of a token's slice of one stream, of a box, which has 8 of each row that is fetched, and of a
    /// tile.
    static constexpr int each = Rows::W, words = slice / each, boxes = words / 8, fetched = is_one_row ? 1 : n,
                         box = fetched * tokens * 8, tile = boxes * box;
    static constexpr int parts_rooms = is_one_row ? 4 : 2;  ///< tiles whose waves' sums have room: one row leaves more
    static constexpr int slots = ceil_div(stages, ranks);   ///< tiles of an owner whose sums may be on their way at once
    /// An owner's tiles whose matrices are balanced together: with few ranks the next one comes soon.
    static constexpr int together = ranks < 8 ? 2 : 1, rooms = has_matrix ? 2 * together : 1;
    /// Tiles that are fetched before the weights are here, which otherwise would wait for all that LDS holds.
    static constexpr int early = smaller(stages, ceil_div(65536, tile * 16));
    /// Tiles between the one that is fetched and the one that is to be in the L2 cache by then; 0: it need not.
    static constexpr int ahead = 0;
    static_assert(tokens == 8 && words % 8 == 0, "boxes of 128 bytes of a row and 8 tokens");

    struct memory : room_of_weights<InLds> {
        uint4 x[stages][tile];  ///< as `word` says
        float4 parts[parts_rooms][waves][sums / 4];
        float4 arrived[slots][ranks][sums / 4];
        float4 totals[sums / 4];
        float4 pre[stages][tokens];
        float matrices[rooms][tokens * balance<n>::floats];
        signal full[stages], free[stages], pre_here[stages], made[IsMade ? stages : 1];
        signal parts_here[parts_rooms], parts_gone[parts_rooms];
        signal arrived_here[slots];
        signal logits_here[rooms], logits_gone[rooms];
        signal weights_here;

        MHC_MEMBER signal& ready(int stage) { return IsMade ? made[stage] : full[stage]; }
    };
    /// Of a word of a token: boxes of 8 words of a row, in each [fetched, 8 tokens, 8], as the copy engine lays them without
    /// that lanes meet in a bank.
    static constexpr MHC_MEMBER int word(int stream, int word, int token)
    {
        return ((word / 8 * fetched + (is_one_row ? 0 : stream)) * tokens + token) * 8 + (word % 8 ^ token);
    }
    /// Lanes of a product's columns j and j + 1 read tokens 4 apart, which are in different banks.
    static constexpr MHC_MEMBER int token_of(int column) { return column / 2 + column % 2 * 4; }
};

template <class Pass>
MHC_DEVICE void make_signals(typename Pass::memory& lds)
{
    for (int s = 0; s < Pass::stages; ++s) {
        lds.full[s].make(1);
        lds.free[s].make(4);
        if (Pass::is_made) lds.made[s].make(Pass::waves);
        lds.pre_here[s].make(1);
        lds.pre_here[s].expect(Pass::tokens * 16);
    }
    for (int b = 0; b < Pass::parts_rooms; ++b) {
        lds.parts_here[b].make(Pass::waves);
        lds.parts_gone[b].make(1);
    }
    for (int r = 0; r < Pass::rooms; ++r) {
        lds.logits_here[r].make(1);
        lds.logits_gone[r].make(1);
    }
    lds.weights_here.make(Pass::waves + 1);
    for (int s = 0; s < Pass::slots; ++s) {
        lds.arrived_here[s].make(1);
        lds.arrived_here[s].expect(Pass::ranks * Pass::sums * 4);
    }
    show_signals();
}

/// Waves that multiply begin with weights, and find signals made when these are on their way.
template <class Pass>
using signals_for_products = meeting<3, tile_lanes + tile_lanes / tile_waves>;

/// The beginning of the other waves, one lane of which makes signals, by make(). All lanes have told the cluster then.
template <class Pass, class Grid, class Make>
MHC_DEVICE void begin_with_signals(Grid at, Make make)
{
    constexpr int maker = Pass::waves + 4;
    if (at.thread() == maker * Grid::wave_size) make();
    wave_sync();
    tell_cluster();
    meeting<2, Pass::waves * Grid::wave_size>{}.meet();
    if (at.thread() / Grid::wave_size == maker) signals_for_products<Pass>{}.tell();
}

/// Of a work-group: the tiles that its cluster has are first, first + step, ...
struct tiles_of {
    int first, step, count;
    u32 rank;
    /// Of the j-th of them.
    template <class Pass>
    MHC_MEMBER i64 first_token(int j) const
    {
        return i64(first + j * step) * Pass::tokens;
    }
};
template <class Pass, class Grid>
MHC_DEVICE tiles_of tiles_of_group(Grid at, i64 valid)
{
    const int tiles = int((valid + Pass::tokens - 1) / Pass::tokens);
    const int first = int(at.group) / Pass::ranks, step = int(at.groups) / Pass::ranks;
    return {first, step, first < tiles ? (tiles - first + step - 1) / step : 0, cluster_rank()};
}

}  // namespace mhc
