// mhc/device/wide_factors.hpp -- fn as the products of group_wide.hpp take it.
#pragma once

#include <mhc/device/cuda_group_products.hpp>
#include <mhc/device/matrix_data.hpp>
#include <mhc/device/project.hpp>

namespace mhc {

/// fn as arrange_wide leaves it, of RowsMax rows. A word is 8 channels of a row, those that a product takes together: a lane
/// has 8 channels that follow each other, of which a product takes two here and two there.
template <class Rows_, int n_, int RowsMax>
struct wide_factors {
    using Rows = Rows_;
    static constexpr int n = n_, slices = Rows::slices, octets = ceil_div(RowsMax, 8);
    static constexpr int step = 64, load = 32, loads = step / load, steps = Rows::slice / step;
    static constexpr int octet_words = step / 8 * 2 * 8, step_words = octets * octet_words;
    static constexpr int items = slices * n * steps * octets;
    static_assert(Rows::slice % step == 0 && Rows::C % 8 == 0, "whole steps and words");

    /// The k-th 16 channels of a load in the words of an octet, their high part (0) or the low one (1).
    static constexpr MHC_MEMBER int factor_at(int at_load, int k, int part) { return ((at_load * 2 + k) * 2 + part) * 16; }
    /// Where the words of a step of a walk begin, and of its octet.
    static MHC_MEMBER i64 words_at(int slice, int stream, int channel, int octet)
    {
        return i64((slice * n + stream) * steps + (channel - slice * Rows::slice) / step) * step_words + octet * octet_words;
    }
};

/// Arranges fn: zeros where there is no such row or channel. A wave has eight rows of a step, four lanes a row.
template <class Factors, int WeightAlign, bool HasLow, class Grid, class Matrix>
MHC_DEVICE void arrange_wide(Grid at, float* arranged, Matrix fn, int fn_rows)
{
    using Rows = typename Factors::Rows;
    constexpr int align = smaller(WeightAlign, 2 * int(sizeof(*fn.row(0))));
    let_next_kernel_start();
    const int row = at.lane() / 4, pair = at.lane() % 4;
    for (int item = int(at.group) * Grid::waves + at.wave(); item < Factors::items; item += int(at.groups) * Grid::waves) {
        const int octet = item % Factors::octets, step = item / Factors::octets,
                  slice = step / (Factors::n * Factors::steps);
        const int stream = step / Factors::steps % Factors::n;
        const int channel = slice * Rows::slice + step % Factors::steps * Factors::step, r = octet * 8 + row;
        uint4* const to = reinterpret_cast<uint4*>(arranged) + i64(item) * Factors::octet_words + pair % 2 * 8 + row;
        vec<float, 8> words[Factors::loads];
#pragma unroll
        for (int at_load = 0; at_load < Factors::loads; ++at_load) {
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                const int c = channel + at_load * Factors::load + q * 8 + pair * 2;
                vec<float, 2> two = splat<2>(0.0f);
                if (r < fn_rows && c < Rows::C) two = load<2, align>(fn.row(r) + i64(stream) * Rows::C + c);
                words[at_load][2 * q] = two[0];
                words[at_load][2 * q + 1] = two[1];
            }
        }
#pragma unroll
        for (int at_load = 0; at_load < Factors::loads; ++at_load) {
            const weight_parts parts = split_weights(words[at_load], HasLow);
            to[Factors::factor_at(at_load, pair / 2, 0)] = parts.high;
            to[Factors::factor_at(at_load, pair / 2, 1)] = parts.low;
        }
    }
}

}  // namespace mhc
