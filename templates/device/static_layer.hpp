// mhc/device/static_layer.hpp -- layer_ahead.hpp with one set of coefficients, the same numbers: each work-group makes them
// while its first tokens are on their way.
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/layer_ahead.hpp>

namespace mhc {

/// LDS of that kernel beside the queue, in floats: slices' sums of two tokens by turns, and what static_room says.
template <class Rows, int n, int Room>
struct static_layer_room {
    static constexpr int coefficients = ceil_div(2 * Rows::slices, 4) * 4;
    static constexpr int floats = coefficients + static_room<n, Room>::floats;
};

/// make(floats, logits, to) makes the coefficients: p [n], q [n] and the stored matrix.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, int Stages, int Room, class Grid, class Data,
          class Weight, class Make>
MHC_DEVICE void static_layer_ahead(Grid at, float* shared, uint4* lds, const Data* x, static_logits logits,
                                   const Weight* weight, Data* out, i64 tokens, i64 x_token, i64 x_stream, i64 out_token,
                                   i64 out_stream, float eps, Make make)
{
    static_assert(Rows::rank == 0, "no cluster has these rows");
    constexpr int W = Rows::W, count = own_vectors<Rows, Grid>::count;
    using lanes = typename Rows::lanes;
    const own_vectors<Rows, Grid> own(at);
    const token_queue<Rows, n, Stages, Grid, Data> queue = {lds};
    const int thread = at.thread(), wave = at.wave(), lane = at.lane();
    float* const made = shared + static_layer_room<Rows, n, Room>::coefficients;
    const float logit = wave == 0 ? logits.at<n>(lane) : 0.0f;  // before rows, behind which it would come
    i64 ahead = at.group;
    for (int s = 0; s < Stages; ++s, ahead += at.groups)
        queue.fetch(own, s, thread, x + ahead * x_token, x_stream, ahead < tokens);
    if (wave == 0) make_static_coefficients<n, Room>(made, logit, lane, make);
    lanes w[count], a[count];
#pragma unroll
    for (int k = 0; k < count; ++k)
        w[k] = own.has(k) ? Rows::template load<WeightAlign>(weight, own.channel(k)) : splat<W>(0.0f);
    barrier();
    float by[n * n + 2 * n];
#pragma unroll
    for (int k = 0; k < n * n + 2 * n; ++k) by[k] = made[k];
    const float *const p = by, *const q = p + n, *const mix = q + n;
    // As queue.vector, of which NVRTC makes 3112 instructions instead of 2976 with 4096 channels.
    auto values = [=](int stage, int k, int j) MHC_INLINE {
        return widen_word(*queue.place(stage, k, j, thread), static_cast<const Data*>(nullptr));
    };
    // The sum of the streams, and that of its squares by slices.
    auto begin_token = [&](int stage, int turn) MHC_INLINE {
        lanes squares = splat<W>(0.0f);
#pragma unroll
        for (int k = 0; k < count; ++k) {
            a[k] = sum_of_streams<Rows, n, RoundAsReference>(p, [&](int j) MHC_INLINE { return values(stage, k, j); });
            squares = squares + (own.has(k) ? a[k] * a[k] : splat<W>(0.0f));
        }
        const float slice_sum = wave_sum<Grid::wave_size>(sum<W>(squares));
        if (lane == 0) shared[turn * Rows::slices + wave] = slice_sum;
    };
    auto take_token = [&](int stage, int turn, Data* to) MHC_INLINE {
        float total = 0.0f;
#pragma unroll
        for (int s = 0; s < Rows::slices; ++s) total += shared[turn * Rows::slices + s];
        const float scale = 1.0f / square_root(total * (1.0f / Rows::C) + eps);
#pragma unroll
        for (int k = 0; k < count; ++k) {
            if (!own.has(k)) continue;
            lanes y = a[k] * scale * w[k];
            if (RoundAsReference) y = rounded_to<bf16, W>(y);
            lanes xs[n];
#pragma unroll
            for (int j = 0; j < n; ++j) xs[j] = values(stage, k, j);
            store_layer_streams<Rows, n, L>(y, xs, q, mix, to, out_stream, own.channel(k));
        }
    };
    int stage = 0, turn = 0;
    for (i64 t = at.group; t < tokens; t += at.groups) {
        copies_but<Stages - 1>();
        begin_token(stage, turn);
        barrier();
        take_token(stage, turn, out + t * out_token);
        queue.fetch(own, stage, thread, x + ahead * x_token, x_stream, ahead < tokens);
        ahead += at.groups;
        stage = stage + 1 == Stages ? 0 : stage + 1;
        turn = 1 - turn;
    }
}

/// The same with a token to a wave, which needs no other wave for its sums: slices are one vector of a lane each.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, int Stages, int Room, class Grid, class Data,
          class Weight, class Make>
MHC_DEVICE void static_layer_by_waves(Grid at, float* shared, uint4* lds, const Data* x, static_logits logits,
                                      const Weight* weight, Data* out, i64 tokens, i64 x_token, i64 x_stream, i64 out_token,
                                      i64 out_stream, float eps, Make make)
{
    constexpr int W = Rows::W, wave_size = Grid::wave_size, slices = Rows::slices;
    static_assert(Rows::rank == 0 && Rows::slice == wave_size * W, "a lane has a vector of a slice");
    static_assert(Stages == 1, "a wave has one token in LDS");
    using lanes = typename Rows::lanes;
    const int wave = at.wave(), lane = at.lane();
    uint4* const words = lds + wave * (slices * n * wave_size) + lane;
    auto channel = [=](int s) MHC_INLINE { return s * Rows::slice + lane * W; };
    auto has = [=](int s) MHC_INLINE { return Rows::C % Rows::slice == 0 || channel(s) < Rows::C; };
    auto ask = [=](i64 t, int s) MHC_INLINE {
#pragma unroll
        for (int j = 0; j < n; ++j)
            copy_once<Rows::align>(words + (s * n + j) * wave_size, x + t * x_token + j * x_stream + channel(s),
                                   t < tokens && has(s));
    };
    float* const by = shared + static_layer_room<Rows, n, Room>::coefficients;
    const float *const p = by, *const q = p + n, *const mix = q + n;
    const float logit = wave == 0 ? logits.at<n>(lane) : 0.0f;  // before rows, behind which it would come
    const i64 step = at.groups * Grid::waves;
    i64 t = at.group + wave * at.groups;
#pragma unroll
    for (int s = 0; s < slices; ++s) ask(t, s);
    if (wave == 0) make_static_coefficients<n, Room>(by, logit, lane, make);
    barrier();
    auto values = [=](int s, int j)
                      MHC_INLINE { return widen_word(words[(s * n + j) * wave_size], static_cast<const Data*>(nullptr)); };
    auto sum_of = [=](const lanes(&xs)[n]) MHC_INLINE {
        return sum_of_streams<Rows, n, RoundAsReference>(p, [&](int j) MHC_INLINE { return xs[j]; });
    };
    for (; t < tokens; t += step) {
        end_copies();
        copies_but<0>();
        float slice_sums[slices], total = 0.0f;
#pragma unroll
        for (int s = 0; s < slices; ++s) {
            lanes xs[n];
#pragma unroll
            for (int j = 0; j < n; ++j) xs[j] = values(s, j);
            const lanes a = sum_of(xs);
            slice_sums[s] = sum<W>(splat<W>(0.0f) + (has(s) ? a * a : splat<W>(0.0f)));
        }
#pragma unroll
        for (int s = 0; s < slices; ++s) slice_sums[s] = wave_sum<wave_size>(slice_sums[s]);
#pragma unroll
        for (int s = 0; s < slices; ++s) total += slice_sums[s];
        const float scale = 1.0f / square_root(total * (1.0f / Rows::C) + eps);
        Data* const to = out + t * out_token;
        // Short: a wave of few tokens would wait longer for its instructions than for its rows.
        MHC_SHORT_LOOP
        for (int s = 0; s < slices; ++s) {
            if (!has(s)) continue;
            lanes xs[n];
#pragma unroll
            for (int j = 0; j < n; ++j) xs[j] = values(s, j);
            lanes y = sum_of(xs) * scale * Rows::template load<WeightAlign>(weight, channel(s));
            if (RoundAsReference) y = rounded_to<bf16, W>(y);
            store_layer_streams<Rows, n, L>(y, xs, q, mix, to, out_stream, channel(s));
            if (t + step < tokens) ask(t + step, s);
        }
    }
    copies_but<0>();
}

}  // namespace mhc
