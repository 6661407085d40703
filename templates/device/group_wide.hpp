// mhc/device/group_wide.hpp -- the projection on many rows of fn, of bf16, by products that four waves make together: the
// sums of project.hpp, in an order that is a function of n and C.
//
// fn is arranged first: split into two bf16 each, in the order that products take, of each 64 channels of a stream. A
// work-group has some tokens, 64 to each four waves, some rows of fn, and a slice of the channels of all streams. It walks
// over the slice, 64 channels of a stream at a time: lanes have their own tokens' channels, which are left factors as they
// come, and one lane more asks the copy engine for right ones. A sum is one chain of products over the slice.
#pragma once

#include <mhc/device/group_walk.hpp>
#include <mhc/device/matrix_data.hpp>
#include <mhc/device/project.hpp>

namespace mhc {

/// fn as arrange_wide leaves it, of RowsMax rows. A word is 8 channels of a row, those that a product takes together: a lane
/// has 8 channels that follow each other, of which a product takes two here and two there.
template <class Rows_, int n_, int RowsMax>
struct wide_factors {
    using Rows = Rows_;
    static constexpr int n = n_, slices = Rows::slices, octets = ceil_div(RowsMax, 8);
    static constexpr int step = 64, load = 32, loads = step / load, steps = Rows::slice / step;
    static constexpr int octet_words = step / 8 * 2 * 8, step_words = octets * octet_words;
    static constexpr int items = slices * n * steps * octets;
    static_assert(Rows::slice % step == 0 && Rows::C % 8 == 0, "whole steps and words");

    /// The k-th 16 channels of a load in the words of an octet, their high part (0) or the low one (1).
    static constexpr MHC_MEMBER int factor_at(int at_load, int k, int part) { return ((at_load * 2 + k) * 2 + part) * 16; }
    /// Where the words of a step of a walk begin, and of its octet.
    static MHC_MEMBER i64 words_at(int slice, int stream, int channel, int octet)
    {
        return i64((slice * n + stream) * steps + (channel - slice * Rows::slice) / step) * step_words + octet * octet_words;
    }
};

/// Arranges fn: zeros where there is no such row or channel. A wave has eight rows of a step, four lanes a row.
template <class Factors, int WeightAlign, bool HasLow, class Grid, class Matrix>
MHC_DEVICE void arrange_wide(Grid at, float* arranged, Matrix fn, int fn_rows)
{
    using Rows = typename Factors::Rows;
    constexpr int align = smaller(WeightAlign, 2 * int(sizeof(*fn.row(0))));
    let_next_kernel_start();
    const int row = at.lane() / 4, pair = at.lane() % 4;
    for (int item = int(at.group) * Grid::waves + at.wave(); item < Factors::items; item += int(at.groups) * Grid::waves) {
        const int octet = item % Factors::octets, step = item / Factors::octets,
                  slice = step / (Factors::n * Factors::steps);
        const int stream = step / Factors::steps % Factors::n;
        const int channel = slice * Rows::slice + step % Factors::steps * Factors::step, r = octet * 8 + row;
        uint4* const to = reinterpret_cast<uint4*>(arranged) + i64(item) * Factors::octet_words + pair % 2 * 8 + row;
        vec<float, 8> words[Factors::loads];
#pragma unroll
        for (int at_load = 0; at_load < Factors::loads; ++at_load) {
#pragma unroll
            for (int q = 0; q < 4; ++q) {
                const int c = channel + at_load * Factors::load + q * 8 + pair * 2;
                vec<float, 2> two = splat<2>(0.0f);
                if (r < fn_rows && c < Rows::C) two = load<2, align>(fn.row(r) + i64(stream) * Rows::C + c);
                words[at_load][2 * q] = two[0];
                words[at_load][2 * q + 1] = two[1];
            }
        }
#pragma unroll
        for (int at_load = 0; at_load < Factors::loads; ++at_load) {
            const weight_parts parts = split_weights(words[at_load], HasLow);
            to[Factors::factor_at(at_load, pair / 2, 0)] = parts.high;
            to[Factors::factor_at(at_load, pair / 2, 1)] = parts.low;
        }
    }
}

/// Places in LDS are in words of 16 bytes. Tile: rows of fn that a work-group has; Groups: of four waves.
template <class Factors_, int Tile, int Groups, int Stages, int Buffers>
struct wide_group {
    using Factors = Factors_;
    using Rows = typename Factors::Rows;
    using unit = group_matrix;
    static constexpr int n = Factors::n, slices = Factors::slices, step = Factors::step, loads = Factors::loads;
    static constexpr int tile = Tile, tile_octets = Tile / 8, blocks = ceil_div(Factors::octets, tile_octets);
    static constexpr int tokens = Groups * unit::rows, adders = Groups * unit::waves * 32;
    /// Four waves have no task but one lane, where lanes that add take their registers.
    static constexpr bool moves_registers = Groups == 4;
    static constexpr int block = adders + (moves_registers ? 128 : 32);
    static constexpr int words = loads * 2;  ///< of a lane that adds, in a step: of two tokens
    using queue = lane_queue<words, adders, Stages>;
    static constexpr int buffers = Buffers, factor_words = tile_octets * Factors::octet_words;
    static constexpr int factors = queue::room, signals = factors + buffers * factor_words, room = signals + buffers;
};

/// The task of one lane.
template <class Pass>
MHC_DEVICE void bring_factors(uint4* lds, const float* arranged, group_walk<Pass> walk, factor_signals<Pass> told)
{
    using Factors = typename Pass::Factors;
    wait_for_last_kernel();
    const uint4* const from = reinterpret_cast<const uint4*>(arranged);
    for (ring<Pass::buffers> buffer; walk.is_there(); walk.advance(), buffer.next()) {
        if (buffer.turn > 0) told.used(buffer.at).wait(buffer.turn - 1);
        const int octet = walk.first_row / 8,
                  words = smaller(Pass::tile_octets, Factors::octets - octet) * Factors::octet_words;
        told.come(buffer.at).expect(u32(words) * 16);
        copy_words(lds + Pass::factors + buffer.at * Pass::factor_words,
                   from + Factors::words_at(walk.slice, walk.stream, walk.channel, octet), words, told.come(buffer.at));
    }
}

/// A lane's sums of two tokens.
template <int Tile>
struct wide_group_sums {
    group_sums<Tile> products;
    float squares[2];

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
            const float square = quad_sum(squares[half]);
            if (t >= valid) continue;
            float* const row = proj + place * of.fn_rows;
            const int first = of.first_row + group_matrix::column(lane);
            if (of.fn_rows % 2 == 0)
                store_rows<2>(row, first, of.fn_rows, half);
            else
                store_rows<1>(row, first, of.fn_rows, half);
            if (of.first_row == 0 && lane % 4 == 0) sqsum[place] = square;
        }
    }
};

