// mhc/device/layer_ahead.hpp -- mHC.cu's layer, the same numbers as of norm.hpp, with the streams of coming tokens on their
// way to LDS, so that they are read from memory once.
#pragma once

#include <mhc/device/norm.hpp>

namespace mhc {

/// Coefficients of a token on their way: p [n], q [n] and the stored matrix, whoever made them.
template <int n>
struct coming_coefficients {
    float at[n * n + 2 * n];
    MHC_MEMBER void ask(const float* from)
    {
#pragma unroll
        for (int k = 0; k < n * n + 2 * n; ++k) at[k] = load_fresh(from + k);
    }
};

/// A lane's own vectors of Stages tokens, in LDS: nobody else reads them.
template <class Rows, int n, int Stages, class Grid, class Data>
struct token_queue {
    using own = own_vectors<Rows, Grid>;
    using stored = vec<typename storage<Data>::element, Rows::W>;
    static_assert(sizeof(stored) == 16, "a vector is a word of the queue");
    static constexpr int words = own::count * n;
    uint4* lds;  ///< [Stages, vectors, n, lanes]

    MHC_MEMBER uint4* place(int stage, int k, int j, int thread) const
    {
        return lds + ((stage * own::count + k) * n + j) * Grid::block + thread;
    }
    MHC_MEMBER void fetch(own mine, int stage, int thread, const Data* row, i64 stream, bool is_there) const
    {
#pragma unroll
        for (int k = 0; k < own::count; ++k) {
#pragma unroll
            for (int j = 0; j < n; ++j)
                copy_once<Rows::align>(place(stage, k, j, thread), row + j * stream + mine.channel(k),
                                       is_there && mine.has(k));
        }
        end_copies();
    }
    MHC_MEMBER typename Rows::lanes vector(int stage, int k, int j, int thread) const
    {
        union {
            uint4 word;
            stored values;
        } v;
        v.word = *place(stage, k, j, thread);
        return widen<Rows::W>(v.values, static_cast<const Data*>(nullptr));
    }
};

/// A lane's vector of the sum of streams x(j), by p.
template <class Rows, int n, bool RoundAsReference, class X>
MHC_DEVICE typename Rows::lanes sum_of_streams(const float* p, X x)
{
    constexpr int W = Rows::W;
    typename Rows::lanes a = x(0) * p[0];
#pragma unroll
    for (int j = 1; j < n; ++j) a = fma<W>(splat<W>(p[j]), x(j), a);
    return RoundAsReference ? rounded_to<bf16, W>(a) : a;
}

/// Stores a lane's vector of the new streams: of the layer's output y by q, and of the streams x by the matrix.
template <class Rows, int n, layout L, class Data>
MHC_DEVICE void store_layer_streams(typename Rows::lanes y, const typename Rows::lanes (&x)[n], const float* q,
                                    const float* mix, Data* out, i64 out_stream, int channel)
{
    constexpr int W = Rows::W;
#pragma unroll
    for (int i = 0; i < n; ++i) {
        typename Rows::lanes sum = y * q[i];
#pragma unroll
        for (int j = 0; j < n; ++j) sum = fma<W>(splat<W>(weight_of<L, n>(mix, i, j)), x[j], sum);
        Rows::store(out + i * out_stream, channel, sum);
    }
}

/// As layer_in_registers of the token that is in `stage`, stored at `out`. When half is done, ask_next() may ask for what
/// takes long to come.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, class Grid, class Queue, class Weight,
          class Data, class Waves, class Ask>
MHC_DEVICE void layer_of_token(Grid at, float* slice_sums, own_vectors<Rows, Grid> own, const Queue& queue, int stage,
                               const float (&by)[n * n + 2 * n], const Weight* weight, Data* out, i64 out_stream, float eps,
                               Waves waves, Ask ask_next)
{
    constexpr int W = Rows::W, count = own_vectors<Rows, Grid>::count;
    using lanes = typename Rows::lanes;
    const int thread = at.thread();
    const float *const p = by, *const q = p + n, *const mix = q + n;
    lanes a[count], squares[count];
#pragma unroll
    for (int k = 0; k < count; ++k) {
        a[k] = sum_of_streams<Rows, n, RoundAsReference>(
            p, [&](int j) MHC_INLINE { return queue.vector(stage, k, j, thread); });
        squares[k] = own.has(k) ? a[k] * a[k] : splat<W>(0.0f);
    }
    ask_next();
    const float total = own_channel_sum<Rows>(at, slice_sums, squares, waves);
    const float scale = 1.0f / square_root(total * (1.0f / Rows::C) + eps);
#pragma unroll
    for (int k = 0; k < count; ++k) {
        if (!own.has(k)) continue;
        lanes y = a[k] * scale * Rows::template load<WeightAlign>(weight, own.channel(k));
        if (RoundAsReference) y = rounded_to<bf16, W>(y);
        lanes xs[n];
#pragma unroll
        for (int j = 0; j < n; ++j) xs[j] = queue.vector(stage, k, j, thread);
        store_layer_streams<Rows, n, L>(y, xs, q, mix, out, out_stream, own.channel(k));
    }
}

/// As layer_in_registers. The kernel before, which makes the coefficients and does not write x, may still run.
template <class Rows, int n, layout L, bool RoundAsReference, int WeightAlign, int Stages, class Grid, class Data,
          class Weight>
MHC_DEVICE void layer_ahead(Grid at, float* slice_sums, uint4* lds, const Data* x, const float* coefficients,
                            const Weight* weight, Data* out, i64 tokens, i64 x_token, i64 x_stream, i64 out_token,
                            i64 out_stream, i64 coefficients_token, float eps)
{
    const own_vectors<Rows, Grid> own(at);
    const token_queue<Rows, n, Stages, Grid, Data> queue = {lds};
    const int thread = at.thread();
    i64 ahead = at.group;
    for (int s = 0; s < Stages; ++s, ahead += at.groups)
        queue.fetch(own, s, thread, x + ahead * x_token, x_stream, ahead < tokens);
    wait_for_last_kernel();
    coming_coefficients<n> coming;
    if (at.group < tokens) coming.ask(coefficients + at.group * coefficients_token);
    int stage = 0;
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const coming_coefficients<n> by = coming;
        copies_but<Stages - 1>();
        layer_of_token<Rows, n, L, RoundAsReference, WeightAlign>(
            at, slice_sums, own, queue, stage, by.at, weight, out + t * out_token, out_stream, eps, all_waves{},
            [&]() MHC_INLINE {
                if (t + at.groups < tokens) coming.ask(coefficients + (t + at.groups) * coefficients_token);
            });
        queue.fetch(own, stage, thread, x + ahead * x_token, x_stream, ahead < tokens);
        ahead += at.groups;
        stage = stage + 1 == Stages ? 0 : stage + 1;
    }
}

}  // namespace mhc
