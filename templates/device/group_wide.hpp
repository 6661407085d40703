// mhc/device/group_wide.hpp -- the projection on many rows of fn, of bf16, by products that four waves make together: the
// sums of project.hpp, in an order that is a function of n and C.
//
// fn is arranged first: split into two bf16 each, in the order that products take, of each 64 channels of a stream. A
// work-group has some tokens, 64 to each four waves, some rows of fn, and a slice of the channels of all streams. It walks
// over the slice, 64 channels of a stream at a time: lanes have their own tokens' channels, which are left factors as they
// come, and one lane more asks the copy engine for right ones. A slice has four pieces, each of which is one chain of
// products, and its sum is the first one's, then the second one's, and so on: the same four waves make them one after the
// other, or, where tokens are few, others side by side.
#pragma once

#include <mhc/device/wide_factors.hpp>
#include <mhc/device/wide_lines.hpp>

namespace mhc {

/// Places in LDS are in words of 16 bytes. Tile: rows of fn that a work-group has; Groups: of four waves, 64 tokens each, in
/// each of Parts that share the pieces of a slice; Ranks: work-groups of a cluster, which share factors; Held: octets of
/// rows whose sums of pieces lanes keep in registers, not in LDS.
template <class Factors_, int Tile, int Groups, int Parts, int Ranks, int Stages, int Buffers, int Held>
struct wide_group {
    using Factors = Factors_;
    using Rows = typename Factors::Rows;
    using unit = group_matrix;
    static constexpr int n = Factors::n, slices = Factors::slices, step = Factors::step, loads = Factors::loads;
    static constexpr int tile = Tile, tile_octets = Tile / 8, blocks = ceil_div(Factors::octets, tile_octets);
    static constexpr int parts = Parts, pieces = 4, pieces_each = pieces / parts, ranks = Ranks;
    static constexpr int tokens = Groups * unit::rows, part_lanes = Groups * unit::waves * 32, adders = parts * part_lanes;
    /// A wave for each part's factors; or four, where lanes that add take their registers.
    static constexpr bool moves_registers = Groups * Parts == 4;
    static constexpr int block = adders + (moves_registers ? 128 : parts * 32);
    static constexpr int words = loads * 2;  ///< of a lane that adds, in a step: of two tokens
    static constexpr int held = Held;
    static_assert(Held == 0 || Parts == 1, "parts read each other's in LDS");
    static constexpr int stages = Stages, buffers = Buffers, factor_words = tile_octets * Factors::octet_words;
    static constexpr int factors = stages * words * adders, signals = factors + parts * buffers * factor_words,
                         chain = signals + parts * buffers, kept = chain + ceil_div(parts, 2),
                         room = kept + (tile_octets - held) * adders + adders / 8;
    static MHC_MEMBER int factors_of(int part) { return factors + part * (buffers * factor_words); }
};

/// The task of one lane of a part.
template <class Pass>
MHC_DEVICE void bring_factors(uint4* lds, const float* arranged, group_walk<Pass> walk)
{
    using Factors = typename Pass::Factors;
    const factor_signals<Pass> told(lds, walk.part);
    wait_for_last_kernel();
    let_next_kernel_start();  // not earlier: what is ahead of this kernel has ended then
    const uint4* const from = reinterpret_cast<const uint4*>(arranged);
    uint4* const to = lds + Pass::factors_of(walk.part);
    walk.find_step();
    for (ring<Pass::buffers> buffer; walk.is_there(); walk.advance(), buffer.next()) {
        if (buffer.turn > 0) told.used(buffer.at).wait(buffer.turn - 1);
        const int octet = walk.first_row / 8,
                  words = smaller(Pass::tile_octets, Factors::octets - octet) * Factors::octet_words;
        told.come(buffer.at).expect(u32(words) * 16);
        copy_words_to_all<Pass::ranks>(to + buffer.at * Pass::factor_words,
                                       from + Factors::words_at(walk.slice, walk.stream, walk.channel, octet), words,
                                       told.come(buffer.at));
    }
}

/// A lane's sums of two tokens; of the first Held octets of rows those of the pieces before this one, too.
template <int Tile, int Held>
struct wide_group_sums {
    group_sums<Tile> products;
    float squares[2];
    float4 held[Held > 0 ? Held : 1];

    MHC_MEMBER void begin_piece()
    {
        products = {};
        squares[0] = squares[1] = 0.0f;
    }