/// The task of the waves that add; `thread` and `wave` are counted among them.
template <class Pass, bool HasLow, class Data>
MHC_DEVICE void add_all_products(uint4* lds, const Data* x, float* proj, float* sqsum, group_walk<Pass> walk,
                                 factor_signals<Pass> told, int thread, int wave, i64 tokens, i64 valid, i64 x_token,
                                 i64 x_stream)
{
    using unit = group_matrix;
    using Rows = typename Pass::Rows;
    const int lane = thread % 32, factors = lds_word(lds + Pass::factors);
    const int own = wave / unit::waves * unit::rows + unit::row(wave % unit::waves, lane, 0), own_channel = lane % 4 * 8;
    typename Pass::queue queue(lds);
    group_walk<Pass> ahead = walk;
    const Data* next[2];
    bool has_token[2];
    auto begin_rows = [&]() MHC_INLINE {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const i64 t = ahead.first() + own + half * 8;
            has_token[half] = t < valid;
            next[half] = x + (has_token[half] ? t : 0) * x_token + ahead.channel + own_channel;
        }
    };
    auto ask = [&](int stage) MHC_INLINE {
        if (ahead.is_there()) {
            const int c = ahead.channel, stream = ahead.stream;
#pragma unroll
            for (int at_load = 0; at_load < Pass::loads; ++at_load) {
                const int begin = at_load * Pass::Factors::load;
                const bool is_there = Rows::C % Pass::step == 0 || c + begin + own_channel < Rows::C;
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    queue.template ask<Rows::align>(stage, at_load * 2 + half, thread, next[half] + begin,
                                                    has_token[half] && is_there);
            }
            if (ahead.next_step()) {
                const i64 distance = ahead.channel - c + (ahead.stream - stream) * x_stream;
                next[0] += distance;
                next[1] += distance;
            } else {
                ahead.next_item();
                begin_rows();
            }
        }
        queue.end_set();
    };
    begin_rows();
    for (int stage = 0; stage < queue.stages; ++stage) ask(stage);
    int stage = 0;
    ring<Pass::buffers> buffer;
    while (walk.is_there()) {
        wide_group_sums<Pass::tile> sums = {};
        do {
            uint4 own_x[Pass::loads][2];
            queue.wait();
#pragma unroll
            for (int word = 0; word < Pass::words; ++word) own_x[word / 2][word % 2] = queue.word(stage, word, thread);
            told.come(buffer.at).wait(buffer.turn);
            begin_products();
            sums.template multiply<Pass, HasLow>(own_x, factors + buffer.at * Pass::factor_words);
            end_products();
            ask(stage);
            sums.template add_all_squares<Pass>(own_x);
            products_but<0>();
            made(sums.products);
            if (lane == 0) told.used(buffer.at).arrive();
            buffer.next();
            stage = stage + 1 == queue.stages ? 0 : stage + 1;
        } while (walk.next_step());
        sums.store(walk, proj, sqsum, own, lane, tokens, valid);
        walk.next_item();
    }
    queue.wait_for_all();
}

/// proj[s, t, r] and sqsum[s, t] as in project.hpp, of each slice s. Of all `tokens` the first `valid` are read and written.
/// The kernel before, which arranges fn and does not write x, may still run.
template <class Pass, bool HasLow, class Grid, class Data>
MHC_DEVICE void project_groups(Grid at, uint4* lds, const Data* x, const float* arranged, float* proj, float* sqsum,
                               int fn_rows, i64 tokens, i64 valid, i64 x_token, i64 x_stream)
{
    static_assert(Grid::block == Pass::block, "as many lanes as have tasks");
    const factor_signals<Pass> told = {reinterpret_cast<signal*>(lds + Pass::signals)};
    const int thread = at.thread(), wave = at.wave();
    if (thread == 0) told.make();
    barrier();
    if (thread < Pass::adders) {
        if constexpr (Pass::moves_registers) take_registers<112>();
        const group_walk<Pass> walk(at.group, at.groups, valid, fn_rows);
        add_all_products<Pass, HasLow>(lds, x, proj, sqsum, walk, told, thread, wave, tokens, valid, x_token, x_stream);
    } else {
        if constexpr (Pass::moves_registers) give_registers<32>();
        const group_walk<Pass> walk(at.group, at.groups, valid, fn_rows);
        if (thread == Pass::adders) bring_factors(lds, arranged, walk, told);
    }
}

}  // namespace mhc
