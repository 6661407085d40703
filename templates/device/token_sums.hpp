// mhc/device/token_sums.hpp -- gradients of what all tokens share: sums over the tokens, in two stages and a promised order.
//
// A first stage sums a fixed number of tokens, one after the other; the next ones add such sums, again one after the other.
// So the order depends on the number of tokens alone, and on no grid.
#pragma once

#include <mhc/device/project.hpp>

namespace mhc {

constexpr i64 ceil_div_long(i64 a, i64 b) { return (a + b - 1) / b; }

/// total + the next Rows rows, in their order. All are asked for before the first is added: one after the other they would
/// be nothing but waits.
template <int Rows>
MHC_DEVICE float add_rows(float total, const float*& next, i64 width)
{
    float rows[Rows];
#pragma unroll
    for (int k = 0; k < Rows; ++k, next += width) rows[k] = *next;
#pragma unroll
    for (int k = 0; k < Rows; ++k) total += rows[k];
    return total;
}

/// The sum of `count` rows of `width`, one at least, in their order; `next` is where the first one's number is.
MHC_DEVICE float sum_of_rows(const float* next, i64 count, i64 width)
{
    constexpr int most = 16;
    float total = -0.0f;  // to which the first number is added as it is
    for (; count >= most; count -= most) total = add_rows<most>(total, next, width);
    if (count & 8) total = add_rows<8>(total, next, width);
    if (count & 4) total = add_rows<4>(total, next, width);
    if (count & 2) total = add_rows<2>(total, next, width);
    return count & 1 ? total + *next : total;
}

/// to[s, k] = sum of up to Each rows from[s*Each ..., k], in their order; k < width.
template <int Each, class Grid>
MHC_DEVICE void sum_rows(Grid at, const float* from, float* to, i64 count, i64 width)
{
    const i64 sums = ceil_div_long(count, Each) * width;
    for (i64 e = at.group * Grid::block + at.thread(); e < sums; e += at.groups * Grid::block) {
        const i64 k = e % width, first = e / width * Each, end = first + Each < count ? first + Each : count;
        to[e] = sum_of_rows(from + first * width + k, end - first, width);
    }
}

/// The sum of `count` rows of `width`, in column k, in their order; no rows (or fewer), nothing read, 0.
MHC_DEVICE float column_sum(const float* from, i64 count, i64 width, i64 k)
{
    if (count <= 0) return 0.0f;
    return sum_of_rows(from + k, count, width);
}

/// One number of a parameter's gradient.
template <class T>
MHC_DEVICE void store_parameter(T* to, float v, bool adds)
{
    if (adds) v = load<1, int(sizeof(T))>(to)[0] + v;
    store<1, int(sizeof(T))>(to, splat<1>(v));
}

/// to[k] = sum over `count` rows of from[r, first + k]; k < length. A matrix is a vector of all its numbers.
template <class Grid, class T>
MHC_DEVICE void finish_vector(Grid at, const float* from, i64 count, i64 width, i64 first, T* to, i64 length, bool adds)
{
    for (i64 k = at.group * Grid::block + at.thread(); k < length; k += at.groups * Grid::block)
        store_parameter(to + k, column_sum(from, count, width, first + k), adds);
}

/// Rows of sums.
struct last_sums {
    const float* at;
    i64 rows;
};

/// The sum of the rows in the lane's column of them, `from` having that column's numbers, in the lanes of wave 0: a wave
/// adds 16 rows that follow each other, then the 16 that are as many rows further as all waves take; sums of waves are added
/// in their order. `shared` has a float for each lane. All lanes of the work-group must call it.
template <class Grid>
MHC_DEVICE float sum_by_waves(Grid at, float* shared, last_sums from, i64 width, bool is_there)
{
    constexpr int each = 16;
    float total = 0.0f;
    for (i64 first = i64(at.wave()) * each; first < from.rows; first += Grid::waves * each) {
        const i64 left = from.rows - first;
        if (is_there) total += sum_of_rows(from.at + first * width, left < each ? left : each, width);
    }
    shared[at.thread()] = total;
    barrier();
    if (at.wave() != 0) return 0.0f;
    total = 0.0f;
#pragma unroll
    for (int w = 0; w < Grid::waves; ++w) total += shared[w * Grid::wave_size + at.lane()];
    return total;
}

/// put(k, sum) for each of the `width` columns, from one lane. A work item is as many as a wave has lanes.
template <class Grid, class Put>
MHC_DEVICE void sum_columns(Grid at, float* shared, last_sums from, i64 width, Put put)
{
    constexpr i64 together = Grid::wave_size;
    for (i64 first = at.group * together; first < width; first += at.groups * together) {
        const i64 k = first + at.lane();
        const float total = sum_by_waves(at, shared, {from.at + k, from.rows}, width, k < width);
        if (at.wave() == 0 && k < width) put(k, total);
        barrier();  // before the next columns' sums take their places
    }
}

/// sums[s, r, i*C + c] = sum over the tokens of slice s (Slice tokens) of d_proj[t, r] * x[t, i, c], d_proj of the split
/// that c is in; r < fn_rows. Of all `tokens` the first `valid` are read.
/// A work item is a slice, a stream, a chunk of channels and TileRows rows.
template <class Rows, int n, int TileRows, int Slice, int RowsMax, class Grid, class Data>
MHC_DEVICE void matrix_sums(Grid at, const Data* x, const float* d_proj, float* sums, i64 fn_rows, int splits, i64 tokens,
                            i64 valid, i64 x_token, i64 x_stream)
{
    using lanes = typename Rows::lanes;
    constexpr int row_tiles = ceil_div(RowsMax, TileRows), each = row_tiles * n * Rows::chunks;
    const i64 items = ceil_div_long(valid, Slice) * each;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int first_row = int(item % row_tiles) * TileRows, i = int(item / row_tiles % n);
        const int begin = int(item / (row_tiles * n) % Rows::chunks) * Rows::chunk;
        const i64 slice = item / each, first = slice * Slice, end = first + Slice < valid ? first + Slice : valid;
        if (first_row >= fn_rows) continue;
        for_each_vector<Rows>(at, begin, smaller(begin + Rows::chunk, Rows::C), [=](int c) MHC_INLINE {
            const i64 split = split_of<Rows>(c, splits) * tokens;
            lanes totals[TileRows];
#pragma unroll
            for (int r = 0; r < TileRows; ++r) totals[r] = splat<Rows::W>(0.0f);
            for (i64 t = first; t < end; ++t) {
                const lanes v = Rows::load(x + t * x_token + i * x_stream, c);
                const float* d = d_proj + (split + t) * fn_rows;
#pragma unroll
                for (int r = 0; r < TileRows; ++r) {
                    const i64 row = first_row + r < fn_rows ? first_row + r : fn_rows - 1;
                    totals[r] = fma<Rows::W>(splat<Rows::W>(d[row]), v, totals[r]);
                }
            }
#pragma unroll
            for (int r = 0; r < TileRows; ++r)
                if (first_row + r < fn_rows)
                    Rows::store(sums + ((slice * fn_rows + first_row + r) * n + i) * Rows::C, c, totals[r]);
        });
    }
}

}  // namespace mhc
