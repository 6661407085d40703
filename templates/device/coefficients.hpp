// mhc/device/coefficients.hpp -- from z to pre, post and mix: sigmoids and Sinkhorn, for tokens and for a static layer.
#pragma once

#include <mhc/device/math.hpp>
#include <mhc/device/sinkhorn_lanes.hpp>

namespace mhc {

struct coefficient_constants {
    float rms_eps, pre_eps, post_mult, sinkhorn_eps;
};

/// What is made of the rows of z: pre alone; pre, post and the matrix as it is; or the matrix after Sinkhorn.
enum class matrix { none, logits, balanced };

template <matrix M, int n>
constexpr int rows_of_z = M == matrix::none ? n : n* n + 2 * n;

/// pre[j] = sigmoid(z(j)) + pre_eps; post[j] = post_mult * sigmoid(z(n+j)); mix = z(2n ...), or Sinkhorn of it.
/// Options are read for a balanced matrix alone. `lane` is one of those that share the matrix. IsOnce: as of
/// factors_in_lanes.
template <matrix M, class Options, int n, int lanes, bool IsOnce = false, class Grid, class Z>
MHC_DEVICE void coefficients(Grid at, balance<n> s, int lane, bool is_live, coefficient_constants k, Z z, float* pre,
                             float* post, float* mix)
{
    for (int o = lane; o < rows_of_z<M, n>; o += lanes) {
        const float v = z(o);
        if (M == matrix::balanced && o >= 2 * n)
            s.entries[o - 2 * n] = v;
        else if (is_live && o < n)
            pre[o] = sigmoid(v) + k.pre_eps;
        else if (is_live && o < 2 * n)
            post[o - n] = k.post_mult * sigmoid(v);
        else if (is_live)
            mix[o - 2 * n] = v;
    }
    if constexpr (M == matrix::balanced && balances_in_lanes<n>) {
        factors_of_wave<Options, IsOnce>(at, s, k.sinkhorn_eps);
        if (is_live) store_row(s, lane, mix);
    } else if constexpr (M == matrix::balanced) {
        sinkhorn<Options, n, lanes>(s, lane, k.sinkhorn_eps);
        if (is_live)
            for (int e = lane; e < n * n; e += lanes) mix[e] = s.entries[e];
    }
}

/// scale and base of the three parts, wherever they stand: [n] rows of pre, [n] of post, [n*n] of the matrix.
struct affine {
    const float* scale_pre;
    const float* scale_post;
    const float* scale_res;
    const float* base_pre;
    const float* base_post;
    const float* base_res;

    /// Of row o of z.
    template <int n>
    MHC_MEMBER const float* scale(int o) const
    {
        return o < n ? scale_pre : o < 2 * n ? scale_post : scale_res;
    }
    template <int n>
    MHC_MEMBER const float* base(int o) const
    {
        return o < n ? base_pre + o : o < 2 * n ? base_post + (o - n) : base_res + (o - 2 * n);
    }
};

/// What `project` made: proj [S, T, rows] and sqsum [S, T].
struct projected {
    const float* proj;
    const float* sqsum;
    i64 splits;
};

/// Sum over the splits, in their order, of the number at `first` in each. Eight are asked for at a time.
MHC_DEVICE float sum_of_splits(const float* first, i64 distance, i64 splits)
{
    constexpr int together = 8;
    float total = 0.0f;
    i64 s = 0;
    for (; s + together <= splits; s += together) {
        float v[together];
#pragma unroll
        for (int k = 0; k < together; ++k) v[k] = first[(s + k) * distance];
#pragma unroll
        for (int k = 0; k < together; ++k) total += v[k];
    }
    for (; s < splits; ++s) total += first[s * distance];
    return total;
}

/// r = 1 / sqrt(sum of squares / K + rms_eps)
template <int K>
MHC_DEVICE float inverse_rms(float squares, coefficient_constants k)
{
    return 1.0f / square_root(squares * (1.0f / float(K)) + k.rms_eps);
}

/// Sums over the splits, in their order, of `count` of a token's m products, those n rows apart from `first` on, and of its
/// squares: those of a few splits are asked for before the first is added.
template <int m, int n, int count>
MHC_DEVICE void sums_of_rows(float (&total)[count + 1], projected from, i64 t, i64 tokens, int first)
{
    constexpr int together = 80 / (count + 1);
    const float *products = from.proj + t * m + first, *squares = from.sqsum + t;
#pragma unroll
    for (int k = 0; k <= count; ++k) total[k] = 0.0f;
    MHC_SHORT_LOOP
    for (int left = int(from.splits); left > 0; left -= together) {
        float v[together][count + 1];
#pragma unroll
        for (int j = 0; j < together; ++j) {
#pragma unroll
            for (int k = 0; k <= count; ++k) v[j][k] = j >= left ? 0.0f : k < count ? products[k * n] : *squares;
            products += tokens * m;
            squares += tokens;
        }
#pragma unroll
        for (int j = 0; j < together; ++j) {
#pragma unroll
            for (int k = 0; k <= count; ++k)
                if (j < left) total[k] += v[j][k];
        }
    }
}

/// token_coefficients where lanes keep their lines: the o-th lane of a token makes pre[o], post[o] and column o of the
/// matrix.
template <class Options, int n, int K, class Grid>
MHC_DEVICE void coefficients_by_lines(Grid at, float* shared, projected from, affine by, float* pre, float* post, float* mix,
                                      i64 tokens, i64 valid, i64 pre_token, i64 post_token, i64 mix_token,
                                      coefficient_constants k)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, valid, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        const int o = lane < n ? lane : n - 1;
        float sums[n + 3];
        sums_of_rows<n * n + 2 * n, n, n + 2>(sums, from, t, tokens, o);
        const float r = inverse_rms<K>(sums[n + 2], k);
#pragma unroll
        for (int a = 0; a < n; ++a) {
            const float z = fma(sums[a + 2] * r, *by.scale_res, by.base_res[a * n + o]);
            if (lane < n) s.entries[a * n + o] = z;
        }
        if (is_live && lane < n) {
            pre[t * pre_token + o] = sigmoid(fma(sums[0] * r, *by.scale_pre, by.base_pre[o])) + k.pre_eps;
            post[t * post_token + o] = k.post_mult * sigmoid(fma(sums[1] * r, *by.scale_post, by.base_post[o]));
        }
        sinkhorn<Options, n, lanes>(s, lane, k.sinkhorn_eps);
        if (is_live)
            for (int e = lane; e < n * n; e += lanes) mix[t * mix_token + e] = s.entries[e];
    });
}

