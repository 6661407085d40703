// mhc/device/pre_mix.hpp -- pre, post and mix from a projection, and layer_input, in one kernel: the same numbers as of
// coefficients.hpp and then mix.hpp.
//
// A work-group has a few tokens. All its waves add their splits and make z; then its last wave balances the matrices, which
// is long but little work, while the others, who need no more than pre, add the streams.
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/mix.hpp>
#include <mhc/device/sinkhorn_lanes.hpp>

namespace mhc {

/// Tokens that a work-group has at a time: with 4 streams as many as a warp balances.
constexpr int mixed_together = 8;

/// sum_of_splits, with the numbers asked for 16 at a time.
MHC_DEVICE float ordered_sum(const float* first, i64 distance, int splits)
{
    constexpr int together = 16;
    float total = 0.0f;
    for (int s = 0; s < splits; s += together) {
        float v[together];
#pragma unroll
        for (int k = 0; k < together; ++k) v[k] = s + k < splits ? load_fresh(first + (s + k) * distance) : 0.0f;
#pragma unroll
        for (int k = 0; k < together; ++k)
            if (s + k < splits) total += v[k];
    }
    return total;
}

/// The LDS of a work-group: of each token its sums, pre, and the matrix.
template <int n>
struct mix_room {
    static constexpr int m = n * n + 2 * n, width = m + 1, matrices = 32 / n;  // of a warp, if not all of tokens
    static constexpr int floats = mixed_together * (width + n) + matrices * balance<n>::floats;
    float* sums;  ///< [8, m + 1], the last the sum of squares
    float* pre;   ///< [8, n]
    float* matrix;

    explicit MHC_MEMBER mix_room(float* shared)
        : sums(shared), pre(shared + mixed_together * width), matrix(pre + mixed_together * n)
    {
    }
    MHC_MEMBER balance<n> balanced(int token) const { return {matrix + token * balance<n>::floats}; }
};

/// Scale and base of the rows that a lane makes z of, each turn another. Nothing waits for them before z is made.
template <int n, class Grid>
struct own_affine {
    static constexpr int width = mix_room<n>::width, turns = ceil_div(mixed_together * width, Grid::block);
    float scale[turns], base[turns];
    MHC_MEMBER own_affine(Grid at, affine by)
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int o = (turn * Grid::block + at.thread()) % width;
            const bool is_row = o < mix_room<n>::m;
            scale[turn] = o < n ? *by.scale_pre : o < 2 * n ? *by.scale_post : *by.scale_res;
            base[turn] = o < n ? by.base_pre[o] : o < 2 * n ? by.base_post[o - n] : is_row ? by.base_res[o - 2 * n] : 0.0f;
        }
    }
};

/// z of the work-group's tokens: pre and post are stored, pre is kept as well, and so are the logits.
template <int n, int K, class Grid>
MHC_DEVICE void mix_sigmoids(Grid at, mix_room<n> room, projected from, const own_affine<n, Grid>& by, float* pre,
                             float* post, i64 first, int count, i64 tokens, coefficient_constants k)
{
    constexpr int m = mix_room<n>::m, width = mix_room<n>::width;
    const int splits = int(from.splits);
    for (int e = at.thread(); e < count * width; e += Grid::block) {
        const int o = e % width;
        const i64 t = first + e / width;
        room.sums[e] =
            o < m ? ordered_sum(from.proj + t * m + o, tokens * m, splits) : ordered_sum(from.sqsum + t, tokens, splits);
    }
    barrier();
#pragma unroll
    for (int turn = 0; turn < by.turns; ++turn) {
        const int e = turn * Grid::block + at.thread(), token = e / width, o = e % width;
        if (e >= count * width || o == m) continue;
        const i64 t = first + token;
        const float r = 1.0f / square_root(room.sums[token * width + m] * (1.0f / float(K)) + k.rms_eps);
        const float z = fma(room.sums[e] * r, by.scale[turn], by.base[turn]);
        if (o >= 2 * n)
            room.balanced(token).entries[o - 2 * n] = z;
        else if (o < n)
            pre[t * n + o] = room.pre[token * n + o] = sigmoid(z) + k.pre_eps;
        else
            post[t * n + o - n] = k.post_mult * sigmoid(z);
    }
    barrier();
}

