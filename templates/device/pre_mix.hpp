// mhc/device/pre_mix.hpp -- pre, post and mix from a projection, and layer_input, in one kernel: the same numbers as of
// coefficients.hpp and then mix.hpp.
//
// A work-group has a few tokens at a time. Its last waves make their coefficients, whose matrices are long but little work.
// The others, who need no more than pre, each make that for themselves and add the streams: nobody waits for another.
#pragma once

#include <mhc/device/lane_coefficients.hpp>
#include <mhc/device/mix.hpp>

namespace mhc {

/// pre of up to mixed_together tokens in a wave: lane e % 32 has numbers e of [tokens, lanes of a token].
template <int n, int K>
struct pre_in_lanes {
    static constexpr int lanes = lanes_of(n, 32), turns = ceil_div(mixed_together * lanes, 32);
    float at[turns];

    /// Lanes past a token's streams stand for the last.
    static MHC_MEMBER int stream_of(int lane) { return lanes == n ? lane % n : smaller(lane % lanes, n - 1); }
    MHC_MEMBER pre_in_lanes(int lane, projected from, const lane_affine<n>& by, i64 first, int count, i64 tokens,
                            coefficient_constants k)
    {
        const auto token_of = [=](int turn) MHC_INLINE {
            const int token = (turn * 32 + lane) / lanes;
            return first + (token < count ? token : 0);
        };
        if constexpr (turns == 1) {
            const i64 t = first + (lane / lanes < count ? lane / lanes : 0);
            at[0] = by.pre(lane_product<n, K>(from, stream_of(lane), t, tokens, k), k);
        } else {
            float sums[turns][2] = {};
            constexpr int together = 16 / turns;
            MHC_SHORT_LOOP
            for (i64 split = 0; split < from.splits; split += together) {
                float v[together][turns][2];
#pragma unroll
                for (int j = 0; j < together; ++j) {
#pragma unroll
                    for (int turn = 0; turn < turns; ++turn) {
                        const i64 place = (split + j) * tokens + token_of(turn);
                        const bool is_there = split + j < from.splits;
                        v[j][turn][0] = is_there ? load_fresh(from.proj + place * (n * n + 2 * n) + stream_of(lane)) : 0.0f;
                        v[j][turn][1] = is_there ? load_fresh(from.sqsum + place) : 0.0f;
                    }
                }
#pragma unroll
                for (int j = 0; j < together; ++j) {
                    if (split + j >= from.splits) continue;
#pragma unroll
                    for (int turn = 0; turn < turns; ++turn) {
                        sums[turn][0] += v[j][turn][0];
                        sums[turn][1] += v[j][turn][1];
                    }
                }
            }
#pragma unroll
            for (int turn = 0; turn < turns; ++turn) at[turn] = by.pre(sums[turn][0] * inverse_rms<K>(sums[turn][1], k), k);
        }
    }
    /// pre, and post, which is made here where the wave that balances does not.
    MHC_MEMBER void store(int lane, projected from, const lane_affine<n>& by, float* pre, float* post, i64 first, int count,
                          i64 tokens, coefficient_constants k) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int e = turn * 32 + lane;
            if (e >= count * lanes || (lanes != n && e % lanes >= n)) continue;
            const i64 place = lanes == n ? first * n + e : (first + e / lanes) * n + e % lanes;
            pre[place] = at[turn];
            if constexpr (!balances_by_lines<n>)
                post[place] = by.post(lane_product<n, K>(from, n + e % lanes, first + e / lanes, tokens, k), k);
        }
    }
    /// Of one token, to all lanes of the wave.
    MHC_MEMBER void get(float (&pre)[n], int token) const
    {
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const int e = token * lanes + i;
            float v = of_lane<32>(at[0], e % 32);
#pragma unroll
            for (int turn = 1; turn < turns; ++turn) {
                const float other = of_lane<32>(at[turn], e % 32);  // a number chosen before would be kept in memory
                v = e / 32 == turn ? other : v;
            }
            pre[i] = v;
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

/// The kernel before, which does not write x, may still run. matrices: LDS for those of Balancing waves.
template <class Rows, class Options, int n, int Stages, int Balancing, class Grid, class Data>
MHC_DEVICE void pre_mix(Grid at, float* matrices, uint4* lds, const Data* x, projected from, affine by, float* pre,
                        float* post, float* mix, Data* layer_input, i64 tokens, i64 valid, i64 x_token, i64 x_stream,
                        coefficient_constants k)
{
    constexpr int K = n * Rows::C, lanes = Grid::block - Balancing * Grid::wave_size;
    static_assert(Balancing == 1 || balances_by_lines<n>, "others balance all tokens of a work-group at once");
    const int lane = at.lane(), wave = at.wave() - lanes / Grid::wave_size;
    const token_parts parts(valid, at.groups);
    const lane_affine<n> own(by, pre_in_lanes<n, K>::stream_of(lane));
    if (at.thread() >= lanes) {
        if constexpr (balances_by_lines<n>) {
            const column_affine<n> of_column(by, column_of_lane<n>(lane));
            float* const of_wave = matrices + wave * (32 / lanes_of(n, 32) * balance<n>::floats);
            balancing_turn<Balancing> next = {wave};
            wait_for_last_kernel();
            return for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
                balance_by_lines<Options, n, K>(next, of_wave, lane, from, of_column, post, mix, first, count, tokens, k);
            });
        } else {
            wait_for_last_kernel();
            return for_each_part(at, parts, [&](i64 first, int count) MHC_INLINE {
                balance_tokens<Options, n, K>(matrices, lane, from, own, mix + first * (n * n), n * n, first, count, tokens,
                                              k, [](int, int) MHC_INLINE {});
            });
        }
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
