// mhc/device/lane_coefficients.hpp -- pre, post and mix of a few tokens by one wave of a work-group whose other waves have
// the streams: the same numbers as of coefficients.hpp. A token has n lanes, of which the o-th makes pre[o], post[o] and row
// o of the matrix.
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/sinkhorn_lanes.hpp>

namespace mhc {

/// Tokens that a work-group has at a time, at most: with 4 streams as many as a warp balances.
constexpr int mixed_together = 8;

/// Tokens shared out in parts of as many as let all groups take the same number of turns. They go from the last to the
/// first, since a projection's last tokens are the likeliest in a cache.
struct token_parts {
    i64 tokens, count;
    int each;

    MHC_MEMBER token_parts(i64 tokens, i64 groups) : tokens(tokens), count(tokens), each(1)
    {
        if (tokens <= groups) return;  // divisions take longer than a token
        const i64 most = groups * mixed_together, shared_out = (tokens + most - 1) / most * groups;
        each = int((tokens + shared_out - 1) / shared_out);
        count = (tokens + each - 1) / each;
    }
    MHC_MEMBER i64 first(i64 part) const { return (count - 1 - part) * each; }
    MHC_MEMBER int size(i64 part) const
    {
        const i64 left = tokens - first(part);
        return left < each ? int(left) : each;
    }
};

/// body(first, size) for each part of this work-group.
template <class Grid, class Body>
MHC_DEVICE void for_each_part(Grid at, const token_parts& parts, Body body)
{
    for (i64 part = at.group; part < parts.count; part += at.groups) body(parts.first(part), parts.size(part));
}

/// The next token of this work-group whose streams are to be asked for.
struct token_ahead {
    i64 part;
    int number = 0;  ///< in its part
    MHC_MEMBER i64 token(const token_parts& of) const { return of.first(part) + number; }
    MHC_MEMBER bool is_there(const token_parts& of) const { return part < of.count && token(of) < of.tokens; }
    MHC_MEMBER void next(const token_parts& of, i64 groups)
    {
        if (++number < of.each) return;
        number = 0;
        part += groups;
    }
};

/// True, when streams may be asked for. The matrices of a few tokens take longer than their streams, which would hold back
/// what matrices are made of: then not before the first of that is here.
template <class Grid>
MHC_DEVICE bool streams_may_come(Grid at, const token_parts& parts, projected from)
{
    if (parts.count > at.groups) return true;
    wait_for_last_kernel();
    return at.group >= parts.count || has_come(load_fresh(from.sqsum + parts.first(at.group)));
}

/// pre of a product, normalised.
MHC_DEVICE float pre_of(float product, float scale, float base, coefficient_constants k)
{
    return sigmoid(fma(product, scale, base)) + k.pre_eps;
}

/// Scale and base of what the o-th of a token's n lanes makes: pre[o], post[o], and row o of the matrix.
template <int n>
struct lane_affine {
    float scale_pre, scale_post, scale_res, base_pre, base_post, base_res[n];
    MHC_MEMBER lane_affine(affine by, int o)
        : scale_pre(*by.scale_pre),
          scale_post(*by.scale_post),
          scale_res(*by.scale_res),
          base_pre(by.base_pre[o]),
          base_post(by.base_post[o])
    {
#pragma unroll
        for (int b = 0; b < n; ++b) base_res[b] = by.base_res[o * n + b];
    }
    MHC_MEMBER float pre(float product, coefficient_constants k) const { return pre_of(product, scale_pre, base_pre, k); }
    MHC_MEMBER float post(float product, coefficient_constants k) const
    {
        return k.post_mult * sigmoid(fma(product, scale_post, base_post));
    }
};

/// Sums over the splits, in their order, of `count` of a token's m products, of which the k-th is row(k), and of its
/// squares: those of a few splits are asked for before the first is added.
template <int m, int count, class Row>
MHC_DEVICE void lane_sums(float (&total)[count + 1], projected from, i64 t, i64 tokens, Row row)
{
    constexpr int together = smaller(8, 20 / (count + 1));
    const float *products = from.proj + t * m, *squares = from.sqsum + t;
    auto ask = [&](int k) MHC_INLINE { return load_fresh(k < count ? products + row(k) : squares); };
#pragma unroll
    for (int k = 0; k <= count; ++k) total[k] = 0.0f + ask(k);
    MHC_SHORT_LOOP
    for (int left = int(from.splits) - 1; left > 0; left -= together) {
        float v[together][count + 1];
#pragma unroll
        for (int j = 0; j < together; ++j) {
            products += tokens * m;
            squares += tokens;
#pragma unroll
            for (int k = 0; k <= count; ++k) v[j][k] = j < left ? ask(k) : 0.0f;
        }
#pragma unroll
        for (int j = 0; j < together; ++j) {
#pragma unroll
            for (int k = 0; k <= count; ++k)
                if (j < left) total[k] += v[j][k];
        }
    }
}

/// What sigmoid takes to make one of a token's m coefficients, but for scale and base: its product times r.
template <int n, int K>
MHC_DEVICE float lane_product(projected from, int row, i64 t, i64 tokens, coefficient_constants k)
{
    float sums[2];
    lane_sums<n * n + 2 * n, 1>(sums, from, t, tokens, [=](int) MHC_INLINE { return row; });
    return sums[0] * inverse_rms<K>(sums[1], k);
}

/// Waves that balance by turns: each has as many tokens of a work-group as a wave balances at a time.
template <int Waves>
struct balancing_turn {
    int wave, turn = 0;
    MHC_MEMBER bool is_own()
    {
        const bool is = turn == wave;
        turn = turn + 1 == Waves ? 0 : turn + 1;
        return is;
    }
};

/// Scale and base of what the o-th of a token's lanes makes where lanes keep their lines: post[o], and column o of the
/// matrix.
template <int n>
struct column_affine {
    float scale_post, scale_res, base_post, base_res[n];
    MHC_MEMBER column_affine(affine by, int o)
        : scale_post(*by.scale_post), scale_res(*by.scale_res), base_post(by.base_post[o])
    {
#pragma unroll
        for (int a = 0; a < n; ++a) base_res[a] = by.base_res[a * n + o];
    }
};
template <int n>
MHC_DEVICE int column_of_lane(int lane)
{
    return smaller(lane % lanes_of(n, 32), n - 1);
}

/// post and mix of `count` tokens, by waves whose lanes keep their lines, this one in its turns; a token has lanes_of(n) of
/// them, and a matrix in `matrices`, which are the wave's.
template <class Options, int n, int K, int Waves>
MHC_DEVICE void balance_by_lines(balancing_turn<Waves>& next, float* matrices, int lane, projected from,
                                 const column_affine<n>& by, float* post, float* mix, i64 first, int count, i64 tokens,
                                 coefficient_constants k)
{
    constexpr int lanes = lanes_of(n, 32), together = 32 / lanes;
    const int mine = lane / lanes, own = lane % lanes, o = column_of_lane<n>(lane);
    const balance<n> s = {matrices + mine * balance<n>::floats};
    MHC_SHORT_LOOP
    for (int begin = 0; begin < count; begin += together) {
        if (!next.is_own()) continue;
        const int token = begin + mine < count ? begin + mine : count - 1;
        float sums[n + 2];
        sums_of_rows<n * n + 2 * n, n, n + 1>(sums, from, first + token, tokens, n + o);
        const float r = inverse_rms<K>(sums[n + 1], k);
#pragma unroll
        for (int a = 0; a < n; ++a) {
            const float z = fma(sums[a + 1] * r, by.scale_res, by.base_res[a]);
            if (own < n) s.entries[a * n + o] = z;
        }
        if (begin + mine < count && own < n)
            post[(first + token) * n + o] = k.post_mult * sigmoid(fma(sums[0] * r, by.scale_post, by.base_post));
        sinkhorn<Options, n, lanes>(s, own, k.sinkhorn_eps);
        if (begin + mine < count)
            for (int e = own; e < n * n; e += lanes) mix[(first + token) * (n * n) + e] = s.entries[e];
        wave_sync();  // before the next tokens' logits come
    }
}

/// mix of `count` tokens, by one wave. `matrices` has room for as many matrices as the wave has lines. sigmoids(token, o) is
/// told of the numbers of tokens, for what else a lane makes of them.
template <class Options, int n, int K, class Sigmoids>
MHC_DEVICE void balance_tokens(float* matrices, int lane, projected from, const lane_affine<n>& by, float* mix,
                               i64 mix_token, i64 first, int count, i64 tokens, coefficient_constants k, Sigmoids sigmoids)
{
    constexpr int together = smaller(mixed_together, 32 / n);
    const int mine = lane / n, o = lane % n;
    const balance<n> own = {matrices + mine * balance<n>::floats};
    MHC_SHORT_LOOP
    for (int begin = 0; begin < count; begin += together) {
        const int valid = smaller(count - begin, together), token = begin + (mine < valid ? mine : 0);
        float sums[n + 1];
        lane_sums<n * n + 2 * n, n>(sums, from, first + token, tokens, [=](int b) MHC_INLINE { return (o + 2) * n + b; });
        const float r = inverse_rms<K>(sums[n], k);
#pragma unroll
        for (int b = 0; b < n; ++b) own.entries[o * n + b] = fma(sums[b] * r, by.scale_res, by.base_res[b]);
        if (mine < valid) sigmoids(token, o);
        factors_in_lanes<Options, n>(matrices, valid, lane, k.sinkhorn_eps);
        if (mine < valid) store_row<n>(own, o, mix + token * mix_token);
        wave_sync();  // before the next tokens' logits come
    }
}

}  // namespace mhc