/// Tokens on their way to the lanes that add streams, each lane's own vectors in LDS.
template <class Rows, int n, int Lanes, int Stages>
struct stream_queue {
    static constexpr int turns = ceil_div(Rows::C, Lanes*Rows::W), words = turns * n;
    uint4* lds;  ///< [Stages, turns, n, Lanes]

    template <class Data>
    MHC_MEMBER void fetch(int stage, int lane, const Data* row, i64 stream, bool is_there) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int c = (turn * Lanes + lane) * Rows::W;
#pragma unroll
            for (int i = 0; i < n; ++i)
                copy_once<Rows::align>(lds + (stage * words + turn * n + i) * Lanes + lane, row + i * stream + c,
                                       is_there && c < Rows::C);
        }
        end_copies();
    }
    /// weighted_sum of mix.hpp, of a token that has come.
    template <class Data>
    MHC_MEMBER void add(int stage, int lane, const float* pre, Data* to) const
    {
#pragma unroll
        for (int turn = 0; turn < turns; ++turn) {
            const int c = (turn * Lanes + lane) * Rows::W;
            const uint4* const from = lds + (stage * words + turn * n) * Lanes + lane;
            typename Rows::lanes sums = widen_word(from[0], to) * pre[0];
#pragma unroll
            for (int i = 1; i < n; ++i) sums = fma<Rows::W>(splat<Rows::W>(pre[i]), widen_word(from[i * Lanes], to), sums);
            if (c < Rows::C) Rows::store(to, c, sums);
        }
    }
};

/// The kernel before, which does not write x, may still run. Tokens go from the last to the first, since a
/// projection's last tokens are the likeliest in a cache.
template <class Rows, class Options, int n, int Stages, class Grid, class Data>
MHC_DEVICE void pre_mix(Grid at, float* shared, uint4* lds, const Data* x, projected from, affine by, float* pre,
                        float* post, float* mix, Data* layer_input, i64 tokens, i64 valid, i64 x_token, i64 x_stream,
                        coefficient_constants k)
{
    constexpr int K = n * Rows::C, lanes = Grid::block - Grid::wave_size;
    const stream_queue<Rows, n, lanes, Stages> queue = {lds};
    const mix_room<n> room(shared);
    const bool adds = at.thread() < lanes;
    const own_affine<n, Grid> own(at, by);
    if (valid <= 0) return wait_for_last_kernel();
    // As many tokens at a time as let all groups take the same number of turns.
    const i64 most = at.groups * mixed_together, shared_out = (valid + most - 1) / most * at.groups;
    const int each = int((valid + shared_out - 1) / shared_out);
    const i64 parts = (valid + each - 1) / each;
    i64 part_ahead = at.group;
    int token_ahead = 0, stage = 0;
    auto fetch = [&]() MHC_INLINE {
        const i64 t = (parts - 1 - part_ahead) * each + token_ahead;
        queue.fetch(stage, at.thread(), x + t * x_token, x_stream, part_ahead < parts && t < valid);
        if (++token_ahead == each) {
            token_ahead = 0;
            part_ahead += at.groups;
        }
        stage = stage + 1 == Stages ? 0 : stage + 1;
    };
    if (adds)
        for (int k = 0; k < Stages; ++k) fetch();
    for (i64 part = at.group; part < parts; part += at.groups) {
        const i64 first = (parts - 1 - part) * each;
        const int count = valid - first < each ? int(valid - first) : each;
        wait_for_last_kernel();
        mix_sigmoids<n, K>(at, room, from, own, pre, post, first, count, tokens, k);
        if (adds) {
            for (int token = 0; token < each; ++token) {
                copies_but<Stages - 1>();
                if (token < count)
                    queue.add(stage, at.thread(), room.pre + token * n, layer_input + (first + token) * Rows::C);
                fetch();
            }
        } else {
            factors_in_lanes<Options, n>(room.matrix, mixed_together, at.lane(), k.sinkhorn_eps);
            const int mine = at.lane() / n;
            if (mine < count) store_row<n>(room.balanced(mine), at.lane() % n, mix + (first + mine) * (n * n));
        }
        barrier();  // before the next tokens' sums come
    }
}

}  // namespace mhc
