// mhc/device/project_tiles.hpp -- the projection of bf16 streams by matrix units: the same sums as in project.hpp, in
// another order, which is a function of n and C too.
//
// Weights of any type are a sum of two bf16, high and low: what that leaves out is below 2^-17 of a weight. Products are
// exact, sums are float. A slice is n streams of 1024 / n channels. A work-group keeps the weights of one slice in
// registers, a wave those of 64 channels of one stream, and walks over tiles of 16 tokens: x is read once, three tiles
// ahead; fn is the left factor, so that what one load brings is the right one as it is.
#pragma once

#include <mhc/device/project.hpp>

namespace mhc {

constexpr int tile_waves = 16, tile_channels = 64, tile_tokens = 16;
/// A lane has 8 channels of each 32 in one load, which are two steps of a matrix product.
constexpr int tile_loads = tile_channels / 32, tile_steps = 2 * tile_loads;

/// fn in blocks of 8 rows. A left factor of 16 rows has two blocks: of blocks 0 and 1 the high parts, then the low ones; an
/// odd last block has its high and its low part in one.
template <int m>
constexpr int row_blocks = ceil_div(m, 8);

/// Weights of a wave's channels, in steps of 16 channels.
template <int m>
struct tile_weights {
    tile_16x16 at[tile_steps][row_blocks<m>];
};

/// Where the high or low part of a block is: factor and half of it.
template <int m>
struct block_place {
    int factor, half;
    constexpr MHC_MEMBER block_place(int block, bool is_low)
        : factor(block == row_blocks<m> - 1 && row_blocks<m> % 2 == 1 ? block : block / 2 * 2 + (is_low ? 1 : 0)),
          half(block == row_blocks<m> - 1 && row_blocks<m> % 2 == 1 ? (is_low ? 1 : 0) : block % 2)
    {
    }
};

/// 16 tokens of a wave's channels: of two rows a lane.
struct tile_rows {
    uint4 at[2][tile_loads];
};

/// Where the channels of one wave are: of stream `stream` from `first` on, those below `end`.
struct tile_place {
    int stream, first, end;
    /// This lane's 8 channels of the i-th 32: lane q of four has them in one piece, which permutes the channels of a matrix
    /// product, those of x and fn alike.
    MHC_MEMBER int channel(int i, int lane) const { return first + 32 * i + lane % 4 * 8; }
};

template <class Rows, int n>
MHC_DEVICE tile_place place_of(int slice, int wave)
{
    constexpr int waves = tile_waves / n;  // of one stream
    return {wave / waves, slice * Rows::slice + wave % waves * tile_channels, Rows::C};
}

template <class Rows, int m, int WeightAlign, bool RoundAsReference, class Matrix>
MHC_DEVICE void load_tile_weights(tile_weights<m>& to, Matrix fn, tile_place at, int lane, int fn_rows)
{
#pragma unroll
    for (int i = 0; i < tile_loads; ++i) {
        const int c = at.channel(i, lane);
#pragma unroll
        for (int block = 0; block < row_blocks<m>; ++block) {
            const int r = block * 8 + lane / 4;
            vec<float, 8> f = splat<8>(0.0f);
            if (c < at.end && r < fn_rows) f = load<8, WeightAlign>(fn.row(r) + at.stream * Rows::C + c);
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const float a = f[2 * pair], b = f[2 * pair + 1];
                const u32 high = float_pair_to_bf16(a, b);
                const u32 low = float_pair_to_bf16(a - bits_to_float(high << 16), b - bits_to_float(high & 0xffff0000U));
                const block_place<m> of_high(block, false), of_low(block, true);
                tile_16x16* const step = to.at[i * 2 + pair / 2];
                step[of_high.factor].at[pair % 2 * 2 + of_high.half] = high;
                step[of_low.factor].at[pair % 2 * 2 + of_low.half] = RoundAsReference ? 0 : low;
            }
        }
    }
}

/// Tiles that are on their way to a lane, each lane's own 16 bytes of them in LDS: more of them than registers hold.
template <class Rows>
struct tile_queue {
    static constexpr int stages = 3, words = 2 * tile_loads;  ///< of 16 bytes a lane
    static constexpr int room = stages * words * 32 * tile_waves;
    uint4* lds;  ///< [stages, words, block]

