// mhc/device/pre_mix.hpp -- pre, post and mix from a projection, and layer_input, in one kernel: the same numbers as of
// coefficients.hpp and then mix.hpp.
//
// A work-group has a few tokens at a time. Its last wave makes their coefficients, whose matrices are long but little work.
// The others, who need no more than pre, each make that for themselves and add the streams: nobody waits for another.
#pragma once

#include <mhc/device/lane_coefficients.hpp>
#include <mhc/device/mix.hpp>

namespace mhc {

/// pre of up to mixed_together tokens in a wave: lane e % 32 has numbers e of [tokens, n].
template <int n, int K>
struct pre_in_lanes {
    static constexpr int turns = ceil_div(mixed_together * n, 32);
    float at[turns];

    MHC_MEMBER pre_in_lanes(int lane, projected from, const lane_affine<n>& by, i64 first, int count, i64 tokens,
                            coefficient_constants k)
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int e = turn * 32 + lane;
            const i64 t = first + (e / n < count ? e / n : 0);
            at[turn] = by.pre(lane_product<n, K>(from, e % n, t, tokens, k), k);
        }
    }
    /// pre, and post, which is made here.
    MHC_MEMBER void store(int lane, projected from, const lane_affine<n>& by, float* pre, float* post, i64 first, int count,
                          i64 tokens, coefficient_constants k) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int e = turn * 32 + lane;
            if (e >= count * n) continue;
            pre[first * n + e] = at[turn];
            post[first * n + e] = by.post(lane_product<n, K>(from, n + e % n, first + e / n, tokens, k), k);
        }
    }
    /// Of one token, to all lanes of the wave.
    MHC_MEMBER void get(float (&pre)[n], int token) const
    {
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const int e = token * n + i;
            float v = at[0];
#pragma unroll
            for (int turn = 1; turn < turns; ++turn) v = e / 32 == turn ? at[turn] : v;
            pre[i] = of_lane<32>(v, e % 32);
        }
    }
};

/// Tokens on their way to the lanes that add streams, each lane's own vectors in LDS.
template <class Rows, int n, int Lanes, int Stages>
struct stream_queue {
    static constexpr int turns = ceil_div(Rows::C, Lanes*Rows::W), words = turns * n;
    uint4* lds;  ///< [Stages, turns, n, Lanes]

    template <class Data>
    MHC_MEMBER void fetch(int stage, int lane, const Data* row, i64 stream, bool is_there) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int c = (turn * Lanes + lane) * Rows::W;
#pragma unroll
            for (int i = 0; i < n; ++i)
                copy_once<Rows::align>(lds + (stage * words + turn * n + i) * Lanes + lane, row + i * stream + c,
                                       is_there && c < Rows::C);
        }
        end_copies();
    }
    /// weighted_sum of mix.hpp, of a token that has come.
    template <class Data>
    MHC_MEMBER void add(int stage, int lane, const float (&pre)[n], Data* to) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int c = (turn * Lanes + lane) * Rows::W;
            const uint4* const from = lds + (stage * words + turn * n) * Lanes + lane;
            typename Rows::lanes sums = widen_word(from[0], to) * pre[0];
#pragma unroll
            for (int i = 1; i < n; ++i) sums = fma<Rows::W>(splat<Rows::W>(pre[i]), widen_word(from[i * Lanes], to), sums);
            if (c < Rows::C) Rows::store(to, c, sums);
        }
    }
};

/// The kernel before, which does not write x, may still run. matrices: LDS for those of a wave.
template <class Rows, class Options, int n, int Stages, class Grid, class Data>
MHC_DEVICE void pre_mix(Grid at, float* matrices, uint4* lds, const Data* x, projected from, affine by, float* pre,
                        float* post, float* mix, Data* layer_input, i64 tokens, i64 valid, i64 x_token, i64 x_stream,
                        coefficient_constants k)
{
    constexpr int K = n * Rows::C, lanes = Grid::block - Grid::wave_size;
    const int lane = at.lane();
    const lane_affine<n> own(by, lane % n);
    const token_parts parts(valid, at.groups);
    if (at.thread() >= lanes) {
        wait_for_last_kernel();
        return for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
            balance_tokens<Options, n, K>(matrices, lane, from, own, mix + first * (n * n), n * n, first, count, tokens, k,
                                          [](int, int) MHC_INLINE {});
        });
    }
    const stream_queue<Rows, n, lanes, Stages> queue = {lds};
    token_ahead ahead = {at.group};
    int stage = 0;
    auto fetch = [&](bool may) MHC_INLINE {
        queue.fetch(stage, at.thread(), x + ahead.token(parts) * x_token, x_stream, may && ahead.is_there(parts));
        ahead.next(parts, at.groups);
        stage = stage + 1 == Stages ? 0 : stage + 1;
    };
    const bool may_fetch = streams_may_come(at, parts, from);
    MHC_SHORT_LOOP
    for (int k = 0; k < Stages; ++k) fetch(may_fetch);
    wait_for_last_kernel();
    for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
        const pre_in_lanes<n, K> all(lane, from, own, first, count, tokens, k);
        if (at.thread() < 32) all.store(lane, from, own, pre, post, first, count, tokens, k);
        for (int token = 0; token < parts.each; ++token) {
            copies_but<Stages - 1>();
            float by_token[n];
            all.get(by_token, token);
            if (token < count) queue.add(stage, at.thread(), by_token, layer_input + (first + token) * Rows::C);
            fetch(true);
        }
    });
}

}  // namespace mhc