    template <class Pass, bool HasLow>
    MHC_MEMBER void multiply(const uint4 (&x)[Pass::loads][2], int factors)
    {
#pragma unroll
        for (int at_load = 0; at_load < Pass::loads; ++at_load) {
            const uint4 a = x[at_load][0], b = x[at_load][1];
            const group_left left[2] = {{{a.x, b.x, a.y, b.y}}, {{a.z, b.z, a.w, b.w}}};
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                using order = typename Pass::Factors;
#pragma unroll
                for (int part = 0; part < (HasLow ? 2 : 1); ++part)
                    add_products(products, left[k],
                                 factor_by_octets(factors + order::factor_at(at_load, k, part), order::octet_words));
            }
        }
    }
    template <class Pass>
    MHC_MEMBER void add_all_squares(const uint4 (&x)[Pass::loads][2])
    {
#pragma unroll
        for (int at_load = 0; at_load < Pass::loads; ++at_load) {
#pragma unroll
            for (int word = 0; word < 4; ++word) {
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    squares[half] = add_squares(squares[half], word_of(x[at_load][half], word));
            }
        }
    }
    /// At a piece's end.
    MHC_MEMBER void sum_squares()
    {
#pragma unroll
        for (int half = 0; half < 2; ++half) squares[half] = quad_sum(squares[half]);
    }
    template <class Pass>
    MHC_MEMBER void keep(const kept_sums<Pass>& kept)
    {
#pragma unroll
        for (int block = 0; block < Tile / 8; ++block) {
            const float4 v = {products.at[block * 4], products.at[block * 4 + 1], products.at[block * 4 + 2],
                              products.at[block * 4 + 3]};
            if (block < Held)
                held[block] = v;
            else
                kept.word(block - Held, 0) = v;
        }
        kept.squares(0) = {squares[0], squares[1]};
    }
    /// What this part has kept, Before what the part before has, and then these.
    template <bool Before, bool Own, class Pass>
    MHC_MEMBER void add_to_kept(const kept_sums<Pass>& kept)
    {
#pragma unroll
        for (int block = 0; block < Tile / 8; ++block) {
            float4 v = block < Held ? held[block] : kept.word(block - Held, Before);
            if (Before && Own) {
                const float4 own = kept.word(block - Held, 0);
                v = {v.x + own.x, v.y + own.y, v.z + own.z, v.w + own.w};
            }
            const float first[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int k = 0; k < 4; ++k) products.at[block * 4 + k] = first[k] + products.at[block * 4 + k];
        }
        float2 v = kept.squares(Before);
        if (Before && Own) v = {v.x + kept.squares(0).x, v.y + kept.squares(0).y};
        squares[0] = v.x + squares[0];
        squares[1] = v.y + squares[1];
    }
    /// This part's piece number k, made now, to the sums before it in order.
    template <class Pass>
    MHC_MEMBER void follow(int k, kept_sums<Pass> kept)
    {
        kept.thread = made_anew(kept.thread);  // its places are not kept beside products
        if (Pass::parts > 1 && kept.part > 0 && k + 1 == Pass::pieces_each) {
            kept.wait_for_part_before();
            add_to_kept<true, (Pass::pieces_each > 1)>(kept);
        } else if (k > 0) {
            add_to_kept<false, true>(kept);
        }
        if (k == 0) kept.wait_to_write();
        wave_sync();  // four lanes have read the squares that each of them writes
        if (kept.part + 1 < Pass::parts || k + 1 < Pass::pieces_each) keep(kept);
    }
    /// Together: numbers that are stored as one. Four lanes have eight that follow each other, and whole sectors of 32 bytes
    /// take a cache half the requests of two parts.
    template <int Together>
    MHC_MEMBER void store_rows(float* to, int first, int fn_rows, int half) const
    {
#pragma unroll
        for (int block = 0; block < Tile / 8; ++block) {
#pragma unroll
            for (int e = 0; e < 2; e += Together) {
                const int row = first + block * 8 + e;
                vec<float, Together> sums = splat<Together>(0.0f);
#pragma unroll
                for (int k = 0; k < Together; ++k) sums[k] = products.at[group_matrix::place(block, half, e + k)];
                if (row < fn_rows) mhc::store<Together, 4 * Together>(to + row, sums);
            }
        }
    }
    /// Squares are the first rows' to store.
    template <class Pass>
    MHC_MEMBER void store(const group_walk<Pass>& of, float* proj, float* sqsum, i64 own, int lane, i64 tokens,
                          i64 valid) const
    {
        lane = made_anew(lane);  // places of so many sums are not kept beside them
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = of.first() + own + half * 8, place = of.slice * tokens + t;
            if (t >= valid) continue;
            float* const row = proj + place * of.fn_rows;
            const int first = of.first_row + group_matrix::column(lane);
            if (of.fn_rows % 2 == 0)
                store_rows<2>(row, first, of.fn_rows, half);
            else
                store_rows<1>(row, first, of.fn_rows, half);
            if (of.first_row == 0 && lane % 4 == 0) sqsum[place] = squares[half];
        }
    }
};

