// mhc/device/layer_gradient.hpp -- the gradient of mHC.cu's layer with each token's rows read once: of its coefficients, of
// what they were mixed from, and of the norm's weight.
//
// A work-group has 8 tokens of a slice after each other, then those of its next slice; a wave has a slice of the channels.
// Where the rows of coming tokens wait is the queue's: rows_in_registers here, rows_ahead.hpp in LDS.
#pragma once

#include <mhc/device/gradients_in_registers.hpp>

namespace mhc {

/// A lane's k-th vectors of a token: of its streams x and of the gradients g of its outputs.
template <class Rows, int n, class Data>
struct layer_vectors {
    using stored = vec<typename storage<Data>::element, Rows::W>;
    stored x[n], g[n];
    static MHC_MEMBER typename Rows::lanes values(const stored& v)
    {
        return widen<Rows::W>(v, static_cast<const Data*>(nullptr));
    }
    static MHC_MEMBER typename Rows::lanes sum(const stored (&rows)[n], const float* by)
    {
        typename Rows::lanes sums = values(rows[0]) * by[0];
#pragma unroll
        for (int i = 1; i < n; ++i) sums = fma<Rows::W>(splat<Rows::W>(by[i]), values(rows[i]), sums);
        return sums;
    }
};

/// Where the rows of a token are: at its own place in x and in the gradient of out.
template <class Data>
struct layer_rows {
    const Data* x;
    const Data* g;
    i64 x_token, x_stream, g_token, g_stream;
};

/// Rows of the next token on their way to a lane, in its registers.
template <class Rows, int n, int Stages, class Grid, class Data>
struct rows_in_registers {
    using own = own_vectors<Rows, Grid>;
    static constexpr int stages = Stages;
    static_assert(Stages == 1, "registers have room for one token");
    own_row<Rows, Grid, Data> x[n], g[n];

    /// Of no words of LDS.
    template <class Word>
    explicit MHC_MEMBER rows_in_registers(Word*)
    {
    }

    MHC_MEMBER void ask(const layer_rows<Data>& from, own mine, int, int, i64 t, bool is_there)
    {
        if (!is_there) return;
#pragma unroll
        for (int i = 0; i < n; ++i) {
            x[i].ask(mine, from.x + t * from.x_token + i * from.x_stream);
            g[i].ask(mine, from.g + t * from.g_token + i * from.g_stream);
        }
    }
    MHC_MEMBER void wait() const {}
    MHC_MEMBER void wait_for_all() const {}
    MHC_MEMBER layer_vectors<Rows, n, Data> at(int, int k, int) const
    {
        layer_vectors<Rows, n, Data> v;
#pragma unroll
        for (int i = 0; i < n; ++i) {
            v.x[i] = x[i].at[k];
            v.g[i] = g[i].at[k];
        }
        return v;
    }
};

/// Sums of a token that the gradients of mHC.cu's layer are made of: a . a and h . a with a the sum of streams and h the
/// gradient of its norm, h . x_i, a . x_i, and of each g_i its products with every x_j and with a * weight.
template <int n>
struct layer_sums {
    static constexpr int squares = 0, products = 1, h_x = 2, a_x = 2 + n, g = 2 + 2 * n, count = g + n * (n + 1);
    float at[count];
};

/// Two channels of a vector.
template <class Vector>
MHC_DEVICE vec<float, 2> pair_of(const Vector& v, int pair)
{
    vec<float, 2> two = splat<2>(v[2 * pair]);
    two[1] = v[2 * pair + 1];
    return two;
}
MHC_DEVICE void add_pairs(float& sum, vec<float, 2> a, vec<float, 2> b) { sum = fma(a[1], b[1], fma(a[0], b[0], sum)); }

/// Adds the channels of a lane's vectors, where w is the norm's weight.
template <class Rows, int n, class Data>
MHC_DEVICE void add_channels(layer_sums<n>& sums, const layer_vectors<Rows, n, Data>& rows, typename Rows::lanes w,
                             const float* p, const float* q)
{
    using from = layer_vectors<Rows, n, Data>;
    using lanes = typename Rows::lanes;
    const lanes a = from::sum(rows.x, p), h = from::sum(rows.g, q) * w, aw = a * w;
#pragma unroll
    for (int pair = 0; pair < Rows::W / 2; ++pair) {
        const vec<float, 2> a2 = pair_of(a, pair), h2 = pair_of(h, pair);
        add_pairs(sums.at[sums.squares], a2, a2);
        add_pairs(sums.at[sums.products], h2, a2);
        vec<float, 2> x2[n];
#pragma unroll
        for (int i = 0; i < n; ++i) {
            x2[i] = pair_of(from::values(rows.x[i]), pair);
            add_pairs(sums.at[sums.h_x + i], h2, x2[i]);
            add_pairs(sums.at[sums.a_x + i], a2, x2[i]);
        }
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const vec<float, 2> g2 = pair_of(from::values(rows.g[i]), pair);
#pragma unroll
            for (int j = 0; j < n; ++j) add_pairs(sums.at[sums.g + i * (n + 1) + j], g2, x2[j]);
            add_pairs(sums.at[sums.g + i * (n + 1) + n], g2, pair_of(aw, pair));
        }
    }
}

/// The gradient of a token's e-th coefficient, of p [n], q [n] and the matrix as it is stored.
template <int n, layout L, class Sums>
MHC_DEVICE float coefficient_gradient_of(const Sums& of, i64 turn, int e, norm_terms terms)
{
    using sums = layer_sums<n>;
    if (e < n) return fma(terms.e0, of.get(turn, sums::h_x + e), -terms.e1 * of.get(turn, sums::a_x + e));
    if (e < 2 * n) return terms.e0 * of.get(turn, sums::g + (e - n) * (n + 1) + n);
    const int row = (e - 2 * n) / n, column = (e - 2 * n) % n;
    return of.get(turn, sums::g + (L == layout::out_in ? row * (n + 1) + column : column * (n + 1) + row));
}

