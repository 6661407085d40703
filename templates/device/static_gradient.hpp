// mhc/device/static_gradient.hpp -- the gradient of mHC.cu's layer with one set of coefficients, each token's rows read
// once, by way of LDS: of its streams, and sums over tokens for those of the coefficients and of the norm's weight.
//
// A work-group has 8 tokens of a slice after each other, then those of its next slice; a wave has a slice of the channels.
// Of a token only two sums go round all waves before its streams have their gradient: a . a and h . a, with a the sum of
// the streams and h the gradient of its norm. Since all tokens share the coefficients, what these get is added up where it
// is made for 8 tokens, and goes round then: in lanes what p and q get, in matrix units the products g_i . x_j.
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/gradients_in_registers.hpp>
#include <mhc/device/layer_gradient.hpp>

namespace mhc {

/// Rows of coming tokens on their way to LDS: of each the n streams and the n gradients. Lanes bring their own vectors, and
/// read those of their wave for the matrix units, where row i and row i + 1 are in other banks.
template <class Rows, int n, int Stages, class Grid, class Data>
struct rows_in_waves {
    using own = own_vectors<Rows, Grid>;
    static constexpr int stages = Stages;
    uint4* lds;  ///< [Stages, vectors, 2 n, lanes]

    MHC_MEMBER uint4* place(int stage, int k, int row, int thread) const
    {
        return lds + ((stage * own::count + k) * 2 * n + row) * Grid::block + (thread ^ (row % 2 * 4));
    }
    MHC_MEMBER void ask(const layer_rows<Data>& from, own mine, int stage, int thread, i64 t, bool is_there) const
    {
        const Data *const x = from.x + t * from.x_token, *const g = from.g + t * from.g_token;
#pragma unroll
        for (int k = 0; k < own::count; ++k) {
            const bool has = is_there && mine.has(k);
#pragma unroll
            for (int i = 0; i < n; ++i) {
                copy_once<Rows::align>(place(stage, k, i, thread), x + i * from.x_stream + mine.channel(k), has);
                copy_once<Rows::align>(place(stage, k, n + i, thread), g + i * from.g_stream + mine.channel(k), has);
            }
        }
        end_copies();
    }
    /// The oldest token has come, for all lanes of the wave.
    MHC_MEMBER void wait() const
    {
        copies_but<Stages - 1>();
        wave_sync();
    }
    MHC_MEMBER typename Rows::lanes values(int stage, int k, int row, int thread) const
    {
        return widen_word(*place(stage, k, row, thread), static_cast<const Data*>(nullptr));
    }
    /// sums += g_i . x_j, of the channels of a wave.
    MHC_MEMBER void add_products(row_products& sums, int stage, int first_thread, int lane) const
    {
        const int row = smaller(row_products::row(lane), n - 1), thread = first_thread + row_products::lane_of(lane);
#pragma unroll
        for (int k = 0; k < own::count; ++k) {
#pragma unroll
            for (int step = 0; step < Grid::wave_size; step += row_products::lanes)  // which moves no lane to another bank
                sums.add(place(stage, k, n + row, thread)[step], place(stage, k, row, thread)[step],
                         static_cast<const Data*>(nullptr));
        }
    }
};

/// LDS of that kernel beside the rows, in floats: sums of two tokens by turns and of two slices by turns, from all waves;
/// and what static_room says.
template <int n, int waves, int Room>
struct static_gradient_room {
    static constexpr int m = n * n + 2 * n, token = 2 * waves, slice = m * waves;
    static constexpr int slices = 2 * token, coefficients = slices + 2 * slice;
    static constexpr int floats = coefficients + static_room<n, Room>::floats;
};

/// What a lane has of its group's tokens. a and u = sum_i q_i g_i are of the token that was begun last.
template <class Rows, int n, layout L, int WeightAlign, int Room, class Grid, class Queue, class Weight>
struct static_gradient_lane {
    static constexpr int each = tokens_of_weight_sum, W = Rows::W, count = own_vectors<Rows, Grid>::count;
    static constexpr int waves = Grid::waves;
    static_assert(waves <= 16, "half a wave reads the sums of all");
    using lanes = typename Rows::lanes;
    using room = static_gradient_room<n, waves, Room>;
    own_vectors<Rows, Grid> own;
    int thread, wave, lane;
    float* shared;
    Queue queue;
    const Weight* weight;
    lanes kept_weight, weight_sum[count], a[count], u[count];
    float own_sums[2 * n];  ///< of a slice, for p and for q
    row_products products;  ///< of a slice, g_i . x_j