/// Where a wave that adds is in the rings of streams and of factors, and what it needs there.
template <class Pass, bool HasLow, class Data>
struct wide_steps {
    wide_lines<Pass, Data> lines;
    factor_signals<Pass> told;
    int factors, lane, stage = 0;
    ring<Pass::buffers> buffer;

    /// The products of a piece of `count` steps.
    MHC_MEMBER void add_piece(wide_group_sums<Pass::tile, Pass::held>& sums, int count, bool has_squares)
    {
#pragma unroll 1
        for (; count > 0; --count) {
            uint4 x[Pass::loads][2];
            lines.take(stage, x);
            told.come(buffer.at).wait(buffer.turn);
            begin_products();
            sums.template multiply<Pass, HasLow>(x, factors + buffer.at * Pass::factor_words);
            end_products();
            wave_sync();
            lines.ask(stage);
            if (has_squares) sums.template add_all_squares<Pass>(x);
            products_but<0>();
            made(sums.products);
            told.tell_used(buffer.at, lane);
            buffer.next();
            stage = stage + 1 == Pass::stages ? 0 : stage + 1;
        }
    }
};

/// The task of the waves that add; `thread` is counted among them.
template <class Pass, bool HasLow, class Data>
MHC_DEVICE void add_all_products(uint4* lds, const Data* x, float* proj, float* sqsum, group_walk<Pass> walk, int thread,
                                 int wave, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    using unit = group_matrix;
    const int lane = thread % 32, first = wave % (Pass::part_lanes / 32) * 16;
    kept_sums<Pass> kept = {lds, walk.part, thread};
    wide_steps<Pass, HasLow, Data> steps = {
        {lds + wave * (Pass::words * 32), x, x_token, x_stream, valid, walk, lane, first},
        {lds, walk.part},
        lds_word_of_group(lds + Pass::factors_of(walk.part)),
        lane};
    steps.lines.begin();
    MHC_SHORT_LOOP
    for (int stage = 0; stage < Pass::stages; ++stage) steps.lines.ask(stage);
    for (; walk.is_there(); walk.next_item()) {
        wide_group_sums<Pass::tile, Pass::held> sums;
        const int piece = walk.part * Pass::pieces_each;
#pragma unroll 1
        for (int k = 0; k < Pass::pieces_each; ++k) {
            sums.begin_piece();
            steps.add_piece(sums, walk.place_of(piece + k + 1) - walk.place_of(piece + k),
                            Pass::blocks == 1 || walk.first_row == 0);
            sums.sum_squares();
            sums.follow(k, kept);
        }
        kept.tell();
        if (walk.part + 1 == Pass::parts) sums.store(walk, proj, sqsum, first + unit::row(0, lane, 0), lane, tokens, valid);
    }
    copies_but<0>();
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp, of each slice s. Of all `tokens` the first `valid` are read and written.
/// The kernel before, which arranges fn and does not write x, may still run.
template <class Pass, bool HasLow, class Grid, class Data>
MHC_DEVICE void project_groups(Grid at, uint4* lds, const Data* x, const float* arranged, float* proj, float* sqsum,
                               int fn_rows, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    static_assert(Grid::block == Pass::block, "as many lanes as have tasks");
    const int thread = at.thread(), wave = at.wave();
    if (thread == 0) {
        for (int part = 0; part < Pass::parts; ++part) factor_signals<Pass>(lds, part).make();
        kept_sums<Pass>{lds, 0, 0}.make();
        show_signals();
    }
    if constexpr (Pass::ranks == 1) {
        barrier();
    } else {
        tell_cluster();
        wait_for_cluster();
    }
    constexpr int waves = Pass::adders / 32, waves_of_part = Pass::part_lanes / 32;
    const int own = wave < waves ? wave / waves_of_part : wave - waves, part = Pass::parts == 1 ? 0 : own;
    if (wave < waves) {
        if constexpr (Pass::moves_registers) take_registers<112>();
        const group_walk<Pass> walk(at.group, at.groups, part, valid, fn_rows);
        add_all_products<Pass, HasLow>(lds, x, proj, sqsum, walk, thread, wave, tokens, valid, x_token, x_stream);
    } else {
        if constexpr (Pass::moves_registers) give_registers<32>();
        const group_walk<Pass> walk(at.group, at.groups, part, valid, fn_rows);
        if (own < Pass::parts && thread % 32 == 0) bring_factors(lds, arranged, walk);
    }
    if constexpr (Pass::ranks > 1) {  // none ends while others tell it what they used
        wave_sync();
        tell_cluster();
        wait_for_cluster();
    }
}

}  // namespace mhc
