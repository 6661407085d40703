// mhc/device/one_pass.hpp -- pre, post, mix and layer_input of streams of two bytes a number, which are read from memory
// once: the numbers that project_tiles.hpp, coefficients.hpp and mix.hpp make one after the other.
//
// A work-group of a cluster has a slice of the channels of all streams. Eight of its waves keep the slice's weights in
// registers and multiply tiles of 8 tokens by them. Their sums go to the work-group of the cluster that owns the tile; it
// adds the slices in order, makes coefficients, and sends pre back to all, whose other waves add the streams of the tile,
// which is still in LDS. While that goes round, the next tiles come and are multiplied.
#pragma once

#include <mhc/device/lane_coefficients.hpp>
#include <mhc/device/one_pass_room.hpp>

namespace mhc {

/// Streams that are multiplied and added as they are fetched.
struct streams_as_fetched {
    MHC_MEMBER u32 bytes_beside(tiles_of, int) const { return 0; }
    template <class Memory>
    MHC_MEMBER void bring(Memory&, tiles_of, int, signal&) const
    {
    }
    MHC_MEMBER float weight_of_lane(tiles_of, int, int, int) const { return 0.0f; }
    template <class Memory>
    MHC_MEMBER void make(Memory&, tiles_of, int, int, u32, int, int, float) const
    {
    }
};

/// The lane that fetches tiles.
template <class Pass, class Streams>
MHC_DEVICE void fetch_tiles(typename Pass::memory& lds, tiles_of of, const tensor_map& x, const Streams& streams)
{
    ring<Pass::stages> to;
    for (int j = 0; j < of.count; ++j, to.next()) {
        if (to.turn > 0) {
            lds.free[to.at].wait(to.turn - 1);
            if (Pass::is_made) before_copies();
        }
        if (j == Pass::early) lds.weights_here.wait(0);
        lds.full[to.at].expect(Pass::tile * 16 + streams.bytes_beside(of, j));
        const int t = (of.first + j * of.step) * Pass::tokens;
#pragma unroll
        for (int box = 0; box < Pass::slice / 64; ++box)
            copy_box(lds.x[to.at] + box * (Pass::n * Pass::tokens * 8), x, int(of.rank) * Pass::slice + box * 64, t,
                     lds.full[to.at]);
        streams.bring(lds, of, j, lds.full[to.at]);
        if (Pass::ahead > 0 && j + Pass::ahead >= Pass::stages && j + Pass::ahead < of.count) {
#pragma unroll
            for (int box = 0; box < Pass::slice / 64; ++box)
                prefetch_box(x, int(of.rank) * Pass::slice + box * 64, t + Pass::ahead * of.step * Pass::tokens);
        }
    }
}

/// A wave's sums of a tile, to LDS: row j is of token_of(j).
template <class Pass, bool IsScaled, int Loads>
MHC_DEVICE void share_sums(float* to, const product_sums (&products)[factors<Pass::m>], const column_squares<Loads>& squares,
                           row_scales scales, int lane)
{
    using unit = matrix_unit;
    constexpr int last = full_factors<Pass::m>;
    auto sums_of = [=](int item) MHC_INLINE { return to + unit::sum_column(lane, item) * Pass::width; };
#pragma unroll
    for (int factor = 0; factor < last; factor += 2) {
#pragma unroll
        for (int i = 0; i < unit::sums; ++i)
            sums_of(i)[factor * 8 + unit::sum_row(lane, i)] =
                unscaled<IsScaled>(products[factor].at[i] + products[factor + 1].at[i], scales, factor, i);
    }
#pragma unroll
    for (int i = 0; i < unit::sums / 2; ++i)
        sums_of(i)[last * 8 + row_of_parts(unit::sum_row(lane, i))] =
            unscaled<IsScaled>(products[last].at[i] + products[last].at[i + unit::sums / 2], scales, last, i);
    squares.give(lane, [=](int column, float sum) MHC_INLINE { to[column * Pass::width + Pass::m] = sum; });
}

/// Bits that all weights of a lane have a part in.
template <int m, int Loads>
MHC_DEVICE u32 bits_of(const tile_weights<m, Loads>& weights)
{
    u32 bits = 0;
#pragma unroll
    for (int factor = 0; factor < factors<m>; ++factor) {
#pragma unroll
        for (int i = 0; i < Loads; ++i) {
#pragma unroll
            for (int row = 0; row < matrix_unit::left_rows; ++row) {
                const uint4 v = weights.at[factor][i].rows[row];
                bits ^= v.x ^ v.y ^ v.z ^ v.w;
            }
        }
    }
    return bits;
}

/// One of the waves that multiply, and make the streams of the next tile before, where they are not as they were fetched;
/// after(j) when it has done its part of the j-th tile.
template <class Pass, class Data, int WeightAlign, bool RoundAsReference = false, class Streams, class Matrix, class After>
MHC_DEVICE void multiply_tiles(typename Pass::memory& lds, tiles_of of, int wave, int lane, const Streams& streams,
                               Matrix fn, After after)
{
    constexpr bool is_scaled = has_fp16_factors<Data, RoundAsReference>;
    using factor_of_data = factor_of<Data, RoundAsReference>;
    constexpr int m = Pass::m, loads = tile_loads<typename Pass::Rows, Pass::n>;
    const tile_place place = place_of<typename Pass::Rows, Pass::n>(int(of.rank), wave);
    tile_weights<m, loads> weights;
    load_tile_weights<Data, typename Pass::Rows, WeightAlign, RoundAsReference>(weights, fn, place, lane, m);
    const u32 known = bits_of(weights);
    if (lane == 0) lds.weights_here.arrive_after(known);
    ring<Pass::stages> from;
    ring<2> to;
    ring<Pass::stages> next;
    next.next();
    float coming = of.count > 1 ? streams.weight_of_lane(of, 1, wave, lane) : 0.0f;
    for (int j = 0; j < of.count; ++j, from.next(), to.next(), next.next()) {
        if (Pass::is_made && j + 1 < of.count) {
            const int here = made_anew(lane);
            const float weight = coming;
            if (j + 2 < of.count) coming = streams.weight_of_lane(of, j + 2, wave, here);
            streams.make(lds, of, j + 1, next.at, next.turn, wave, here, weight);
        }
        const int mine = Pass::is_made ? made_anew(lane) : lane;  // what follows is no more kept beside weights
        const int token = Pass::token_of(matrix_unit::column(mine)), first = place.first - int(of.rank) * Pass::slice;
        int places[2];  // of loads by turns, a box having two
#pragma unroll
        for (int i = 0; i < 2; ++i)
            places[i] = Pass::word(place.stream, first / 8 + i * 4 + matrix_unit::group(mine), token);
        lds.ready(from.at).wait(from.turn);
        product_sums products[factors<m>] = {};
        column_squares<loads> squares = {};
        const uint4* const x = lds.x[from.at];
#pragma unroll
        for (int i = 0; i < loads; ++i) {
            const uint4 v = x[places[i % 2] + i / 2 * (Pass::n * Pass::tokens * 8)];
            right_piece<factor_of_data, Data, RoundAsReference> right;
            right.take(&v);
#pragma unroll
            for (int factor = 0; factor < factors<m>; ++factor)
                add_product(products[factor], weights.at[factor] + i, right.high,
                            static_cast<const factor_of_data*>(nullptr));
            right.add_squares(&v, i, squares);
        }
        if (to.turn > 0) lds.parts_gone[to.at].wait(to.turn - 1);
        share_sums<Pass, is_scaled>(reinterpret_cast<float*>(lds.parts[to.at][wave]), products, squares, weights.scales,
                                    mine);
        wave_sync();
        if (lane == 0) lds.parts_here[to.at].arrive();
        after(j);
    }
}

MHC_DEVICE float4 operator+(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

/// The wave that adds the waves' sums, as tile_results does, and sends them to the tile's owner; after(j) when it has sent
/// the j-th tile's.
template <class Pass, class After>
MHC_DEVICE void send_sums(typename Pass::memory& lds, tiles_of of, int lane, After after)
{
    constexpr int words = Pass::sums / 4;
    ring<2> from;
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

/// The wave that makes z of the tiles that this work-group owns; put(j, token, o, pre[o], post[o]) of each of their tokens.
/// MatrixFirst: who balances matrices is waited for longer than pre.
template <class Pass, bool MatrixFirst = false, class Put>
MHC_DEVICE void make_coefficients(typename Pass::memory& lds, tiles_of of, int lane, affine by, coefficient_constants k,
                                  Put put)
{
    constexpr int words = Pass::sums / 4, n = Pass::n, K = n * Pass::Rows::C;
    static_assert(n == 4, "lanes");
    const int token = lane / 4, o = lane % 4;
    const lane_affine<n> own(by, o);
    if (lane == 0) lds.weights_here.arrive();
    ring<Pass::rooms> room;
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
        const float* const totals = reinterpret_cast<const float*>(lds.totals) + token * Pass::width;
        const float r = inverse_rms<K>(totals[Pass::m], k), of_pre = totals[o] * r, of_post = totals[n + o] * r;
        auto give_logits = [&]() MHC_INLINE {
            if (room.turn > 0) lds.logits_gone[room.at].wait(room.turn - 1);
            float* const entries = lds.matrices[room.at] + token * balance<n>::floats;
#pragma unroll
            for (int b = 0; b < 4; ++b)
                entries[o * 4 + b] = fma(totals[2 * n + o * 4 + b] * r, own.scale_res, own.base_res[b]);
            wave_sync();  // totals are the next tile's
            if (lane == 0) lds.logits_here[room.at].arrive();
        };
        if (MatrixFirst) give_logits();
        const float p = own.pre(of_pre, k);
        const float4 all = {of_lane<4>(p, 0), of_lane<4>(p, 1), of_lane<4>(p, 2), of_lane<4>(p, 3)};
        const int stage = j % Pass::stages;
        send_to_all<Pass>(lds.pre[stage][Pass::token_of(token)], all, lds.pre_here[stage], o);
        if (!MatrixFirst) give_logits();
        room.next();
        put(j, Pass::token_of(token), o, p, own.post(of_post, k));  // who balances goes on meanwhile, and takes longer
    }
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

/// The waves that add the streams, `thread` of 128, and make those of the first tile: those that multiply wait for weights.
template <class Pass, class Streams, class Data>
MHC_DEVICE void add_streams(typename Pass::memory& lds, tiles_of of, int thread, const Streams& streams, Data* layer_input,
                            i64 valid)
{
    using Rows = typename Pass::Rows;
    constexpr int vectors = Pass::slice / 8, items = Pass::tokens * vectors, n = Pass::n;
    if (Pass::is_made && of.count > 0) {
#pragma unroll 1
        for (int token = thread / 32; token < Pass::tokens; token += 4) {
            const int lane = made_anew(thread) % 32;
            const tiles_of anew = {of.first, of.step, of.count, u32(made_anew(int(of.rank)))};
            streams.make(lds, anew, 0, 0, 0, token, lane, streams.weight_of_lane(anew, 0, token, lane));
        }
    }
    ring<Pass::stages> from;
    const int first_channel = int(of.rank) * Pass::slice;
    for (int j = 0; j < of.count; ++j, from.next()) {
        lds.ready(from.at).wait(from.turn);
        lds.pre_here[from.at].wait(from.turn);
        if (thread == 0) lds.pre_here[from.at].expect(Pass::tokens * 16);
        const i64 first = i64(of.first + j * of.step) * Pass::tokens;
        const uint4* const x = lds.x[from.at];
#pragma unroll 2  // all four turns of 448 channels would take registers that these waves have not
        for (int k = 0; k < ceil_div(items, 128); ++k) {
            const bool is_whole = (k + 1) * 128 <= items;  // else the waves have it by turns
            const int e = k * 128 + (is_whole ? thread : (thread + j % 2 * 64) % 128);
            if (!is_whole && e >= items) break;
            const int token = e / vectors, v = e % vectors;
            const float4 pre = lds.pre[from.at][token];
            const float by[4] = {pre.x, pre.y, pre.z, pre.w};
            typename Rows::lanes sums = widen_word(x[Pass::word(0, v, token)], layer_input) * by[0];
#pragma unroll
            for (int i = 1; i < n; ++i)
                sums = fma<8>(splat<8>(by[i]), widen_word(x[Pass::word(i, v, token)], layer_input), sums);
            const int c = first_channel + v * 8;
            if (first + token < valid && (Rows::C % Rows::slice == 0 || c < Rows::C))
                store_once(layer_input + (first + token) * Rows::C + c, sums);
        }
        wave_sync();
        if (thread % 32 == 0) lds.free[from.at].arrive();
    }
}

/// All groups of a launch are there at once, a multiple of the ranks. Registers of a lane: More of the waves that multiply,
/// Fewer of the others.
template <class Pass, class Options, int WeightAlign, int More, int Fewer, class Grid, class Streams, class Data,
          class Matrix>
MHC_DEVICE void one_pass(Grid at, typename Pass::memory& lds, const tensor_map& x, const Streams& streams, Matrix fn,
                         affine by, float* pre, float* post, float* mix, Data* layer_input, i64 valid,
                         coefficient_constants k)
{
    static_assert(Grid::waves == 2 * Pass::waves,
                  "8 waves that multiply, 4 that add streams, and 4 with tasks of their own");
    const int wave = at.wave(), lane = at.lane();
    const tiles_of of = tiles_of_group<Pass>(at, valid);
    constexpr int n = Pass::n;
    const auto token_of = [=](int j, int token) MHC_INLINE { return i64(of.first + j * of.step) * Pass::tokens + token; };
    const auto nothing = [](int) MHC_INLINE {};
    if (at.thread() == 0) make_signals<Pass>(lds);
    barrier();
    cluster_barrier();
    if (wave < Pass::waves) {
        take_registers<More>();
        multiply_tiles<Pass, Data, WeightAlign>(lds, of, wave, lane, streams, fn, nothing);
    } else {
        give_registers<Fewer>();
        switch (wave - Pass::waves) {
            case 4:
                if (lane == 0) fetch_tiles<Pass>(lds, of, x, streams);
                break;
            case 5:
                send_sums<Pass>(lds, of, lane, nothing);
                break;
            case 6:
                make_coefficients<Pass>(lds, of, lane, by, k, [=](int j, int token, int o, float p, float q) MHC_INLINE {
                    const i64 t = token_of(j, token);
                    if (t >= valid) return;
                    pre[t * n + o] = p;
                    post[t * n + o] = q;
                });
                break;
            case 7:
                balance_tiles<Pass, Options>(lds, of, lane, k.sinkhorn_eps, [=](int j, int token, balance<n> s) MHC_INLINE {
                    const i64 t = token_of(j, token);
                    if (t < valid) store_row<n>(s, lane % n, mix + t * (n * n));
                });
                break;
            default:
                add_streams<Pass>(lds, of, at.thread() - Pass::waves * Grid::wave_size, streams, layer_input, valid);
        }
    }
    cluster_barrier();  // nobody sends to a work-group that has ended
}

}  // namespace mhc
