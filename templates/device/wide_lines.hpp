// mhc/device/wide_lines.hpp -- streams on their way to the waves of group_wide.hpp that add products.
#pragma once

#include <mhc/device/group_walk.hpp>

namespace mhc {

/// 64 channels of a wave's 16 tokens, a few steps ahead. Eight lanes ask for the 128 bytes of a token together, which memory
/// has as one line, and take what others asked for. Words of a token in an odd place are turned by four, so that neither
/// writes nor reads meet in a bank.
template <class Pass, class Data>
struct wide_lines {
    using Rows = typename Pass::Rows;
    static constexpr int stages = Pass::stages, stage_words = Pass::adders * Pass::words, rows = 16, row_words = 8;
    static_assert(Pass::step == row_words * 8 && Pass::words * 32 == rows * row_words, "a wave's words of a step");

    uint4* own;  ///< the wave's: [stages] of stage_words, of which it has [rows, row_words]
    const Data* x;
    i64 x_token, x_stream, valid;
    group_walk<Pass> ahead;
    int lane, first;  ///< the wave's first token in an item
    const Data* next = nullptr;
    int there = 0;  ///< tokens of the item, from the first that this lane asks for on

    static MHC_MEMBER int place(int row, int word) { return row * row_words + (word ^ row % 2 * 4); }

    MHC_MEMBER void begin_rows()
    {
        const i64 t = ahead.first() + first + lane / 8, left = valid - t;
        next = x + t * x_token + ahead.stream * x_stream + ahead.channel + lane % 8 * 8;
        there = left < rows ? int(left) : rows;
    }
    MHC_MEMBER void begin()
    {
        ahead.find_step();
        begin_rows();
    }
    MHC_MEMBER void ask(int stage)
    {
        if (ahead.is_there()) {
            const int c = ahead.channel, stream = ahead.stream, item = ahead.item;
            const bool is_there = Rows::C % Pass::step == 0 || c + lane % 8 * 8 < Rows::C;
            uint4* const to = own + stage * stage_words + place(lane / 8, lane % 8);
            const Data* from = next;
#pragma unroll
            for (int k = 0; k < Pass::words; ++k) {
                copy_once<Rows::align>(to + k * (4 * row_words), from, is_there && k * 4 < there);
                from += 4 * x_token;
            }
            ahead.advance();
            if (ahead.item == item)
                next += ahead.channel - c + (ahead.stream - stream) * x_stream;
            else
                begin_rows();
        }
        end_copies();
    }
    /// The oldest step's words, as left factors have them: of the loads, and of two tokens.
    MHC_MEMBER void take(int stage, uint4 (&words)[Pass::loads][2]) const
    {
        copies_but<stages - 1>();
        wave_sync();
        const uint4* const from = own + stage * stage_words;
#pragma unroll
        for (int at_load = 0; at_load < Pass::loads; ++at_load) {
#pragma unroll
            for (int half = 0; half < 2; ++half)
                words[at_load][half] = from[place(half * 8 + lane / 4, at_load * 4 + lane % 4)];
        }
    }
};

}  // namespace mhc
