// mhc/device/gradients_in_registers.hpp -- gradients through an RMS norm with a token's rows in registers: they are read
// once, for the sums over the channels and for what follows from these.
//
// A work-group has 8 tokens, one after the other, and a wave a slice of their channels. What they make is what
// norm_gradient.hpp and input_gradient.hpp make of rows that are read again.
#pragma once

#include <mhc/device/input_gradient.hpp>

namespace mhc {

/// Count sums over all channels of a token, of which every wave has a slice: a slice is summed by its wave, slices are added
/// in their order. Two tokens by turns have a place in LDS, so one barrier a token is enough.
template <int Count, class Rows, class Grid>
struct sums_of_slices {
    float* at;  ///< [2, Count, slices]

    MHC_MEMBER float* place(i64 turn, int e) const { return at + (int(turn % 2) * Count + e) * Rows::slices; }
    /// All lanes of the wave must call it; the sums are there for all after a barrier.
    MHC_MEMBER void put(i64 turn, int wave, int lane, const float (&own)[Count]) const
    {
        sums_of_wave<Grid::wave_size>(own, lane,
                                      [=](int e, float slice_sum) MHC_INLINE { place(turn, e)[wave] = slice_sum; });
    }
    MHC_MEMBER float get(i64 turn, int e) const
    {
        const float* const slices = place(turn, e);
        float total = 0.0f;
#pragma unroll
        for (int s = 0; s < Rows::slices; ++s) total += slices[s];
        return total;
    }
};

/// A lane's own vectors of a row, as they are stored; zeros where the row has no such channels.
template <class Rows, class Grid, class T>
struct own_row {
    using own = own_vectors<Rows, Grid>;
    using stored = vec<typename storage<T>::element, Rows::W>;
    stored at[own::count];

    MHC_MEMBER void ask(own mine, const T* row)
    {
#pragma unroll
        for (int k = 0; k < own::count; ++k) {
            at[k] = stored{};
            if (mine.has(k)) at[k] = Rows::fetch(row, mine.channel(k));
        }
    }
    MHC_MEMBER typename Rows::lanes values(int k) const { return widen<Rows::W>(at[k], static_cast<const T*>(nullptr)); }
};

/// d_x of rmsnorm, with what weight gets from every 8 tokens; rms itself has the gradient d_rms, where that is not null.
template <class Rows, int WeightAlign, class Grid, class Data, class Weight, class Gradient>
MHC_DEVICE void rmsnorm_gradient_in_registers(Grid at, float* shared, const Data* x, const Weight* weight,
                                              const Gradient* d_y, const float* d_rms, Data* d_x, float* weight_sums,
                                              i64 tokens, bool adds, float eps)
{
    constexpr int each = tokens_of_weight_sum, W = Rows::W, count = own_vectors<Rows, Grid>::count;
    using lanes = typename Rows::lanes;
    const own_vectors<Rows, Grid> own(at);
    const sums_of_slices<2, Rows, Grid> sums = {shared};
    const int wave = at.wave(), lane = at.lane();
    for (i64 slice = at.group; slice < ceil_div_long(tokens, each); slice += at.groups) {
        const i64 first = slice * each, end = first + each < tokens ? first + each : tokens;
        lanes w[count], weight_sum[count];
        own_row<Rows, Grid, Data> next_x;
        own_row<Rows, Grid, Gradient> next_y;
        next_x.ask(own, x + first * Rows::C);
        next_y.ask(own, d_y + first * Rows::C);
#pragma unroll
        for (int k = 0; k < count; ++k) {
            w[k] = own.has(k) ? weight_at<Rows, WeightAlign>(weight, own.channel(k)) : splat<W>(0.0f);
            weight_sum[k] = splat<W>(0.0f);
        }
        for (i64 t = first; t < end; ++t) {
            lanes a[count], h[count], squares = splat<W>(0.0f), products = splat<W>(0.0f);
#pragma unroll
            for (int k = 0; k < count; ++k) {
                a[k] = next_x.values(k);
                h[k] = next_y.values(k);
                squares = fma<W>(a[k], a[k], squares);
                products = fma<W>(h[k] * w[k], a[k], products);
            }
            const i64 next = t + 1 < end ? t + 1 : t;
            next_x.ask(own, x + next * Rows::C);
            next_y.ask(own, d_y + next * Rows::C);
            const float own_sums[2] = {sum<W>(squares), sum<W>(products)};
            sums.put(t, wave, lane, own_sums);
            barrier();
            const norm_terms terms = norm_terms_of<Rows::C>(sums.get(t, 0), sums.get(t, 1), eps);
            const float e1 = d_rms ? terms.e1 - d_rms[t] * terms.e0 * (1.0f / Rows::C) : terms.e1;
#pragma unroll
            for (int k = 0; k < count; ++k) {
                h[k] = h[k] * terms.e0;
                weight_sum[k] = fma<W>(h[k], a[k], weight_sum[k]);
                if (own.has(k))
                    store_gradient<Rows>(d_x + t * Rows::C, own.channel(k), fma<W>(a[k], splat<W>(-e1), h[k] * w[k]), adds);
            }
        }
#pragma unroll
        for (int k = 0; k < count; ++k)
            if (own.has(k)) Rows::store(weight_sums + slice * Rows::C, own.channel(k), weight_sum[k]);
        barrier();  // before another slice's sums take the places of the last token's
    }
}

}  // namespace mhc
