// mhc/device/group_tiles.hpp -- the tiles that a work-group of gradient_groups.hpp or transition_gradient.hpp walks over,
// and how its lanes bring their words to LDS.
#pragma once

#include <mhc/device/group_factors.hpp>
#include <mhc/device/input_gradient.hpp>

namespace mhc {

/// Makes signals at `place`, each of one arrival. All lanes of the work-group must call it.
template <int Count, class Grid>
MHC_DEVICE signal* signals_at(Grid at, uint4* place)
{
    signal* const made = reinterpret_cast<signal*>(place);
    if (at.thread() == 0) {
#pragma unroll
        for (int k = 0; k < Count; ++k) made[k].make(1);
        show_signals();
    }
    barrier();
    return made;
}

/// Where a walk is: at an item of all, and in it at the tokens from `first` on of a slice that ends at `end`. turn: how many
/// items came before.
struct walk_numbers {
    i64 item, items, step, valid;
    i64 slice, first, end;
    int channel, turn;
};
/// The same in fewer registers.
struct narrow_walk_numbers {
    int item, items, step, slice, channel, turn;
    i64 valid, first, end;
};

/// A walk over the tiles of this work-group's items. All of it is the same in every lane.
template <class Tile, int Slice, class Numbers = walk_numbers>
struct tile_walk : Numbers {
    using index = decltype(Numbers::item);
    using Numbers::channel;
    using Numbers::end;
    using Numbers::first;
    using Numbers::item;
    using Numbers::items;
    using Numbers::slice;
    using Numbers::step;
    using Numbers::turn;
    using Numbers::valid;

    template <class Grid>
    MHC_MEMBER tile_walk(Grid at, i64 tokens)
    {
        item = index(at.group);
        items = index(ceil_div_long(tokens, Slice) * Tile::places);
        step = index(at.groups);
        valid = tokens;
        turn = 0;
        begin();
    }
    MHC_MEMBER bool is_there() const { return item < items; }
    MHC_MEMBER bool is_first() const { return first == i64(slice) * Slice; }
    MHC_MEMBER bool is_last() const { return first + Tile::tokens >= end; }
    MHC_MEMBER int left() const { return is_there() ? int(end - first) : 0; }
    MHC_MEMBER void advance()
    {
        first += Tile::tokens;
        if (first < end) return;
        item += step;
        ++turn;
        begin();
    }

private:
    MHC_MEMBER void begin()
    {
        slice = index(u32(item) / u32(Tile::places));
        channel = int(u32(item) % u32(Tile::places)) * Tile::channels;
        first = i64(slice) * Slice;
        end = first + Slice < valid ? first + Slice : valid;
    }
};

/// The words of a tile that this lane brings: those of each so many tokens, of whose `Words` it has one.
template <class Tile, int Words, class Grid, class Data>
struct words_to_bring {
    static constexpr int together = Grid::block / Words, turns = Tile::tokens / together;
    static_assert(Grid::block % Words == 0 && Tile::tokens % together == 0 && together % 8 == 0, "lanes share a tile");
    const Data* from;  ///< of the first token of a walk
    int token, channel, place;

    /// The words of a token: 8 of each 64 channels, of one stream after the other. Of floats 8 channels have two, whose
    /// places are a plane apart.
    MHC_MEMBER words_to_bring(Grid at, const Data* data, i64 token_stride, i64 stream_stride)
    {
        constexpr int planes = sizeof(Data) / 2, row_words = Tile::channels / 8 * planes;
        const int of_token = at.thread() % Words, stream = of_token / row_words, word = of_token % row_words;
        token = at.thread() / Words;
        channel = word * (8 / planes);
        place = ((stream * Tile::of_stream + channel / Tile::columns) * planes + word % planes) * Tile::quad_words +
                turned_word(token, channel / 8 % 8);
        from = data + token * token_stride + stream * stream_stride + channel;
    }
    template <class Walk>
    MHC_MEMBER void ask(uint4* to, const Walk& of, i64 token_stride) const
    {
        using Rows = typename Tile::Rows;
        const int left = Rows::C % Tile::channels == 0 || of.channel + channel < Rows::C ? of.left() : 0;
        const Data* const first = from + (of.first * token_stride + of.channel);
#pragma unroll
        for (int k = 0; k < turns; ++k)
            copy_once<sizeof(Data) == 2 ? Rows::align : 16>(
                to + place + k * together * 8, first + k * together * token_stride, token + k * together < left);
    }
};

}  // namespace mhc