    template <class Grid>
    MHC_MEMBER void fetch(Grid at, int stage, const bf16* x, tile_place place, i64 first_token, i64 tokens, i64 x_token,
                          i64 x_stream) const
    {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const i64 t = first_token + at.lane() / 4 + row * 8;
            const bf16* const from = x + t * x_token + place.stream * x_stream;
#pragma unroll
            for (int i = 0; i < tile_loads; ++i) {
                const int c = place.channel(i, at.lane());
                copy_once<Rows::align>(lds + (stage * words + row * tile_loads + i) * Grid::block + at.thread(), from + c,
                                       t < tokens && c < place.end);
            }
        }
        end_copies();
    }
    template <class Grid>
    MHC_MEMBER tile_rows take(Grid at, int stage) const
    {
        tile_rows rows;
#pragma unroll
        for (int k = 0; k < words; ++k)
            rows.at[k / tile_loads][k % tile_loads] = lds[(stage * words + k) * Grid::block + at.thread()];
        return rows;
    }
};

/// Sums of one wave over its channels: of each half of 8 tokens with the rows of each factor, and the squares of tokens g
/// and g + 8.
template <int m>
struct wave_sums {
    tile_16x8 products[2][row_blocks<m>];
    float squares[2];

    /// Of row 8 * block + g with token 8 * half + 2 q + i: high part and low part.
    MHC_MEMBER float product(int half, int block, int i) const
    {
        const block_place<m> high(block, false), low(block, true);
        return products[half][high.factor].at[high.half * 2 + i] + products[half][low.factor].at[low.half * 2 + i];
    }
};

MHC_DEVICE float add_squares(float sum, u32 pair)
{
    const float low = bits_to_float(pair << 16), high = bits_to_float(pair & 0xffff0000U);
    return fma(high, high, fma(low, low, sum));
}

template <int m>
MHC_DEVICE wave_sums<m> multiply(const tile_rows& x, const tile_weights<m>& by)
{
    wave_sums<m> sums = {};
#pragma unroll
    for (int i = 0; i < tile_loads; ++i) {
#pragma unroll
        for (int factor = 0; factor < row_blocks<m>; ++factor) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const uint4 v = x.at[half][i];
                add_product(sums.products[half][factor], by.at[i * 2][factor], v.x, v.y);
                add_product(sums.products[half][factor], by.at[i * 2 + 1][factor], v.z, v.w);
            }
        }
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        float parts[tile_loads];
#pragma unroll
        for (int i = 0; i < tile_loads; ++i) {
            const uint4 v = x.at[row][i];
            parts[i] = add_squares(add_squares(add_squares(add_squares(0.0f, v.x), v.y), v.z), v.w);
        }
        sums.squares[row] = quad_sum(parts[0] + parts[1]);
    }
    return sums;
}

/// Of a token's sums, those of products first, then that of squares.
template <int m>
constexpr int tile_width = row_blocks<m> * 8 + 1;

/// Floats of LDS that the waves' sums of a tile take; those of four tiles have room, so that one barrier for two is enough.
template <int m>
constexpr int tile_floats = tile_waves* tile_tokens* tile_width<m>;

template <int m>
MHC_DEVICE void share_sums(float* to, const wave_sums<m>& sums, int lane)
{
    constexpr int width = tile_width<m>;
    const int g = lane / 4, q = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int block = 0; block < row_blocks<m>; ++block) {
#pragma unroll
            for (int i = 0; i < 2; ++i) to[(half * 8 + 2 * q + i) * width + block * 8 + g] = sums.product(half, block, i);
        }
    }
    if (q == 0) {
        to[g * width + width - 1] = sums.squares[0];
        to[(g + 8) * width + width - 1] = sums.squares[1];
    }
}

/// What a lane adds up and stores of each tile: number e = thread + turn * block of the tile's sums.
template <int m, class Grid>
struct tile_results {
    static constexpr int width = tile_width<m>, count = tile_tokens * width, turns = ceil_div(count, Grid::block);
    float* to[turns];  ///< of tile 0
    int token[turns];  ///< in its tile; so large that it is past every end where there is nothing to store
    i64 per_tile[turns];

