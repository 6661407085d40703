// mhc/device/tile_weights.hpp -- the weights that a wave keeps in registers for tiles of 16 tokens: those of all rows of fn,
// of some channels of one stream.
#pragma once

#include <mhc/device/matrix_data.hpp>
#include <mhc/device/project.hpp>

namespace mhc {

constexpr int tile_tokens = 16, tile_waves = matrix_unit::waves;
/// A lane has 8 channels in one load, the lanes of one token this many together.
constexpr int load_channels = 8 * matrix_unit::groups;
/// Loads that the channels of a wave take.
template <class Rows, int n>
constexpr int tile_loads = Rows::slice* n / (tile_waves * load_channels);
/// Products that a tile's tokens take.
constexpr int tile_parts = tile_tokens / matrix_unit::columns;

/// Left factors of 16 rows: of each 16 rows of fn their high parts, then their low ones; then both parts of the last 8.
template <int m>
constexpr int full_factors = m / 16 * 2;
template <int m>
constexpr int factors = full_factors<m> + 1;

/// Whether a row of the last factor is the low part of its row of fn, and which of the last 8 that is: the parts are where
/// one lane has the sums of both.
MHC_DEVICE bool is_low_part(int row) { return row % (2 * matrix_unit::half_rows) >= matrix_unit::half_rows; }
MHC_DEVICE int row_of_parts(int row)
{
    constexpr int half = matrix_unit::half_rows;
    return row / (2 * half) * half + row % half;
}

/// Registers that all weights of a lane would take, and LDS, in words of 16 bytes, that a work-group's take of one piece.
template <int m, int Loads>
constexpr int weight_registers = factors<m>* Loads* matrix_unit::left_rows * 4;
constexpr int tile_lanes = tile_waves * matrix_unit::columns * matrix_unit::groups;
constexpr int piece_words = matrix_unit::left_rows * tile_lanes;

/// Weights of a wave's channels. The first InLds pieces, in the order of loads, are in LDS: for want of registers, which
/// they leave before the others come.
template <int m, int Loads, int InLds = 0>
struct tile_weights {
    left_piece at[factors<m>][Loads];
    row_scales scales;  ///< of fp16: of the rows of each two factors, and of the last ones
    uint4* lds;         ///< where those pieces' words are that this lane has

    static MHC_MEMBER bool is_in_lds(int factor, int load) { return load * factors<m> + factor < InLds; }
    MHC_MEMBER uint4& word_in_lds(int factor, int load, int row) const
    {
        return lds[(load * factors<m> + factor) * piece_words + row * tile_lanes];
    }
    MHC_MEMBER void put(int factor, int load, int row, uint4 v)
    {
        if (is_in_lds(factor, load))
            word_in_lds(factor, load, row) = v;
        else
            at[factor][load].rows[row] = v;
    }
    /// The pieces of a factor from `load` on; one alone where some are in LDS, which comes by way of `room`.
    MHC_MEMBER const left_piece* pieces(int factor, int load, left_piece& room) const
    {
        if (!is_in_lds(factor, load)) return at[factor] + load;
        static_assert(InLds == 0 || matrix_unit::loads == 1, "a product takes one piece");
#pragma unroll
        for (int row = 0; row < matrix_unit::left_rows; ++row) room.rows[row] = word_in_lds(factor, load, row);
        return &room;
    }
};

/// Where the channels of one wave are: of stream `stream` from `first` on, those below `end`. A lane has 8 of a load's, in
/// one piece or two, which permutes the channels of a matrix product, those of x and fn alike.
struct tile_place {
    int stream, first, end;
};

template <class Rows, int n>
MHC_DEVICE tile_place place_of(int slice, int wave)
{
    constexpr int waves = tile_waves / n;  // of one stream
    return {wave / waves, slice * Rows::slice + wave % waves * (tile_loads<Rows, n> * load_channels), Rows::C};
}

template <class Data, class Rows, int WeightAlign, bool RoundAsReference, int m, int Loads, int InLds, class Matrix>
MHC_DEVICE void load_tile_weights(tile_weights<m, Loads, InLds>& to, Matrix fn, tile_place at, int lane, int fn_rows)
{
    static_assert(m % 16 > 0 && m % 16 <= 8, "the last factor has two parts of 8 rows");
    constexpr int last = full_factors<m>, rows = matrix_unit::left_rows;
    // Rows past the end stand for the last, since nothing of them is stored.
    auto weights_of = [=](int load, int r) MHC_INLINE {
        const int begin = at.first + load_channels * load;
        return load_weights<Data, WeightAlign>(
            fn.row(smaller(r, fn_rows - 1)) + at.stream * Rows::C + begin, matrix_unit::group(lane),
            [=](int c) MHC_INLINE { return Rows::C % Rows::slice == 0 || begin + c < at.end; });
    };
    float scales[last / 2 * rows + 1];
    if constexpr (has_fp16_factors<Data, RoundAsReference>) {
        to.scales.exponents = 0;
#pragma unroll
        for (int k = 0; k <= last / 2 * rows; ++k) {
            const int row = matrix_unit::left_row(lane, k % rows) + k / rows * 16;
            u32 largest = 0;
#pragma unroll
            for (int i = 0; i < Loads; ++i) {
                const vec<float, 8> v = weights_of(i, row);
#pragma unroll
                for (int j = 0; j < 8; ++j) {
                    const u32 bits = float_to_bits(v[j]) & 0x7fffffffU;
                    largest = largest < bits ? bits : largest;
                }
            }
            scales[k] = to.scales.add(k, row_max(largest, static_cast<const Data*>(nullptr)));
        }
    }
    auto parts_of = [&](int load, int r, int k) MHC_INLINE {
        if constexpr (has_fp16_factors<Data, RoundAsReference>)  // read again: there are no registers for all of them
            return split_weights(weights_of(load, made_anew(r)) * scales[k], static_cast<const Data*>(nullptr));
        else
            return split_weights(weights_of(load, r), !RoundAsReference);
    };
    static_assert(rows == 1 || matrix_unit::half_rows == 8, "a lane's two rows of the last factor are one of fn");
#pragma unroll
    for (int i = 0; i < Loads; ++i) {
#pragma unroll
        for (int item = 0; item < rows; ++item) {
            const int row = matrix_unit::left_row(lane, item);
#pragma unroll
            for (int factor = 0; factor < last; factor += 2) {
                const weight_parts parts = parts_of(i, factor * 8 + row, factor / 2 * rows + item);
                to.put(factor, i, item, parts.high);
                to.put(factor + 1, i, item, parts.low);
            }
        }
        const int row = matrix_unit::left_row(lane, 0);
        const weight_parts parts = parts_of(i, last * 8 + row_of_parts(row), last / 2 * rows);
        if (rows == 2) {
            to.put(last, i, 0, parts.high);
            to.put(last, i, rows - 1, parts.low);
        } else {
            to.put(last, i, 0, is_low_part(row) ? parts.low : parts.high);
        }
    }
}

}  // namespace mhc
