// mhc/device/project_tiles.hpp -- the projection of bf16 streams by matrix units: the same sums as in project.hpp, in another
// order, which is a function of n and C too.
//
// Weights of any type are a sum of two bf16, high and low: what that leaves out is below 2^-17 of a weight. Products are
// exact, sums are float. A slice is n streams of 1024 / n channels. A work-group keeps the weights of one slice in registers,
// a wave those of 128 channels of one stream, and walks over tiles of 16 tokens: x is read once, straight into registers, two
// tiles ahead.
#pragma once

#include <mhc/device/project.hpp>

namespace mhc {

constexpr int tile_waves = 8, tile_channels = 128, tile_tokens = 16;
/// A lane has 8 channels of each 32 in one load, which are two steps of a matrix product.
constexpr int tile_loads = tile_channels / 32, tile_steps = 2 * tile_loads;

/// Columns of 8 rows of fn, as matrix units take them.
template <int m>
constexpr int column_tiles = ceil_div(m, 8);

/// Weights of a wave's channels: of each step of 16, the two words of every column tile.
template <int m>
struct tile_weights {
    u32 high[tile_steps][column_tiles<m>][2], low[tile_steps][column_tiles<m>][2];
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
        for (int tile = 0; tile < column_tiles<m>; ++tile) {
            const int r = tile * 8 + lane / 4;
            vec<float, 8> f = splat<8>(0.0f);
            if (c < at.end && r < fn_rows) f = load<8, WeightAlign>(fn.row(r) + at.stream * Rows::C + c);
#pragma unroll
            for (int pair = 0; pair < 4; ++pair) {
                const float a = f[2 * pair], b = f[2 * pair + 1];
                const u32 high = float_pair_to_bf16(a, b);
                const u32 low = float_pair_to_bf16(a - bits_to_float(high << 16), b - bits_to_float(high & 0xffff0000U));
                to.high[i * 2 + pair / 2][tile][pair % 2] = high;
                to.low[i * 2 + pair / 2][tile][pair % 2] = RoundAsReference ? 0 : low;
            }
        }
    }
}

/// Tokens past the end stand for the last one.
template <class Rows>
MHC_DEVICE void load_tile_rows(tile_rows& to, const bf16* x, tile_place at, int lane, i64 first_token, i64 tokens, i64 x_token,
                               i64 x_stream)
{
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        const i64 t = first_token + lane / 4 + row * 8;
        const bf16* const from = x + (t < tokens ? t : tokens - 1) * x_token + at.stream * x_stream;
#pragma unroll
        for (int i = 0; i < tile_loads; ++i) {
            const int c = at.channel(i, lane);
            to.at[row][i] = load_once<Rows::align, Rows::C % Rows::slice != 0>(from + c, c < at.end);
        }
    }
}

/// Sums of one wave over its channels: of 16 tokens with 8 rows of fn in each tile, and the squares of rows g and g + 8.
template <int m>
struct wave_sums {
    tile_16x8 products[column_tiles<m>];
    float squares[2];
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
        const uint4 top = x.at[0][i], bottom = x.at[1][i];
#pragma unroll
        for (int tile = 0; tile < column_tiles<m>; ++tile) {
            tile_16x8& to = sums.products[tile];
            const auto &high = by.high, &low = by.low;
            const int first = i * 2, second = first + 1;
            add_product(to, top.x, bottom.x, top.y, bottom.y, high[first][tile][0], high[first][tile][1]);
            add_product(to, top.z, bottom.z, top.w, bottom.w, high[second][tile][0], high[second][tile][1]);
            add_product(to, top.x, bottom.x, top.y, bottom.y, low[first][tile][0], low[first][tile][1]);
            add_product(to, top.z, bottom.z, top.w, bottom.w, low[second][tile][0], low[second][tile][1]);
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
        sums.squares[row] = quad_sum((parts[0] + parts[1]) + (parts[2] + parts[3]));
    }
    return sums;
}

/// Of a token's sums, those of products first, then that of squares.
template <int m>
constexpr int tile_width = column_tiles<m> * 8 + 1;

/// Floats of LDS that the waves' sums of a tile take; those of two tiles have room, so that one barrier a tile is enough.
template <int m>
constexpr int tile_floats = tile_waves * tile_tokens * tile_width<m>;

template <int m>
MHC_DEVICE void share_sums(float* to, const wave_sums<m>& sums, int lane)
{
    constexpr int width = tile_width<m>;
    const int g = lane / 4, q = lane % 4;
#pragma unroll
    for (int tile = 0; tile < column_tiles<m>; ++tile) {
        const int column = tile * 8 + 2 * q;
#pragma unroll
        for (int i = 0; i < 4; ++i) to[(g + i / 2 * 8) * width + column + i % 2] = sums.products[tile].at[i];
    }
    if (q == 0) {
        to[g * width + width - 1] = sums.squares[0];
        to[(g + 8) * width + width - 1] = sums.squares[1];
    }
}

