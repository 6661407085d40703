// mhc/device/group_walk.hpp -- how waves with different tasks go over the same work items of group_wide.hpp, and what they
// tell each other.
#pragma once

#include <mhc/device/cuda_group_products.hpp>

namespace mhc {

/// Where a walk over a work-group's items is. An item is tokens, a slice and rows.
template <class Pass>
struct group_walk {
    int item, items, groups, fn_rows;
    int block = 0, first_row = 0, slice = 0, stream = 0, channel = 0, end = 0;

    MHC_MEMBER group_walk(i64 group, i64 groups, i64 valid, int fn_rows)
        : item(int(group)),
          items(int((valid + Pass::tokens - 1) / Pass::tokens) * (Pass::slices * Pass::blocks)),
          groups(int(groups)),
          fn_rows(fn_rows)
    {
        begin_item();
    }
    /// Of the item's tokens.
    MHC_MEMBER i64 first() const { return i64(block) * Pass::tokens; }
    MHC_MEMBER bool is_there() const { return item < items; }
    /// The item, or the next one that is asked for.
    MHC_MEMBER void begin_item()
    {
        for (; is_there(); item += groups) {
            first_row = item % Pass::blocks * Pass::tile;
            if (first_row < fn_rows) break;
        }
        slice = item / Pass::blocks % Pass::slices;
        block = item / (Pass::slices * Pass::blocks);
        stream = 0;
        channel = slice * Pass::Rows::slice;
        end = smaller(channel + Pass::Rows::slice, Pass::Rows::C);
    }
    /// False at the end of the item.
    MHC_MEMBER bool next_step()
    {
        channel += Pass::step;
        if (channel < end) return true;
        channel = slice * Pass::Rows::slice;
        return ++stream < Pass::n;
    }
    MHC_MEMBER void next_item()
    {
        item += groups;
        begin_item();
    }
    MHC_MEMBER void advance()
    {
        if (is_there() && !next_step()) next_item();
    }
};

/// What is told of each buffer of factors: that they have come, and that products have been made of them.
template <class Pass>
struct factor_signals {
    signal* all;
    MHC_MEMBER signal& come(int buffer) const { return all[buffer]; }
    MHC_MEMBER signal& used(int buffer) const { return all[Pass::buffers + buffer]; }
    MHC_MEMBER void make() const
    {
        for (int b = 0; b < Pass::buffers; ++b) {
            come(b).make(1);
            used(b).make(u32(Pass::adders / 32));
        }
        show_signals();
    }
};

}  // namespace mhc
