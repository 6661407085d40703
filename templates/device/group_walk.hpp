// mhc/device/group_walk.hpp -- how waves with different tasks go over the same work items of group_wide.hpp, and what they
// tell each other.
#pragma once

#include <mhc/device/cuda_group_products.hpp>

namespace mhc {

/// Where a walk over a work-group's items is. An item is tokens, a slice and rows; work-groups of a cluster have tokens that
/// follow each other, and the same slice and rows. A slice is cut in pieces of as many steps as can be equal, whose sums are
/// made by themselves: the parts of a work-group have as many of them each, that follow each other.
template <class Pass>
struct group_walk {
    using Rows = typename Pass::Rows;
    static constexpr int tokens = Pass::tokens * Pass::ranks, all = Pass::slices * Pass::blocks * Pass::ranks;

    int item, items, groups, part, fn_rows;
    int first_row = 0, slice = 0, place = 0, end = 0, stream = 0, channel = 0;

    MHC_MEMBER group_walk(i64 group, i64 groups, int part, i64 valid, int fn_rows)
        : item(int(group)),
          items(int((valid + tokens - 1) / tokens) * all),
          groups(int(groups)),
          part(part),
          fn_rows(fn_rows)
    {
        begin_item();
    }
    /// Of the item's tokens.
    MHC_MEMBER i64 first() const { return i64(item / all * Pass::ranks + item % Pass::ranks) * Pass::tokens; }
    MHC_MEMBER bool is_there() const { return item < items; }
    MHC_MEMBER int first_channel() const { return slice * Rows::slice; }
    MHC_MEMBER int end_channel() const
    {
        return Rows::C % Rows::slice == 0 ? first_channel() + Rows::slice : smaller(first_channel() + Rows::slice, Rows::C);
    }
    /// Of a stream, in the slice.
    MHC_MEMBER int steps() const { return ceil_div(end_channel() - first_channel(), Pass::step); }
    /// The place of a piece's first step among the slice's: streams follow each other.
    MHC_MEMBER int place_of(int piece) const { return steps() * Pass::n * piece / Pass::pieces; }

    /// The item, or the next one that is asked for.
    MHC_MEMBER void begin_item()
    {
        for (; is_there(); item += groups) {
            first_row = item / Pass::ranks % Pass::blocks * Pass::tile;
            if (Pass::blocks == 1 || first_row < fn_rows) break;
        }
        slice = item / (Pass::ranks * Pass::blocks) % Pass::slices;
        place = place_of(part * Pass::pieces_each);
        end = place_of((part + 1) * Pass::pieces_each);
        int rest = place;
        MHC_SHORT_LOOP
        for (stream = 0; rest >= steps(); ++stream) rest -= steps();
        channel = first_channel() + rest * Pass::step;
    }
    MHC_MEMBER void next_step()
    {
        ++place;
        channel += Pass::step;
        if (channel < end_channel()) return;
        channel = first_channel();
        ++stream;
    }
    MHC_MEMBER void next_item()
    {
        item += groups;
        begin_item();
    }
    /// Past items of whose slices this part has no steps.
    MHC_MEMBER void find_step()
    {
        while (is_there() && place >= end) next_item();
    }
    MHC_MEMBER void advance()
    {
        next_step();
        find_step();
    }
};

/// What is told of each buffer of a part's factors: that they have come, and that all work-groups of the cluster have made
/// products of them.
template <class Pass>
struct factor_signals {
    signal* all;
    MHC_MEMBER factor_signals(uint4* lds, int part)
        : all(reinterpret_cast<signal*>(lds + Pass::signals) + part * (2 * Pass::buffers))
    {
    }
    MHC_MEMBER signal& come(int buffer) const { return all[buffer]; }
    MHC_MEMBER signal& used(int buffer) const { return all[Pass::buffers + buffer]; }
    MHC_MEMBER void make() const
    {
        for (int b = 0; b < Pass::buffers; ++b) {
            come(b).make(1);
            used(b).make(u32(Pass::part_lanes / 32 * Pass::ranks));
        }
    }
    MHC_MEMBER void tell_used(int buffer, int lane) const
    {
        if constexpr (Pass::ranks == 1) {
            if (lane == 0) used(buffer).arrive();
        } else if (lane < Pass::ranks) {
            used(buffer).arrive_at(u32(lane));
        }
    }
};

/// Sums of pieces that have been made, each lane's own in LDS. Lanes of all parts of a work-group that have the same tokens
/// and rows add theirs one after the other: each part to those of the part before.
template <class Pass>
struct kept_sums {
    uint4* lds;
    int part, thread;
    u32 turn = 0;

    MHC_MEMBER signal& told(int of_part) const { return reinterpret_cast<signal*>(lds + Pass::chain)[of_part]; }
    MHC_MEMBER void make() const
    {
        if constexpr (Pass::parts > 1)
            for (int p = 0; p < Pass::parts; ++p) told(p).make(u32(Pass::part_lanes / 32));
    }
    /// Of eight rows; `back`: parts before this one.
    MHC_MEMBER float4& word(int block, int back) const
    {
        return reinterpret_cast<float4*>(lds + Pass::kept)[block * Pass::adders + thread - back * Pass::part_lanes];
    }
    /// Four lanes have the same.
    MHC_MEMBER float2& squares(int back) const
    {
        float2* const all = reinterpret_cast<float2*>(lds + Pass::kept + (Pass::tile_octets - Pass::held) * Pass::adders);
        return all[(thread - back * Pass::part_lanes) / 4];
    }
    MHC_MEMBER void wait_for_part_before() const { told(part - 1).wait(turn); }
    /// Until the part behind has read what this one kept of the item before.
    MHC_MEMBER void wait_to_write() const
    {
        if (Pass::parts > 1 && part + 1 < Pass::parts && turn > 0) told(part + 1).wait(turn - 1);
    }
    /// This part's sums are there, and it has read those of the part before.
    MHC_MEMBER void tell()
    {
        if constexpr (Pass::parts > 1) {
            wave_sync();
            if (thread % 32 == 0) told(part).arrive();
            ++turn;
        }
    }
};

}  // namespace mhc
