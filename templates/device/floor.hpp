// mhc/device/floor.hpp -- rows in, rows out: the memory traffic of an operator with next to no arithmetic.
//
// What an operator's time is compared with: no kernel that moves the same rows can be much faster than this one.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// sum_j x[j * C + c] for W channels at c, in the order of j. Up to 8 rows are asked for before the first is used, so that
/// a lane waits for memory once.
template <class Rows, int rows_in, class Data>
MHC_DEVICE typename Rows::lanes sum_of_rows(const Data* x, int c)
{
    constexpr int tile = smaller(rows_in, 8);
    typename Rows::lanes sums = splat<Rows::W>(0.0f);
    for (int first = 0; first < rows_in; first += tile) {
        typename Rows::lanes read[tile];
#pragma unroll
        for (int k = 0; k < tile; ++k) read[k] = Rows::load(x + smaller(first + k, rows_in - 1) * i64(Rows::C), c);
#pragma unroll
        for (int k = 0; k < tile; ++k)
            if (first + k < rows_in) sums = sums + read[k];
    }
    return sums;
}

/// out[t,k,c] = sum_j x[t,j,c] for every k, so that every row read counts and every row written is written for itself.
template <class Rows, int rows_in, int rows_out, class Grid, class Data>
MHC_DEVICE void move_rows(Grid at, const Data* x, Data* out, i64 tokens)
{
    for_each_item<Rows>(at, tokens, [=](i64 t, int begin, int end) MHC_INLINE {
        for_each_vector<Rows>(at, begin, end, [=](int c) MHC_INLINE {
            const typename Rows::lanes sums = sum_of_rows<Rows, rows_in>(x + t * rows_in * Rows::C, c);
            for (int k = 0; k < rows_out; ++k) Rows::store(out + (t * rows_out + k) * Rows::C, c, sums);
        });
    });
}

}  // namespace mhc