/// Adds the waves' sums, in four parts of waves w, w + 4, ..., and stores them: the first slice of a split sets, others add.
template <int m, class Grid>
MHC_DEVICE void store_tile(Grid at, const float* shared, float* proj, float* sqsum, int split, i64 first_token, i64 tokens,
                           int fn_rows, bool is_first)
{
    constexpr int width = tile_width<m>, count = tile_tokens * width;
    for (int e = at.thread(); e < count; e += Grid::block) {
        const int r = e % width;
        const i64 t = first_token + e / width;
        const bool is_square = r == width - 1;
        if (t >= tokens || (!is_square && r >= fn_rows)) continue;
        float parts[4];
#pragma unroll
        for (int w = 0; w < tile_waves; ++w) parts[w % 4] = w < 4 ? shared[w * count + e] : parts[w % 4] + shared[w * count + e];
        const float sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
        const i64 place = split * tokens + t;
        float* const to = is_square ? sqsum + place : proj + place * fn_rows + r;
        *to = is_first ? sum : *to + sum;
    }
}

/// Tiles first, first + step, ... of the sums over one slice.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, bool Overlaps, class Grid, class Matrix>
MHC_DEVICE void project_slice(Grid at, float* shared, const bf16* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int split, int slice, bool is_first, i64 first_tile, i64 step, i64 tokens, i64 x_token,
                              i64 x_stream)
{
    constexpr int m = n * n + 2 * n;
    const int lane = at.lane(), wave = at.wave();
    const tile_place place = place_of<Rows, n>(slice, wave);
    const i64 tiles = (tokens + tile_tokens - 1) / tile_tokens;

    tile_weights<m> weights;
    load_tile_weights<Rows, m, WeightAlign, RoundAsReference>(weights, fn, place, lane, fn_rows);
    wait_for_last_kernel<Overlaps>();
    let_next_kernel_start<Overlaps>();  // not earlier: it may read what the last one wrote

    tile_rows ahead[2];
    auto fetch = [&](tile_rows& to, i64 tile) MHC_INLINE {  // past the last tile: the last token's row, which costs little
        load_tile_rows<Rows>(to, x, place, lane, tile * tile_tokens, tokens, x_token, x_stream);
    };
    auto make = [&](tile_rows& from, float* room, i64 tile) MHC_INLINE {
        const wave_sums<m> sums = multiply<m>(from, weights);
        fetch(from, tile + 2 * step);
        share_sums<m>(room + wave * tile_tokens * tile_width<m>, sums, lane);
        barrier();
        store_tile<m>(at, room, proj, sqsum, split, tile * tile_tokens, tokens, fn_rows, is_first);
    };
    fetch(ahead[0], first_tile);
    fetch(ahead[1], first_tile + step);
    for (i64 tile = first_tile; tile < tiles; tile += step) {
        make(ahead[0], shared, tile);
        tile += step;
        if (tile >= tiles) break;
        make(ahead[1], shared + tile_floats<m>, tile);
    }
    barrier();  // before another slice's sums come
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp. The number of groups is a multiple of that of slices.
template <class Rows, int n, int WeightAlign, bool RoundAsReference, bool Overlaps, class Grid, class Matrix>
MHC_DEVICE void project_tiles(Grid at, float* shared, const bf16* x, Matrix fn, float* proj, float* sqsum, int fn_rows,
                              int splits, i64 tokens, i64 x_token, i64 x_stream)
{
    static_assert(Grid::waves == tile_waves && Rows::slice * n == tile_waves * tile_channels, "a wave has its channels");
    constexpr int slices = Rows::slices;
    const int used = smaller(splits, slices), split = int(at.group % used);
    const i64 first_tile = at.group / used, step = at.groups / used;
    // With fewer splits than slices some groups may be left over.
    for (int slice = split * slices / used; first_tile < step && slice < (split + 1) * slices / used; ++slice)
        project_slice<Rows, n, WeightAlign, RoundAsReference, Overlaps>(at, shared, x, fn, proj, sqsum, fn_rows, split, slice,
                                                                        slice == split * slices / used, first_tile, step,
                                                                        tokens, x_token, x_stream);
    wait_for_last_kernel<Overlaps>();  // by those that had nothing to do
    if (splits > slices) {
        clear(at, proj + slices * tokens * fn_rows, (splits - slices) * tokens * fn_rows);
        clear(at, sqsum + slices * tokens, (splits - slices) * tokens);
    }
}

}  // namespace mhc