    MHC_MEMBER tile_results(Grid at, float* proj, float* sqsum, int split, i64 tokens, int fn_rows)
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int e = at.thread() + turn * Grid::block, r = e % width;
            const bool is_square = r == width - 1;
            const i64 place = split * tokens + e / width;
            token[turn] = e < count && (is_square || r < fn_rows) ? e / width : 0x7fffffff;
            to[turn] = is_square ? sqsum + place : proj + place * fn_rows + r;
            per_tile[turn] = tile_tokens * i64(is_square ? 1 : fn_rows);
        }
    }

    /// Adds the waves' sums, in four parts of waves w, w + 4, ...: the first slice of a split sets, others add.
    MHC_MEMBER void store(Grid at, const float* shared, i64 tile, i64 valid, bool is_first) const
    {
        const i64 left = valid - tile * tile_tokens;
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            if (token[turn] >= left) continue;
            const float* const from = shared + at.thread() + turn * Grid::block;
            float parts[4];
#pragma unroll
            for (int w = 0; w < tile_waves; ++w) parts[w % 4] = w < 4 ? from[w * count] : parts[w % 4] + from[w * count];
            const float sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
            float* const place = to[turn] + tile * per_tile[turn];
            *place = is_first ? sum : *place + sum;
        }
    }
};

/// Tiles first, first + step, ... of the sums over one slice.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, class Grid, class Matrix>
MHC_DEVICE void project_slice(Grid at, uint4* lds, const bf16* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int split, int slice, bool is_first, i64 first_tile, i64 step, i64 tokens, i64 valid,
                              i64 x_token, i64 x_stream)
{
    constexpr int m = n * n + 2 * n;
    const int lane = at.lane(), wave = at.wave();
    const tile_place place = place_of<Rows, n>(slice, wave);
    const i64 tiles = (valid + tile_tokens - 1) / tile_tokens;

    tile_weights<m> weights;
    load_tile_weights<Rows, m, WeightAlign, RoundAsReference>(weights, fn, place, lane, fn_rows);
    wait_for_last_kernel();
    let_next_kernel_start();  // not earlier: it may read what the last one wrote

    const tile_results<m, Grid> results(at, proj, sqsum, split, tokens, fn_rows);
    const tile_queue<Rows> queue = {lds};
    float* const shared = reinterpret_cast<float*>(lds + tile_queue<Rows>::room);
    constexpr int stages = tile_queue<Rows>::stages;
    auto fetch = [=](int stage, i64 tile)
                     MHC_INLINE { queue.fetch(at, stage, x, place, tile * tile_tokens, valid, x_token, x_stream); };
    for (int stage = 0; stage < stages; ++stage) fetch(stage, first_tile + stage * step);
    int stage = 0;
    auto make = [&](i64 tile, float* room) MHC_INLINE {
        copies_but<stages - 1>();
        const wave_sums<m> sums = multiply<m>(queue.take(at, stage), weights);
        fetch(stage, tile + stages * step);
        share_sums<m>(room + wave * tile_tokens * tile_width<m>, sums, lane);
        stage = stage + 1 == stages ? 0 : stage + 1;
    };
    float *room = shared, *other = shared + 2 * tile_floats<m>;
    for (i64 tile = first_tile; tile < tiles; tile += 2 * step) {  // two tiles a barrier
        const i64 second = tile + step;
        make(tile, room);
        if (second < tiles) make(second, room + tile_floats<m>);
        barrier();
        results.store(at, room, tile, valid, is_first);
        if (second < tiles) results.store(at, room + tile_floats<m>, second, valid, is_first);
        float* const last = room;
        room = other;
        other = last;
    }
    copies_but<0>();
    barrier();  // before another slice's sums come
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp. The number of groups is a multiple of that of slices.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, class Grid, class Matrix>
MHC_DEVICE void project_tiles(Grid at, uint4* lds, const bf16* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int splits, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    static_assert(Grid::waves == tile_waves && Rows::slice * n == tile_waves * tile_channels, "a wave has its channels");
    constexpr int slices = Rows::slices;
    const int used = smaller(splits, slices), split = int(at.group % used);
    const i64 first_tile = at.group / used, step = at.groups / used;
    // With fewer splits than slices some groups may be left over.
    for (int slice = split * slices / used; first_tile < step && slice < (split + 1) * slices / used; ++slice)
        project_slice<Rows, n, WeightAlign, RoundAsReference>(at, lds, x, fn, proj, sqsum, fn_rows, split, slice,
                                                              slice == split * slices / used, first_tile, step, tokens,
                                                              valid, x_token, x_stream);
    wait_for_last_kernel();  // by those that had nothing to do
    if (splits > slices) {
        clear(at, proj + slices * tokens * fn_rows, splits - slices, valid * fn_rows, tokens * fn_rows);
        clear(at, sqsum + slices * tokens, splits - slices, valid, tokens);
    }
}

}  // namespace mhc
