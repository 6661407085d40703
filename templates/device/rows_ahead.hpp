// mhc/device/rows_ahead.hpp -- the rows of coming tokens on their way to LDS: a queue for layer_gradient.hpp.
#pragma once

#include <mhc/device/layer_ahead.hpp>
#include <mhc/device/layer_gradient.hpp>

namespace mhc {

/// A lane's own vectors of Stages tokens: nobody else reads them.
template <class Rows, int n, int Stages, class Grid, class Data>
struct rows_ahead {
    using own = own_vectors<Rows, Grid>;
    using half = token_queue<Rows, n, Stages, Grid, Data>;
    static constexpr int stages = Stages, words = Stages * half::words * Grid::block;
    half x, g;

    explicit MHC_MEMBER rows_ahead(uint4* lds) : x{lds}, g{lds + words} {}
    MHC_MEMBER void ask(const layer_rows<Data>& from, own mine, int stage, int thread, i64 t, bool is_there) const
    {
        x.fetch(mine, stage, thread, from.x + t * from.x_token, from.x_stream, is_there);
        g.fetch(mine, stage, thread, from.g + t * from.g_token, from.g_stream, is_there);
    }
    MHC_MEMBER void wait() const { copies_but<2 * Stages - 2>(); }
    /// The token after the oldest has come too.
    MHC_MEMBER void wait_for_second() const { copies_but<2 * Stages - 4>(); }
    MHC_MEMBER void wait_for_all() const { copies_but<0>(); }
    MHC_MEMBER layer_vectors<Rows, n, Data> at(int stage, int k, int thread) const
    {
        layer_vectors<Rows, n, Data> v;
#pragma unroll
        for (int i = 0; i < n; ++i) {
            v.x[i] = stored_in(*x.place(stage, k, i, thread));
            v.g[i] = stored_in(*g.place(stage, k, i, thread));
        }
        return v;
    }

private:
    static MHC_MEMBER typename half::stored stored_in(uint4 word)
    {
        union {
            uint4 word;
            typename half::stored values;
        } v;
        v.word = word;
        return v.values;
    }
};

}  // namespace mhc
