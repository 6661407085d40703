// mhc/device/one_pass_coefficients.hpp -- the three waves of one_pass.hpp that bring a tile's sums to its owner and make its
// coefficients there: the numbers of coefficients.hpp.
#pragma once

#include <mhc/device/lane_coefficients.hpp>
#include <mhc/device/one_pass_room.hpp>

namespace mhc {

MHC_DEVICE float4 operator+(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// The wave that adds the waves' sums, as tile_results does, and sends them to the tile's owner; after(j) when it has sent
/// the j-th tile's.
template <class Pass, class After>
MHC_DEVICE void send_sums(typename Pass::memory& lds, tiles_of of, int lane, After after)
{
    constexpr int words = Pass::sums / 4;
    ring<Pass::parts_rooms> from;
    ring<Pass::ranks> owner;
    for (int j = 0; j < of.count; ++j, from.next(), owner.next()) {
        const int slot = Pass::slots == 1 ? 0 : int(owner.turn % Pass::slots);
        const u32 to = lds_of_rank(lds_address(lds.arrived[slot][of.rank]), u32(owner.at));
        const u32 told = lds_of_rank(lds_address(&lds.arrived_here[slot]), u32(owner.at));
        lds.parts_here[from.at].wait(from.turn);
        float4 total[ceil_div(words, 32)];
#pragma unroll
        for (int k = 0; k < ceil_div(words, 32); ++k) {
            const int e = k * 32 + lane;
            if (e < words) {
                float4 v[Pass::waves];
#pragma unroll
                for (int w = 0; w < Pass::waves; ++w) v[w] = lds.parts[from.at][w][e];
                total[k] = ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
            }
        }
        wave_sync();
        if (lane == 0) lds.parts_gone[from.at].arrive();
#pragma unroll
        for (int k = 0; k < ceil_div(words, 32); ++k) {
            const int e = k * 32 + lane;
            if (e < words) send(to + e * 16, total[k], told);
        }
        after(j);
    }
}

/// A value of a token, that all its n lanes have, to the same place of all ranks.
template <class Pass>
MHC_DEVICE void send_to_all(const float4& place, float4 v, const signal& told, int o)
{
    const u32 to = lds_address(&place), there = lds_address(&told);
#pragma unroll
    for (int rank = 0; rank < Pass::ranks; rank += 4)
        if (Pass::ranks % 4 == 0 || rank + o < Pass::ranks)
            send(lds_of_rank(to, u32(rank + o)), v, lds_of_rank(there, u32(rank + o)));
}

/// Adds the sums of all ranks of each tile that this work-group owns, in their order; body(j, totals) with those of the
/// token that this lane and the next ones have. All must have been read when the lanes meet in body.
template <class Pass, class Body>
MHC_DEVICE void for_own_tiles(typename Pass::memory& lds, tiles_of of, int lane, Body body)
{
    constexpr int words = Pass::sums / 4;
    if (lane == 0) lds.weights_here.arrive();
    int turn = 0;
    for (int j = int(of.rank); j < of.count; j += Pass::ranks, ++turn) {
        const int slot = turn % Pass::slots;
        lds.arrived_here[slot].wait(u32(turn / Pass::slots));
#pragma unroll
        for (int k = 0; k < ceil_div(words, 32); ++k) {
            const int e = k * 32 + lane;
            if (e < words) {
                float4 total = lds.arrived[slot][0][e];
#pragma unroll
                for (int r = 1; r < Pass::ranks; ++r) total = total + lds.arrived[slot][r][e];
                lds.totals[e] = total;
            }
        }
        wave_sync();
        if (lane == 0) lds.arrived_here[slot].expect(Pass::ranks * Pass::sums * 4);
        body(j, reinterpret_cast<const float*>(lds.totals) + lane / Pass::n * Pass::width);
    }
}

/// pre[o] of a tile's token, that the lane of its stream o has, to all ranks.
template <class Pass>
MHC_DEVICE void send_pre(typename Pass::memory& lds, int j, int token, int o, float p)
{
    const float4 all = {of_lane<4>(p, 0), of_lane<4>(p, 1), of_lane<4>(p, 2), of_lane<4>(p, 3)};
    const int stage = j % Pass::stages;
    send_to_all<Pass>(lds.pre[stage][Pass::token_of(token)], all, lds.pre_here[stage], o);
}

/// The wave that makes pre of a head, of the tiles that this work-group owns.
template <class Pass>
MHC_DEVICE void make_head_pre(typename Pass::memory& lds, tiles_of of, int lane, affine by, coefficient_constants k)
{
    constexpr int n = Pass::n, K = n * Pass::Rows::C;
    static_assert(n == 4, "lanes");
    const int token = lane / 4, o = lane % 4;
    const float scale = *by.scale_pre, base = by.base_pre[o];
    for_own_tiles<Pass>(lds, of, lane, [&](int j, const float* totals) MHC_INLINE {
        const float product = totals[o] * inverse_rms<K>(totals[tile_products<Pass::m>], k);
        wave_sync();  // totals are the next tile's
        send_pre<Pass>(lds, j, token, o, pre_of(product, scale, base, k));
    });
}

/// The wave that makes z of the tiles that this work-group owns; put(j, token, o, pre[o], post[o]) of each of their tokens.
/// Matrices first: who balances them is waited for longer than pre.
template <class Pass, class Put>
MHC_DEVICE void make_coefficients(typename Pass::memory& lds, tiles_of of, int lane, affine by, coefficient_constants k,
                                  Put put)
{
    constexpr int n = Pass::n, K = n * Pass::Rows::C;
    static_assert(n == 4, "lanes");
    const int token = lane / 4, o = lane % 4;
    const lane_affine<n> own(by, o);
    ring<Pass::rooms> room;
    for_own_tiles<Pass>(lds, of, lane, [&](int j, const float* totals) MHC_INLINE {
        const float r = inverse_rms<K>(totals[Pass::m], k), of_pre = totals[o] * r, of_post = totals[n + o] * r;
        if (room.turn > 0) lds.logits_gone[room.at].wait(room.turn - 1);
        float* const entries = lds.matrices[room.at] + token * balance<n>::floats;
#pragma unroll
        for (int b = 0; b < 4; ++b) entries[o * 4 + b] = fma(totals[2 * n + o * 4 + b] * r, own.scale_res, own.base_res[b]);
        wave_sync();  // totals are the next tile's
        if (lane == 0) lds.logits_here[room.at].arrive();
        const float p = own.pre(of_pre, k);
        send_pre<Pass>(lds, j, token, o, p);
        room.next();
        put(j, Pass::token_of(token), o, p, own.post(of_post, k));  // who balances goes on meanwhile, and takes longer
    });
}

/// The wave that balances the matrices of these tiles; put(j, token, s) of each token's, in the lanes of its rows.
template <class Pass, class Options, class Put>
MHC_DEVICE void balance_tiles(typename Pass::memory& lds, tiles_of of, int lane, float eps, Put put)
{
    constexpr int n = Pass::n;
    ring<Pass::rooms> room;
    for (int j = int(of.rank); j < of.count; j += Pass::together * Pass::ranks) {
        const int tiles = smaller(Pass::together, (of.count - j + Pass::ranks - 1) / Pass::ranks);
        const int first = room.at;  // a room's matrices follow each other: rooms are a multiple of those taken together
        for (int k = 0; k < tiles; ++k) lds.logits_here[first + k].wait(room.turn);
        factors_in_lanes<Options, n>(lds.matrices[first], tiles * Pass::tokens, lane, eps);
        for (int k = 0; k < tiles; ++k, room.next()) {
            put(j + k * Pass::ranks, Pass::token_of(lane / n),
                balance<n>{lds.matrices[room.at] + lane / n * balance<n>::floats});
            wave_sync();
            if (lane == 0) lds.logits_gone[room.at].arrive();
        }
    }
}

}  // namespace mhc