    MHC_MEMBER static_gradient_lane(Grid at, float* shared, Queue queue, const Weight* weight)
        : own(at), thread(at.thread()), wave(at.wave()), lane(at.lane()), shared(shared), queue(queue), weight(weight)
    {
        if constexpr (count == 1) kept_weight = load_weight(0, own.channel(0));
        begin_slice();
    }
    MHC_MEMBER lanes load_weight(int k, int channel) const
    {
        return own.has(k) ? Rows::template load<WeightAlign>(weight, channel) : splat<W>(0.0f);
    }
    /// Registers keep that of one vector.
    MHC_MEMBER lanes weight_of(int k) const
    {
        if constexpr (count == 1) return kept_weight;
        return load_weight(k, made_anew(own.channel(k)));
    }
    MHC_MEMBER const float* p() const { return shared + room::coefficients; }
    MHC_MEMBER float* token_sums(int i) const { return shared + i % 2 * room::token; }
    MHC_MEMBER float* slice_sums(int i) const { return shared + room::slices + i / each % 2 * room::slice; }

    MHC_MEMBER void begin_slice()
    {
#pragma unroll
        for (int k = 0; k < count; ++k) weight_sum[k] = splat<W>(0.0f);
#pragma unroll
        for (int e = 0; e < 2 * n; ++e) own_sums[e] = 0.0f;
        products = {};
    }
    /// a, u, and what the norm of the i-th token needs.
    MHC_MEMBER void begin_token(int i, int stage)
    {
        const float *const p = this->p(), *const q = p + n;
        lanes squares = splat<W>(0.0f), of_h = squares;
#pragma unroll
        for (int k = 0; k < count; ++k) {
            a[k] = queue.values(stage, k, 0, thread) * p[0];
            u[k] = queue.values(stage, k, n, thread) * q[0];
#pragma unroll
            for (int j = 1; j < n; ++j) {
                a[k] = fma<W>(splat<W>(p[j]), queue.values(stage, k, j, thread), a[k]);
                u[k] = fma<W>(splat<W>(q[j]), queue.values(stage, k, n + j, thread), u[k]);
            }
            squares = fma<W>(a[k], a[k], squares);
            of_h = fma<W>(u[k] * weight_of(k), a[k], of_h);
        }
        const float both = sum_in_halves(sum<W>(squares), sum<W>(of_h), lane);
        if (lane % 16 == 0) token_sums(i)[lane / 16 * waves + wave] = both;
    }
    /// After a barrier.
    MHC_MEMBER norm_terms norm_of(int i, float eps) const
    {
        const int slice = lane % 16;
        const float v = wave_sum<16>(slice < waves ? token_sums(i)[lane / 16 * waves + slice] : 0.0f);
        return norm_terms_of<Rows::C>(of_lane<32>(v, 0), of_lane<32>(v, 16), eps);
    }
    /// The gradient of the token's streams, stored at `to`. Lanes have read each other's words afterwards.
    template <class Data>
    MHC_MEMBER void take_token(int stage, norm_terms terms, Data* to, i64 to_stream, bool adds)
    {
        const float *const p = this->p(), *const mix = p + 2 * n;
        queue.add_products(products, stage, wave * Grid::wave_size, made_anew(lane));
#pragma unroll
        for (int k = 0; k < count; ++k) {
            const lanes w = weight_of(k), h = u[k] * terms.e0, y = a[k] * terms.e0 * w;
            weight_sum[k] = fma<W>(h, a[k], weight_sum[k]);
            const lanes d_a = fma<W>(a[k], splat<W>(-terms.e1), h * w);
            lanes d[n];
#pragma unroll
            for (int o = 0; o < n; ++o) {
                const lanes g = queue.values(stage, k, n + o, thread), x = queue.values(stage, k, o, thread);
#pragma unroll
                for (int c = 0; c < W; ++c) {
                    own_sums[o] = fma(x[c], d_a[c], own_sums[o]);
                    own_sums[n + o] = fma(g[c], y[c], own_sums[n + o]);
                }
#pragma unroll
                for (int j = 0; j < n; ++j)
                    d[j] = fma<W>(splat<W>(mhc::weight_of<L, n>(mix, o, j)), g, o == 0 ? d_a * p[j] : d[j]);
            }
#pragma unroll
            for (int j = 0; j < n; ++j)
                if (own.has(k)) store_gradient<Rows>(to + j * to_stream, own.channel(k), d[j], adds);
            wave_sync();  // which no word of the next vector is loaded ahead of: registers would not suffice
        }
    }
    /// The i-th token was the last one of its slice: its sums go to the other waves, and what the weight gets to `to`.
    MHC_MEMBER void end_slice(int i, float* to)
    {
        float* const sums = slice_sums(i);
        sums_of_wave<Grid::wave_size>(own_sums, lane, [=](int e, float v) MHC_INLINE { sums[e * waves + wave] = v; });
        products.give(lane, [=](int row, int column, float v) MHC_INLINE {
            if (row < n && column < n)
                sums[(2 * n + (L == layout::out_in ? row * n + column : column * n + row)) * waves + wave] = v;
        });
#pragma unroll
        for (int k = 0; k < count; ++k)
            if (own.has(k)) Rows::store(to, own.channel(k), weight_sum[k]);
        begin_slice();
    }
    /// After a barrier, what the coefficients get.
    MHC_MEMBER void store_slice(int i, float* to) const
    {
        for (int e = thread; e < n * n + 2 * n; e += Grid::block) {
            const float* const sums = slice_sums(i) + e * waves;
            float total = 0.0f;
#pragma unroll
            for (int k = 0; k < waves; ++k) total += sums[k];
            to[e] = total;
        }
    }
};

/// d_x, coefficient_sums[s] [n + n + n*n], the matrix as stored, and weight_sums[s] [C] of the s-th 8 tokens.
/// make(floats, logits, to) makes the coefficients.
template <class Rows, int n, layout L, int WeightAlign, int Room, class Grid, class Queue, class Data, class Weight,
          class Make>
MHC_DEVICE void static_layer_gradient(Grid at, float* shared, Queue queue, const layer_rows<Data>& from,
                                      static_logits logits, const Weight* weight, Data* d_x, float* coefficient_sums,
                                      float* weight_sums, i64 tokens, i64 d_x_token, i64 d_x_stream, bool adds, float eps,
                                      Make make)
{
    using own_lane = static_gradient_lane<Rows, n, L, WeightAlign, Room, Grid, Queue, Weight>;
    constexpr int each = own_lane::each, m = n * n + 2 * n;
    own_lane of(at, shared, queue, weight);
    // This group's i-th token: 8 of a slice, then those of its next one. The queue does not end with a slice.
    auto token = [=](int i) MHC_INLINE { return (at.group + i / each * at.groups) * each + i % each; };
    auto ask = [&](int i, int stage) MHC_INLINE { queue.ask(from, of.own, stage, of.thread, token(i), token(i) < tokens); };
    const float logit = of.wave == 0 ? logits.at<n>(of.lane) : 0.0f;  // before rows, behind which it would come
    for (int s = 0; s < Queue::stages; ++s) ask(s, s);
    if (of.wave == 0) make_static_coefficients<n, Room>(shared + own_lane::room::coefficients, logit, of.lane, make);
    barrier();
    queue.wait();
    if (token(0) < tokens) of.begin_token(0, 0);
    barrier();
    int stage = 0, i = 0;
    for (; token(i) < tokens; ++i) {
        const i64 t = token(i);
        if (i > 0 && i % each == 0) of.store_slice(i - 1, coefficient_sums + token(i - 1) / each * m);
        of.take_token(stage, of.norm_of(i, eps), d_x + t * d_x_token, d_x_stream, adds);
        ask(i + Queue::stages, stage);
        if (i % each == each - 1 || t + 1 == tokens) of.end_slice(i, weight_sums + t / each * Rows::C);
        stage = stage + 1 == Queue::stages ? 0 : stage + 1;
        queue.wait();
        if (token(i + 1) < tokens) of.begin_token(i + 1, stage);
        barrier();
    }
    if (i > 0) of.store_slice(i - 1, coefficient_sums + token(i - 1) / each * m);
    copies_but<0>();
}

}  // namespace mhc