/// mHC.cu's layer with coefficients p [n], q [n] and M [n, n] of token t at t * coefficients_token: d_coefficients[t] holds
/// their gradients, M's as stored, and weight_sums what the norm's weight gets from every 8 tokens. take(t, c, d_a, rows, p)
/// is given the gradient d_a of a = sum_i p_i x_i for W channels at c, the vectors of the rows there, and the token's
/// coefficients. `shared` has room for the sums; the queue's words are where it wants them.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Queue, class Data, class Weight, class Take>
MHC_DEVICE void layer_gradient_once(Grid at, float* shared, Queue& queue, const layer_rows<Data>& from,
                                    const float* coefficients, const Weight* weight, float* d_coefficients,
                                    float* weight_sums, i64 tokens, i64 coefficients_token, float eps, Take take)
{
    constexpr int each = tokens_of_weight_sum, W = Rows::W, count = own_vectors<Rows, Grid>::count, m = n * n + 2 * n;
    using lanes = typename Rows::lanes;
    using vectors = layer_vectors<Rows, n, Data>;
    using sums_of = layer_sums<n>;
    const own_vectors<Rows, Grid> own(at);
    const sums_of_slices<sums_of::count, Rows, Grid> sums = {shared};
    const int thread = at.thread(), wave = at.wave(), lane = at.lane();
    // This group's i-th token: 8 of a slice, then those of its next one. The queue does not end with a slice.
    auto token = [=](i64 i) MHC_INLINE { return (at.group + i / each * at.groups) * each + i % each; };
    for (int s = 0; s < Queue::stages; ++s) queue.ask(from, own, s, thread, token(s), token(s) < tokens);
    lanes weight_sum[count];
    auto after = [=](int stage) MHC_INLINE { return stage + 1 == Queue::stages ? 0 : stage + 1; };
    auto add_token = [&](i64 i, int stage) MHC_INLINE {
        const float* const p = coefficients + token(i) * coefficients_token;
        sums_of own_sums = {};
#pragma unroll
        for (int k = 0; k < count; ++k)
            if (own.has(k))
                add_channels<Rows, n, Data>(own_sums, queue.at(stage, k, thread),
                                            Rows::template load<WeightAlign>(weight, own.channel(k)), p, p + n);
        sums.put(i, wave, lane, own_sums.at);
    };
    auto take_token = [&](i64 i, int stage) MHC_INLINE {
        const i64 t = token(i), next = token(i + Queue::stages);
        const float* const p = coefficients + t * coefficients_token;
        const norm_terms terms = norm_terms_of<Rows::C>(sums.get(i, sums_of::squares), sums.get(i, sums_of::products), eps);
        for (int e = thread; e < m; e += Grid::block)
            d_coefficients[t * m + e] = coefficient_gradient_of<n, L>(sums, i, e, terms);
        const bool ends_slice = i % each == each - 1 || t + 1 == tokens;
#pragma unroll
        for (int k = 0; k < count; ++k) {
            if (i % each == 0) weight_sum[k] = splat<W>(0.0f);
            if (!own.has(k)) continue;
            const vectors rows = queue.at(stage, k, thread);
            const lanes a = vectors::sum(rows.x, p), h = vectors::sum(rows.g, p + n) * terms.e0;
            const lanes w = Rows::template load<WeightAlign>(weight, own.channel(k));
            weight_sum[k] = fma<W>(h, a, weight_sum[k]);
            if (ends_slice) Rows::store(weight_sums + t / each * Rows::C, own.channel(k), weight_sum[k]);
            take(t, own.channel(k), fma<W>(a, splat<W>(-terms.e1), h * w), rows, p);
        }
        queue.ask(from, own, stage, thread, next, next < tokens);
    };
    if constexpr (Queue::stages > 1) {  // a token's sums are made while the one before is taken
        queue.wait();
        if (token(0) < tokens) add_token(0, 0);
        barrier();
        int stage = 0;
        for (i64 i = 0; token(i) < tokens; ++i) {
            queue.wait_for_second();
            if (token(i + 1) < tokens) add_token(i + 1, after(stage));
            take_token(i, stage);
            barrier();
            stage = after(stage);
        }
    } else {
        for (i64 i = 0; token(i) < tokens; ++i) {
            queue.wait();
            add_token(i, 0);
            barrier();
            take_token(i, 0);
        }
    }
    queue.wait_for_all();
}

/// d_x of W channels of each stream, from the gradient d_a of the sum of streams and through the mix.
template <class Rows, int n, layout L, class Data>
MHC_DEVICE void store_layer_gradient(Data* d_x, i64 d_x_stream, int c, typename Rows::lanes d_a,
                                     const layer_vectors<Rows, n, Data>& rows, const float* p, bool adds)
{
    constexpr int W = Rows::W;
#pragma unroll
    for (int i = 0; i < n; ++i) {
        typename Rows::lanes v = splat<W>(0.0f);
#pragma unroll
        for (int o = 0; o < n; ++o)
            v = fma<W>(splat<W>(weight_of<L, n>(p + 2 * n, o, i)), layer_vectors<Rows, n, Data>::values(rows.g[o]), v);
        store_gradient<Rows>(d_x + i * d_x_stream, c, fma<W>(splat<W>(p[i]), d_a, v), adds);
    }
}

}  // namespace mhc
