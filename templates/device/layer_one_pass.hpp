// mhc/device/layer_one_pass.hpp -- mHC.cu's layer of streams that are read from memory once: the numbers that
// project_tiles.hpp and dynamic_layer_ahead.hpp make one after the other.
//
// As in one_pass.hpp a cluster's work-groups have a slice of the channels each, multiply tiles of 8 tokens, and make the
// coefficients of those that they own. A few tiles later the waves that multiply add a tile's streams, and its squares go
// to all work-groups; four waves make what is stored when the tile's matrices are balanced. So long it stays in LDS.
#pragma once

#include <mhc/device/norm.hpp>
#include <mhc/device/one_pass.hpp>

namespace mhc {

/// Sizes, and what LDS holds of a tile besides.
template <class Rows_, int n_, int Stages_, int InLds>
struct layer_pass : pass<Rows_, n_, Stages_, InLds> {
    using base = pass<Rows_, n_, Stages_, InLds>;
    using base::each;
    using base::n;
    using base::ranks;
    using base::slice;
    using base::stages;
    using base::tokens;
    /// Parts of the norm's sum, of 64 channels each, and boxes of one.
    static constexpr int pieces_each = slice / 64, boxes_of_piece = 8 / each;
    /// Tiles that come and are multiplied while pre of one is made. Where LDS has few, each that one waits for keeps the
    /// next from being fetched.
    static constexpr int lag = stages < 6 ? 1 : base::tile > 1536 ? 2 : 3;
    /// Tiles that are multiplied before the sums of one's squares are added: those of all ranks are here then.
    static constexpr int scale_lag = 2 * lag - 1;
    static_assert(scale_lag + 1 <= stages, "there is room for as many tiles");
    static constexpr int ahead = 3;
    /// A tile in LDS waits for its matrices, which do not wait for another's.
    static constexpr int together = 1, rooms = 2;
    static constexpr int bytes_of_squares = ranks * tokens * 4, bytes_of_mix = tokens * (n + 1) * 16;