/// z = (sum of a row's splits) * r * scale + base with r = inverse_rms, then `coefficients`.
/// The projection is of all `tokens`, of which the first `valid` are read; it has Rows rows, of which the first are read.
template <matrix M, class Options, int n, int K, int Rows = rows_of_z<M, n>, class Grid>
MHC_DEVICE void token_coefficients(Grid at, float* shared, projected from, affine by, float* pre, float* post, float* mix,
                                   i64 tokens, i64 valid, i64 pre_token, i64 post_token, i64 mix_token,
                                   coefficient_constants k)
{
    if constexpr (M == matrix::balanced && balances_by_lines<n>)
        return coefficients_by_lines<Options, n, K>(at, shared, from, by, pre, post, mix, tokens, valid, pre_token,
                                                    post_token, mix_token, k);
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, valid, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        const float r = inverse_rms<K>(sum_of_splits(from.sqsum + t, tokens, from.splits), k);
        auto z = [=](int o) MHC_INLINE {
            const float product = sum_of_splits(from.proj + t * Rows + o, tokens * Rows, from.splits);
            return fma(product * r, *by.scale<n>(o), *by.base<n>(o));
        };
        coefficients<M, Options, n, lanes>(at, s, lane, is_live, k, z, pre + t * pre_token, post + t * post_token,
                                           mix + t * mix_token);
    });
}

/// proj[s, t, r] and sqsum[s, t] of `splits` splits from `parts` [slices, T, rows] and `squares` [slices, T]: a split has
/// some slices that follow each other, one of each where there are as many, and those past the slices have none.
template <int slices, class Grid>
MHC_DEVICE void splits_of_slices(Grid at, const float* parts, const float* squares, float* proj, float* sqsum, int rows,
                                 int splits, i64 tokens, i64 valid)
{
    const int some = smaller(splits, slices);
    for (i64 t = at.group * Grid::waves + at.wave(); t < valid; t += at.groups * Grid::waves) {
        for (int split = 0; split < splits; ++split) {
            const int begin = split < some ? split * slices / some : slices;
            const int count = split < some ? (split + 1) * slices / some - begin : 0;
            const i64 from = begin * tokens + t, to = split * tokens + t;
            for (int r = at.lane(); r < rows; r += Grid::wave_size)
                proj[to * rows + r] = sum_of_splits(parts + from * rows + r, tokens * rows, count);
            if (at.lane() == 0) sqsum[to] = sum_of_splits(squares + from, tokens, count);
        }
    }
}

/// The same from given z: h_pre [n], h_post [n], h_res [n, n]. One matrix; `out` gets pre, post and mix in this order.
template <class Options, int n, class Grid>
MHC_DEVICE void static_coefficients(Grid at, float* shared, const float* h_pre, const float* h_post, const float* h_res,
                                    float* out, coefficient_constants k)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, 1, [=](i64, bool is_live, balance<n> s, int lane) MHC_INLINE {
        auto z = [=](int o) MHC_INLINE { return o < n ? h_pre[o] : o < 2 * n ? h_post[o - n] : h_res[o - 2 * n]; };
        coefficients<matrix::balanced, Options, n, lanes, true>(at, s, lane, is_live, k, z, out, out + n, out + 2 * n);
    });
}

/// What they are made of, where one wave makes them in LDS: up to 4 streams, so that a lane has a number.
struct static_logits {
    const float *pre, *post, *res;
    template <int n>
    MHC_MEMBER float at(int o) const
    {
        return o < n ? pre[o] : o < 2 * n ? post[o - n] : o < n * n + 2 * n ? res[o - 2 * n] : 0.0f;
    }
};

/// LDS that it takes: the coefficients p [n], q [n] and the stored matrix, their logits, and Room for the matrices of a
/// wave.
template <int n, int Room>
struct static_room {
    static constexpr int logits = ceil_div(n * n + 2 * n, 4) * 4, maker = 2 * logits, floats = maker + Room;
};

/// make(floats, logits, to) makes them; the o-th lane has their o-th logit. One wave calls it, all of its lanes.
template <int n, int Room, class Make>
MHC_DEVICE void make_static_coefficients(float* shared, float logit, int lane, Make make)
{
    using room = static_room<n, Room>;
    if (lane < n * n + 2 * n) shared[room::logits + lane] = logit;
    wave_sync();
    make(shared + room::maker, shared + room::logits, shared);
}

}  // namespace mhc
