// mhc/device/products.hpp -- several sums over the channels of a token at once, in a promised order.
//
// Gradients of coefficients are inner products of rows: of each output stream's gradient with each input stream, and the
// like. A work-group makes them for one token, up to some twenty together, so that each row is read once for all of them.
#pragma once

#include <mhc/device/rows.hpp>

namespace mhc {

/// Addends that one lane keeps apart: a CPU a whole vector, a GPU two, since many sums share its registers.
template <class Rows>
using partial_sum = vec<float, sum_width(Rows::W)>;

/// sums + a * b, channel by channel, folded to the width of `sums`.
template <int A, int W>
MHC_DEVICE vec<float, A> add_products(vec<float, A> sums, vec<float, W> a, vec<float, W> b)
{
    if constexpr (A == W) return fma<W>(a, b, sums);
#pragma unroll
    for (int k = 0; k < W; k += A) {
        vec<float, A> left = splat<A>(0.0f), right = splat<A>(0.0f);
#pragma unroll
        for (int j = 0; j < A; ++j) {
            left[j] = a[(k + j) % W];
            right[j] = b[(k + j) % W];
        }
        sums = fma<A>(left, right, sums);
    }
    return sums;
}

/// The most sums that are made together: four outputs by four inputs and y. `channel_sums` needs as many floats of LDS, and
/// Count more for each slice.
constexpr int channel_sums_max = 20;

/// Count sums over all channels; terms(c, sums) adds those of W channels at c. The result is in shared memory, for every
/// lane, until the next call, whatever the Count of that.
///
/// As in `channel_sum` the order is a function of C and the kind of target alone: a slice is summed by one wave, slices are
/// added in their order.
template <int Count, class Rows, class Grid, class Terms>
MHC_DEVICE const float* channel_sums(Grid at, float* shared, Terms terms)
{
    static_assert(Count <= channel_sums_max, "the totals have room");
    constexpr int A = sum_width(Rows::W);
    // The totals have a place of their own: waves may still read them while others are at the next call's slices.
    float *const totals = shared, *const slices = shared + channel_sums_max;
    for (int s = at.wave(); s < Rows::slices; s += Grid::waves) {
        partial_sum<Rows> sums[Count];
#pragma unroll
        for (int e = 0; e < Count; ++e) sums[e] = splat<A>(0.0f);
        const int end = smaller((s + 1) * Rows::slice, Rows::C);
        for (int c = s * Rows::slice + at.lane() * Rows::W; c < end; c += Grid::wave_size * Rows::W) terms(c, sums);
#pragma unroll
        for (int e = 0; e < Count; ++e) {
            const float slice_sum = wave_sum<Grid::wave_size>(sum<A>(sums[e]));
            if (at.lane() == 0) slices[s * Count + e] = slice_sum;
        }
    }
    barrier();
    for (int e = at.thread(); e < Count; e += Grid::block) {
        float total = 0.0f;
        for (int s = 0; s < Rows::slices; ++s) total += slices[s * Count + e];
        totals[e] = total;
    }
    // After this barrier the slices' sums may be overwritten; the totals are, only after the next call's first barrier.
    barrier();
    return totals;
}

/// Stores a gradient's W channels, or adds them to what is there.
template <class Rows, class Data>
MHC_DEVICE void store_gradient(Data* row, int c, typename Rows::lanes v, bool adds)
{
    if (adds) v = Rows::load(row, c) + v;
    Rows::store(row, c, v);
}

}  // namespace mhc