    struct memory : base::memory {
        float4 weight[slice / 4];  ///< of the norm: in two halves where a lane reads 8
        float4 post[stages][tokens];
        float4 mix[stages][tokens][n];  ///< the weights of each output stream
        float pieces[stages][pieces_each][tokens];
        float squares[stages][ranks][tokens];
        float scale[stages][tokens];
        signal pieces_here[stages], squares_here[stages], mix_here[stages];
    };
};

template <class Pass>
MHC_DEVICE void make_layer_signals(typename Pass::memory& lds)
{
    for (int s = 0; s < Pass::stages; ++s) {
        lds.pieces_here[s].make(Pass::waves);
        lds.squares_here[s].make(1);
        lds.squares_here[s].expect(Pass::bytes_of_squares);
        lds.mix_here[s].make(2);
        lds.mix_here[s].expect(Pass::bytes_of_mix);
    }
    make_signals<Pass>(lds);
}

/// Where W channels of a token are in a tile as it is stored, in parts of W channels: those of the first 64 channels, from
/// the at-th of these parts on, of the first stream. Further 64 channels and streams follow in steps.
template <class Pass, int W>
struct part_of_tile {
    static constexpr int parts = Pass::each / W, stream = Pass::tokens * 8 * parts,
                         piece = Pass::boxes_of_piece * Pass::n * stream;
    static constexpr MHC_MEMBER int place(int at, int token)
    {
        return Pass::word(0, at / parts, token) * parts + at % parts;
    }
};

template <class Pass, class Data, int W>
MHC_DEVICE void take_streams(vec<float, W> (&to)[Pass::n], const uint4* tile, int place, const Data* type)
{
    using part = typename word<W* int(sizeof(Data))>::type;
#pragma unroll
    for (int i = 0; i < Pass::n; ++i)
        to[i] = widen_word(reinterpret_cast<const part*>(tile)[place + i * part_of_tile<Pass, W>::stream], type);
}

/// sum_i pre[i] * x_i
template <bool RoundAsReference, int n, int W>
MHC_DEVICE vec<float, W> sum_of_streams(const vec<float, W> (&x)[n], float4 pre)
{
    const float by[4] = {pre.x, pre.y, pre.z, pre.w};
    vec<float, W> sums = x[0] * by[0];
#pragma unroll
    for (int i = 1; i < n; ++i) sums = fma<W>(splat<W>(by[i]), x[i], sums);
    return RoundAsReference ? rounded_to<bf16, W>(sums) : sums;
}

/// Adds the streams of a tile, by the waves that multiply: 8 lanes, or 16 of fp32, have the 64 channels of a token whose
/// squares are a piece of the norm's sum.
template <class Pass, bool RoundAsReference, class Data>
MHC_DEVICE void add_pieces(typename Pass::memory& lds, int j, int wave, int lane, const Data* type)
{
    constexpr int W = Pass::each, lanes = 64 / W, of_wave = 32 / lanes;  // a wave's tokens
    constexpr int items = Pass::tokens * Pass::pieces_each, groups = Pass::waves * of_wave, rest = items % groups / of_wave;
    const int stage = j % Pass::stages;
    lds.pre_here[stage].wait(u32(j / Pass::stages));
    if (wave == 0 && lane == 0) lds.pre_here[stage].expect(Pass::tokens * 16);
#pragma unroll
    for (int k = 0; k < ceil_div(items, groups); ++k) {
        const bool is_whole = (k + 1) * groups <= items;  // else the waves have it by turns
        const int first = k * groups + (is_whole ? wave : (wave + j * rest) % Pass::waves) * of_wave;
        if (!is_whole && first >= items) break;
        const int token = (first + lane / lanes) % Pass::tokens, piece = (first + lane / lanes) / Pass::tokens;
        using part = part_of_tile<Pass, W>;
        vec<float, W> x[Pass::n];
        take_streams<Pass>(x, lds.x[stage], part::place(lane % lanes, token) + piece * part::piece, type);
        const vec<float, W> a = sum_of_streams<RoundAsReference>(x, lds.pre[stage][token]);
        const float squares = wave_sum<lanes>(sum<W>(a * a));
        if (lane % lanes == 0) lds.pieces[stage][piece][token] = squares;
    }
    wave_sync();
    if (lane == 0) lds.pieces_here[stage].arrive();
}

/// The squares of this work-group's slice, to all: a lane has those of four tokens for one of them.
template <class Pass>
MHC_DEVICE void send_squares(typename Pass::memory& lds, int j, u32 own_rank, int lane)
{
    const int stage = j % Pass::stages, half = lane % 2, rank = lane / 2;
    lds.pieces_here[stage].wait(u32(j / Pass::stages));
    const float4* const from = reinterpret_cast<const float4*>(lds.pieces[stage]) + half;
    float4 total = from[0];
#pragma unroll
    for (int b = 1; b < Pass::pieces_each; ++b) total = total + from[b * 2];
    if (rank < Pass::ranks)
        send(lds_of_rank(lds_address(lds.squares[stage][own_rank] + half * 4), u32(rank)), total,
             lds_of_rank(lds_address(&lds.squares_here[stage]), u32(rank)));
}

/// post of a tile's token to all, from the lanes that have a stream's each.
template <class Pass>
MHC_DEVICE void send_post(typename Pass::memory& lds, int j, int token, int o, float q)
{
    const int stage = j % Pass::stages;
    const float4 all = {of_lane<4>(q, 0), of_lane<4>(q, 1), of_lane<4>(q, 2), of_lane<4>(q, 3)};
    send_to_all<Pass>(lds.post[stage][token], all, lds.mix_here[stage], o);
}

/// The weights of output stream o, to all.
template <class Pass, layout L>
MHC_DEVICE void send_weights(typename Pass::memory& lds, int j, int token, int o, balance<Pass::n> s)
{
    constexpr int n = Pass::n;
    const int stage = j % Pass::stages;
    o = made_anew(o);  // what follows from it is not kept while matrices are balanced
    token = made_anew(token);
    float v[n];
#pragma unroll
    for (int k = 0; k < n; ++k) {
        const int a = L == layout::out_in ? o : k, b = L == layout::out_in ? k : o;
        v[k] = s.entry(axis::row, a, b) * s.factor(axis::row, a) * s.factor(axis::col, b);
    }
    const u32 to = lds_address(&lds.mix[stage][token][o]), told = lds_address(&lds.mix_here[stage]);
#pragma unroll
    for (int rank = 0; rank < Pass::ranks; ++rank)
        send(lds_of_rank(to, u32(rank)), {v[0], v[1], v[2], v[3]}, lds_of_rank(told, u32(rank)));
}

/// 1 / sqrt(mean(a^2) + eps) of a tile's tokens, of which each has four lanes: as sum_of_ranks adds it.
template <class Pass>
MHC_DEVICE void make_scales(typename Pass::memory& lds, int j, int lane, float eps)
{
    const int stage = j % Pass::stages, token = lane / 4, first = lane % 4 * 4;
    lds.squares_here[stage].wait(u32(j / Pass::stages));
    if (lane == 0) lds.squares_here[stage].expect(Pass::bytes_of_squares);
    float v[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) v[r] = first + r < Pass::ranks ? lds.squares[stage][first + r][token] : 0.0f;
    const float total = wave_sum<4>((v[0] + v[1]) + (v[2] + v[3]));
    if (lane % 4 == 0) lds.scale[stage][token] = 1.0f / square_root(total * (1.0f / Pass::Rows::C) + eps);
    wave_sync();
    if (lane == 0) lds.mix_here[stage].arrive();
}

/// Brings the norm's weights of the slice, by 128 lanes: from global memory they would be read again for each tile.
template <class Pass, int W, int WeightAlign, class Weight>
MHC_DEVICE void bring_weights(typename Pass::memory& lds, u32 rank, int thread, const Weight* weight)
{
    using Rows = typename Pass::Rows;
    constexpr int each = Pass::each, vectors = Pass::words;
    const int c = (int(rank) * vectors + thread) * each;
    if (thread < vectors) {
        vec<float, each> v = splat<each>(0.0f);
        if (Rows::C % Rows::slice == 0 || c < Rows::C) v = Rows::template load<WeightAlign>(weight, c);
        lds.weight[W == 8 ? thread : each / 4 * thread] = {v[0], v[1], v[2], v[3]};
        if constexpr (each == 8) lds.weight[W == 8 ? vectors + thread : 2 * thread + 1] = {v[4], v[5], v[6], v[7]};
    }
    meeting<1, 128>{}.meet();
}

/// Of W channels, the `at`-th of the slice's.
template <class Pass, int W>
MHC_DEVICE vec<float, W> weights_at(const typename Pass::memory& lds, int at)
{
    const float4 first = lds.weight[at], second = lds.weight[W == 8 ? Pass::slice / 8 + at : at];
    const float all[8] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
    vec<float, W> v;
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = all[i];
    return v;
}

/// out of W channels of a token, which are at `place` of the tile and the `at`-th of the slice's.
template <class Pass, int W, bool RoundAsReference, class Data>
MHC_DEVICE void finish_vector(const typename Pass::memory& lds, int stage, int token, int place, int at, float scale,
                              Data* to, i64 out_stream)
{
    constexpr int n = Pass::n;
    vec<float, W> x[n];
    take_streams<Pass>(x, lds.x[stage], place, to);
    vec<float, W> y = sum_of_streams<RoundAsReference>(x, lds.pre[stage][token]) * scale * weights_at<Pass, W>(lds, at);
    if (RoundAsReference) y = rounded_to<bf16, W>(y);
    const float4 post = lds.post[stage][token];
    const float q[4] = {post.x, post.y, post.z, post.w};
    float4 row = lds.mix[stage][token][0];
#pragma unroll
    for (int i = 0; i < n; ++i) {
        const float weights[4] = {row.x, row.y, row.z, row.w};
        if (i + 1 < n) row = lds.mix[stage][token][i + 1];  // no load is moved in front of a store
        vec<float, W> sum = y * q[i];
#pragma unroll
        for (int j = 0; j < n; ++j) sum = fma<W>(splat<W>(weights[j]), x[j], sum);
        store<W, 16>(to + i * out_stream, sum);
    }
}

/// The waves that make what is stored, `thread` of 128: 64 / W lanes have a token's 64 channels. Who has the scale and the
/// matrices has the tile and its pre too.
template <class Pass, int W, bool RoundAsReference, int WeightAlign, class Data, class Weight>
MHC_DEVICE void finish_tiles(typename Pass::memory& lds, tiles_of of, int thread, const Weight* weight, Data* out, i64 valid,
                             i64 out_token, i64 out_stream)
{
    using Rows = typename Pass::Rows;
    constexpr int lanes = 64 / W, together = 128 / (lanes * Pass::tokens), pieces = Pass::pieces_each;
    const int token = thread / lanes % Pass::tokens, own = thread / (lanes * Pass::tokens);
    const int first_channel = int(of.rank) * Pass::slice + thread % lanes * W;
    const int own_pieces = Rows::C % Rows::slice == 0 ? pieces : smaller(pieces, (Rows::C - first_channel + 63) / 64);
    Data* const own_row = out + token * out_token + first_channel;
    bring_weights<Pass, W, WeightAlign>(lds, of.rank, thread, weight);
    ring<Pass::stages> at;
    for (int j = 0; j < of.count; ++j, at.next()) {
        lds.mix_here[at.at].wait(at.turn);
        if (thread == 0) lds.mix_here[at.at].expect(Pass::bytes_of_mix);
        const float scale = lds.scale[at.at][token];
        const i64 first = of.first_token<Pass>(j);
        const int end = token < valid - first ? own_pieces : 0;
        Data* const row = own_row + first * out_token;
        const int place = part_of_tile<Pass, W>::place(made_anew(thread) % lanes, token);  // not kept all the time
        MHC_SHORT_LOOP
        for (int piece = pieces % together == 0 ? own : (own + j) % together; piece < end; piece += together) {
            const int b = made_anew(piece);  // no places in registers that a turn would only add to
            finish_vector<Pass, W, RoundAsReference>(lds, at.at, token, place + b * part_of_tile<Pass, W>::piece,
                                                     b * lanes + thread % lanes, scale, row + b * 64, out_stream);
        }
        wave_sync();
        if (thread % 32 == 0) lds.free[at.at].arrive();
    }
}

/// As one_pass.
template <class Pass, class Options, layout L, bool RoundAsReference, int WeightAlign, int More, int Fewer, class Grid,
          class Matrix, class Weight, class Data>
MHC_DEVICE void layer_one_pass(Grid at, uint4* room, const tensor_map& x, Matrix fn, affine by, const Weight* weight,
                               Data* out, i64 valid, i64 out_token, i64 out_stream, coefficient_constants k, float norm_eps)
{
    typename Pass::memory& lds = *reinterpret_cast<typename Pass::memory*>(room);
    constexpr int lag = Pass::lag, n = Pass::n;
    const int wave = at.wave(), lane = at.lane();
    const tiles_of of = tiles_of_group<Pass>(at, valid);
    if (wave < Pass::waves) {
        tell_cluster();
        take_registers<More>();
        auto add = [&](int j)
                       MHC_INLINE { add_pieces<Pass, RoundAsReference>(lds, j, made_anew(wave), made_anew(lane), out); };
        multiply_tiles<Pass, Data, WeightAlign, RoundAsReference>(lds, of, wave, lane, streams_as_fetched{}, fn,
                                                                  [&](int j) MHC_INLINE {
                                                                      if (j >= lag) add(j - lag);
                                                                  });
        MHC_SHORT_LOOP
        for (int j = of.count > lag ? of.count - lag : 0; j < of.count; ++j) add(j);
    } else {
        give_registers<Fewer>();
        begin_with_signals<Pass>(at, [&]() MHC_INLINE { make_layer_signals<Pass>(lds); });
        auto go_on = [&](int j) MHC_INLINE {
            if (j >= lag && j - lag < of.count) send_squares<Pass>(lds, j - lag, of.rank, lane);
            if (j >= Pass::scale_lag) make_scales<Pass>(lds, j - Pass::scale_lag, lane, norm_eps);
        };
        switch (wave - Pass::waves) {
            case 4:
                if (lane == 0) fetch_tiles<Pass>(lds, of, x, streams_as_fetched{});
                break;
            case 5:
                wait_for_cluster();
                send_sums<Pass>(lds, of, lane, go_on);
                MHC_SHORT_LOOP
                for (int j = of.count; j < of.count + Pass::scale_lag; ++j) go_on(j);
                return;
            case 6:
                wait_for_cluster();
                make_coefficients<Pass>(lds, of, lane, by, k, [&](int j, int token, int o, float, float q) MHC_INLINE {
                    send_post<Pass>(lds, j, token, o, q);
                });
                return;
            case 7:
                wait_for_cluster();
                balance_tiles<Pass, Options>(lds, of, lane, k.sinkhorn_eps, [&](int j, int token, balance<n> s) MHC_INLINE {
                    send_weights<Pass, L>(lds, j, token, lane % n, s);
                });
                return;
            default:
                // Six registers for a channel, besides coefficients and places.
                finish_tiles<Pass, (Fewer < 80 ? 4 : Pass::each), RoundAsReference, WeightAlign>(
                    lds, of, at.thread() - Pass::waves * Grid::wave_size, weight, out, valid, out_token, out_stream);
        }
    }
    wait_for_cluster();  // as one_pass ends
}

}  // namespace mhc
