// mhc/device/one_pass.hpp -- pre, post, mix and layer_input of streams that are read from memory once: the numbers that
// project_tiles.hpp, coefficients.hpp and mix.hpp make one after the other.
//
// A work-group of a cluster has a slice of the channels of all streams. Eight of its waves keep the slice's weights in
// registers and multiply tiles of 8 tokens by them. Their sums go to the work-group of the cluster that owns the tile; it
// adds the slices in order, makes coefficients, and sends pre back to all, whose other waves add the streams of the tile,
// which is still in LDS. While that goes round, the next tiles come and are multiplied.
#pragma once

#include <mhc/device/one_pass_coefficients.hpp>
#include <mhc/device/one_pass_products.hpp>

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

/// The lane that fetches tiles. It alone waits for the kernel before: who needs no tile reads parameters alone.
template <class Pass, class Streams>
MHC_DEVICE void fetch_tiles(typename Pass::memory& lds, tiles_of of, const tensor_map& x, const Streams& streams)
{
    wait_for_last_kernel();
    let_next_kernel_start();
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
        for (int box = 0; box < Pass::boxes; ++box)
            copy_box(lds.x[to.at] + box * Pass::box, x, int(of.rank) * Pass::slice + box * 8 * Pass::each, t,
                     lds.full[to.at]);
        streams.bring(lds, of, j, lds.full[to.at]);
        if (Pass::ahead > 0 && j + Pass::ahead >= Pass::stages && j + Pass::ahead < of.count) {
#pragma unroll
            for (int box = 0; box < Pass::boxes; ++box)
                prefetch_box(x, int(of.rank) * Pass::slice + box * 8 * Pass::each, t + Pass::ahead * of.step * Pass::tokens);
        }
    }
}

/// pre [T, n] that streams are added by: the waves that add them bring that of the next tile while they have one.
struct given_pre {
    const float* at;
    i64 token;
    template <class Pass>
    MHC_MEMBER float of_lane(tiles_of of, int j, int thread, i64 valid) const
    {
        const i64 own = of.first_token<Pass>(j) + thread / Pass::n;
        return load_fresh(at + (own < valid ? own : 0) * token + thread % Pass::n);
    }
};

/// The waves that add the streams, `thread` of 128, and make those of the first tile: those that multiply wait for weights.
template <class Pass, class Streams, class Data>
MHC_DEVICE void add_streams(typename Pass::memory& lds, tiles_of of, int thread, const Streams& streams, given_pre given,
                            Data* layer_input, i64 valid)
{
    using Rows = typename Pass::Rows;
    constexpr int words = Pass::words, items = Pass::tokens * words, n = Pass::n, W = Rows::W;
    if (Pass::is_made && of.count > 0) {
        wait_for_last_kernel();  // for post and mix
#pragma unroll 1
        for (int token = thread / 32; token < Pass::tokens; token += 4) {
            const int lane = made_anew(thread) % 32;
            const tiles_of anew = {of.first, of.step, of.count, u32(made_anew(int(of.rank)))};
            streams.make(lds, anew, 0, 0, 0, token, lane, streams.weight_of_lane(anew, 0, token, lane));
        }
    }
    ring<Pass::stages> from;
    const int first_channel = int(of.rank) * Pass::slice;
    constexpr int numbers = Pass::tokens * n;
    float coming = 0.0f;
    if (Pass::has_given_pre && of.count > 0 && thread < numbers) {
        wait_for_last_kernel();
        coming = given.of_lane<Pass>(of, 0, thread, valid);
    }
    for (int j = 0; j < of.count; ++j, from.next()) {
        lds.ready(from.at).wait(from.turn);
        lds.pre_here[from.at].wait(from.turn);  // its sums are used then, also where another pre is given
        if (thread == 0) lds.pre_here[from.at].expect(Pass::tokens * 16);
        if (Pass::has_given_pre) {
            if (thread < numbers) {
                reinterpret_cast<float*>(lds.pre[from.at])[thread] = coming;
                if (j + 1 < of.count) coming = given.of_lane<Pass>(of, j + 1, thread, valid);
            }
            meeting<1, 128>{}.meet();
        }
        const i64 first = of.first_token<Pass>(j);
        const uint4* const x = lds.x[from.at];
#pragma unroll 2  // all four turns of 448 channels would take registers that these waves have not
        for (int k = 0; k < ceil_div(items, 128); ++k) {
            const bool is_whole = (k + 1) * 128 <= items;  // else the waves have it by turns
            const int e = k * 128 + (is_whole ? thread : (thread + j % 2 * 64) % 128);
            if (!is_whole && e >= items) break;
            const int token = e / words, v = e % words;
            const float4 pre = lds.pre[from.at][token];
            const float by[4] = {pre.x, pre.y, pre.z, pre.w};
            typename Rows::lanes sums = widen_word(x[Pass::word(0, v, token)], layer_input) * by[0];
#pragma unroll
            for (int i = 1; i < n; ++i)
                sums = fma<W>(splat<W>(by[i]), widen_word(x[Pass::word(i, v, token)], layer_input), sums);
            const int c = first_channel + v * W;
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
                         coefficient_constants k, given_pre given = {})
{
    static_assert(Grid::waves == 2 * Pass::waves,
                  "8 waves that multiply, 4 that add streams, and 4 with tasks of their own");
    const int wave = at.wave(), lane = at.lane();
    const tiles_of of = tiles_of_group<Pass>(at, valid);
    constexpr int n = Pass::n;
    const auto token_of = [=](int j, int token) MHC_INLINE { return of.first_token<Pass>(j) + token; };
    const auto nothing = [](int) MHC_INLINE {};
    if (wave < Pass::waves) {
        tell_cluster();
        take_registers<More>();
        multiply_tiles<Pass, Data, WeightAlign>(lds, of, wave, lane, streams, fn, nothing);
    } else {
        give_registers<Fewer>();
        begin_with_signals<Pass>(at, [&]() MHC_INLINE { make_signals<Pass>(lds); });
        switch (wave - Pass::waves) {
            case 4:
                if (lane == 0) fetch_tiles<Pass>(lds, of, x, streams);
                break;
            case 5:
                wait_for_cluster();
                send_sums<Pass>(lds, of, lane, nothing);
                return;
            case 6:
                wait_for_cluster();
                if constexpr (Pass::has_matrix)
                    make_coefficients<Pass>(lds, of, lane, by, k, [=](int j, int token, int o, float p, float q) MHC_INLINE {
                        const i64 t = token_of(j, token);
                        if (t >= valid) return;
                        pre[t * n + o] = p;
                        post[t * n + o] = q;
                    });
                else
                    make_head_pre<Pass>(lds, of, lane, by, k);
                return;
            case 7:
                if constexpr (Pass::has_matrix)
                    balance_tiles<Pass, Options>(lds, of, lane, k.sinkhorn_eps,
                                                 [=](int j, int token, balance<n> s) MHC_INLINE {
                                                     const i64 t = token_of(j, token);
                                                     if (t < valid) store_row<n>(s, lane % n, mix + t * (n * n));
                                                 });
                break;
            default:
                add_streams<Pass>(lds, of, at.thread() - Pass::waves * Grid::wave_size, streams, given, layer_input, valid);
        }
    }
    // Nobody sends to a work-group that has ended: whatever is sent somebody waits for.
    wait_for_cluster();
}

}  // namespace mhc
