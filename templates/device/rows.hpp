// mhc/device/rows.hpp -- how the lanes of a grid share tokens and channels, and sums over channels in a promised order.
#pragma once

namespace mhc {

/// Rows of C channels, read W at a time at multiples of Align bytes; a work item is one token and up to Chunk channels.
/// Rank: channels of a cluster's work-group, where one may make the sums of these rows; 0: none does.
template <int C_, int W_, int Align_, int Chunk_, int Slice_, int Rank_ = 0>
struct rows {
    static constexpr int C = C_, W = W_, align = Align_, chunk = Chunk_, slice = Slice_, rank = Rank_;
    static constexpr int chunks = ceil_div(C, Chunk_), slices = ceil_div(C, Slice_);
    static constexpr int piece = 64;  ///< channels of a rank that are summed first
    static constexpr int sums = Rank_ == 0 ? slices : slices * (Slice_ / piece);  ///< in LDS, of channel_sum
    using lanes = vec<float, W>;
    static_assert(Chunk_ % W == 0 && Slice_ % W == 0, "chunks and slices are whole vectors");

    /// Channels c to c + W of a row as they are stored, zeros past its end. AlignT: what `row` is a multiple of.
    template <int AlignT = Align_, class T>
    static MHC_MEMBER vec<typename storage<T>::element, W> fetch(const T* row, int c)
    {
        if constexpr (C % W != 0)
            if (c + W > C) return fetch_some<W>(row + c, C - c);
        return mhc::fetch<W, AlignT>(row + c);
    }
    template <int AlignT = Align_, class T>
    static MHC_MEMBER lanes load(const T* row, int c)
    {
        return widen<W>(fetch<AlignT>(row, c), row);
    }
    template <class T>
    static MHC_MEMBER void store(T* row, int c, lanes v)
    {
        if constexpr (C % W != 0)
            if (c + W > C) return store_some<W>(row + c, v, C - c);
        mhc::store<W, Align_>(row + c, v);
    }
};

/// The same rows, where a kernel reads their bytes once and a layer with its weights comes before whoever reads them next:
/// so caches need not keep them. Is: whether that is so.
template <class Rows, bool Is = true>
struct last_read : Rows {
    template <class T>
    static MHC_MEMBER vec<typename storage<T>::element, Rows::W> fetch(const T* row, int c)
    {
        if constexpr (Rows::C % Rows::W != 0)
            if (c + Rows::W > Rows::C) return Rows::fetch(row, c);
        if constexpr (Is)
            return fetch_once<Rows::W, Rows::align>(row + c);
        else
            return Rows::fetch(row, c);
    }
    template <class T>
    static MHC_MEMBER typename Rows::lanes load(const T* row, int c)
    {
        return widen<Rows::W>(fetch(row, c), row);
    }
};

/// Streams as they lie in memory: stream i of token t is the row at x + t * token + i * stream.
template <class Rows, class Data>
struct streams_in_memory {
    const Data* x;
    i64 token, stream;
    MHC_MEMBER typename Rows::lanes load(i64 t, int i, int c) const { return Rows::load(x + t * token + i * stream, c); }
};
template <class Rows, class Data>
MHC_DEVICE streams_in_memory<Rows, Data> streams_at(const Data* x, i64 token, i64 stream)
{
    return {x, token, stream};
}

/// body(token, begin, end) for each work item of this work-group: all of them take the same turns.
template <class Rows, class Grid, class Body>
MHC_DEVICE void for_each_item(Grid at, i64 tokens, Body body)
{
    const i64 items = tokens * Rows::chunks;
    for (i64 item = at.group; item < items; item += at.groups) {
        const int begin = int(item % Rows::chunks) * Rows::chunk;
        body(item / Rows::chunks, begin, smaller(begin + Rows::chunk, Rows::C));
    }
}

/// body(c) for each vector of [begin, end) that is this lane's.
template <class Rows, class Grid, class Body>
MHC_DEVICE void for_each_vector(Grid at, int begin, int end, Body body)
{
    const int first = begin + at.thread() * Rows::W;
    if constexpr (Rows::chunk <= Grid::block * Rows::W) {  // one vector a lane: not a loop, so nothing is hoisted out of it
        if (first < end) body(first);
    } else {
        for (int c = first; c < end; c += Grid::block * Rows::W) body(c);
    }
}

/// The waves that meet for a sum: all of the work-group.
struct all_waves {
    MHC_MEMBER void meet() const { barrier(); }
};

/// The sum of a piece, that the lanes of a wave have a few of.
template <class Rows>
MHC_DEVICE void store_piece(float* sums, int channel, typename Rows::lanes terms)
{
    const float piece = wave_sum<Rows::piece / Rows::W>(sum<Rows::W>(terms));
    if (channel % Rows::piece == 0) sums[channel / Rows::piece] = piece;
}

/// Of pieces that the waves have stored: those of a rank in their order, then over the ranks; in every lane.
template <class Rows, class Grid, class Waves>
MHC_DEVICE float sum_of_ranks(Grid at, const float* pieces, Waves waves)
{
    constexpr int each = Rows::rank / Rows::piece, all = ceil_div(Rows::C, Rows::piece);
    static_assert(ceil_div(all, each) <= Grid::wave_size, "a lane has a rank");
    const int first = at.lane() * each;
    waves.meet();
    float own = 0.0f;
#pragma unroll
    for (int k = 0; k < each; ++k)
        if (first + k < all) own += pieces[first + k];
    waves.meet();  // before the next token overwrites them
    return wave_sum<Grid::wave_size>(own);
}

/// Of what the waves have stored, in the slices' order; in every lane.
template <class Rows, class Waves>
MHC_DEVICE float sum_of_slices(const float* slice_sums, Waves waves)
{
    waves.meet();
    float total = 0.0f;
    for (int s = 0; s < Rows::slices; ++s) total += slice_sums[s];
    waves.meet();  // before the next token overwrites them
    return total;
}

/// Sum over all channels of term(c), a vector of W addends that are zero past the row's end; in every lane.
///
/// The order is a function of C and the kind of target alone: a slice is summed by one wave, lane by lane and then over
/// the lanes; slices are added in their order. Rows that a cluster may have are summed by pieces and ranks instead. So it
/// does not depend on the block, the grid or the neighbours.
template <class Rows, class Grid, class Term>
MHC_DEVICE float channel_sum(Grid at, float* slice_sums, Term term)
{
    if constexpr (Rows::rank > 0) {
        constexpr int together = Grid::wave_size * Rows::W;
        for (int first = at.wave() * together; first < Rows::C; first += Grid::waves * together) {
            const int c = first + at.lane() * Rows::W;
            store_piece<Rows>(slice_sums, c, c < Rows::C ? term(c) : splat<Rows::W>(0.0f));
        }
        return sum_of_ranks<Rows>(at, slice_sums, all_waves{});
    }
    for (int s = at.wave(); s < Rows::slices; s += Grid::waves) {
        typename Rows::lanes sums = splat<Rows::W>(0.0f);
        const int end = smaller((s + 1) * Rows::slice, Rows::C);
        for (int c = s * Rows::slice + at.lane() * Rows::W; c < end; c += Grid::wave_size * Rows::W) sums = sums + term(c);
        const float slice_sum = wave_sum<Grid::wave_size>(sum<Rows::W>(sums));
        if (at.lane() == 0) slice_sums[s] = slice_sum;
    }
    return sum_of_slices<Rows>(slice_sums, all_waves{});
}

/// The vectors of a lane where every slice has a wave: its lanes' share of the slice that channel_sum gives that wave.
template <class Rows, class Grid>
struct own_vectors {
    static constexpr int count = Rows::slice / (Grid::wave_size * Rows::W);
    static_assert(Rows::slices == Grid::waves, "a wave has a slice");
    int first;
    explicit MHC_MEMBER own_vectors(Grid at) : first(at.wave() * Rows::slice + at.lane() * Rows::W) {}
    MHC_MEMBER int channel(int k) const { return first + k * Grid::wave_size * Rows::W; }
    MHC_MEMBER bool has(int k) const { return Rows::C % Rows::slice == 0 || channel(k) < Rows::C; }
};

/// channel_sum of addends in registers, those of the lane's own vectors: the same sum.
template <class Rows, class Grid, class Waves = all_waves>
MHC_DEVICE float own_channel_sum(Grid at, float* slice_sums,
                                 const typename Rows::lanes (&terms)[own_vectors<Rows, Grid>::count], Waves waves = {})
{
    if constexpr (Rows::rank > 0) {
        const own_vectors<Rows, Grid> own(at);
#pragma unroll
        for (int k = 0; k < own.count; ++k) store_piece<Rows>(slice_sums, own.channel(k), terms[k]);
        return sum_of_ranks<Rows>(at, slice_sums, waves);
    }
    typename Rows::lanes sums = splat<Rows::W>(0.0f);
#pragma unroll
    for (int k = 0; k < own_vectors<Rows, Grid>::count; ++k) sums = sums + terms[k];
    const float slice_sum = wave_sum<Grid::wave_size>(sum<Rows::W>(sums));
    const int wave = at.wave();  // asked by all lanes of it
    if (at.lane() == 0) slice_sums[wave] = slice_sum;
    return sum_of_slices<Rows>(slice_sums, waves);
}

}  // namespace mhc
