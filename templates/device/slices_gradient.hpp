// mhc/device/slices_gradient.hpp -- from what slices of the channels gave of a token, its projection and products of its
// rows, to the gradient of the projection, as the tiles of gradient_groups.hpp and its like take it.
//
// Between are the coefficients, their gradients and, back through the matrix, those of z. None of it is wide: a work-group
// has a few tokens, whose sums its lanes share, and of each token as many lanes as share a matrix do the rest.
#pragma once

#include <mhc/device/coefficients_gradient.hpp>
#include <mhc/device/group_factors.hpp>
#include <mhc/device/layer_sums.hpp>

namespace mhc {

/// What a token has in LDS, in floats: what token_gradient takes, the projection, which its gradient replaces, and the sum
/// of squares; then sums of Products products, coefficients, the gradients of all of these, what scale's and base's
/// gradients are sums of, and Room floats.
template <matrix M, int n, int Products, int Coefficients, int Room>
struct slices_room {
    static constexpr int m = rows_of_z<M, n>, sums = m + 1 + Products, width = affine_width<M, n>;
    static constexpr int projection = gradient_floats<n>, squares = projection + m, products = squares + 1,
                         coefficients = products + Products, gradients = coefficients + Coefficients, affine = gradients + m,
                         history = affine + width, floats = history + Room;
};

/// Where the gradient of the projection goes: d_proj as factors of the tiles, d_sqsum [T], and sums of a work item's tokens,
/// one after the other, of what scale's and base's are sums of.
struct slices_outputs {
    float *arranged, *d_sqsum, *sums;
};

/// Of the stages that pre_fwd has, or a head: products [S, T, n] are those of the layer's input with the streams.
template <matrix M_, class Options_, int n_, int K_, int Room>
struct pre_of_slices {
    static constexpr matrix M = M_;
    using Options = Options_;
    static constexpr int n = n_, K = K_, count = n_;
    using room = slices_room<M, n, count, 0, Room>;
    const float* products;
    const float *d_pre, *d_post, *d_mix;  ///< of the coefficients' other uses; null for none
    float *pre, *history;
    coefficient_constants k;

    /// What there is of token t for row o of its gradients; null for none.
    MHC_MEMBER const float* given(i64 t, int o) const
    {
        const float* const all = o < n ? d_pre : o < 2 * n ? d_post : d_mix;
        return !all        ? nullptr
               : o < n     ? all + t * n + o
               : o < 2 * n ? all + t * n + (o - n)
                           : all + t * (n * n) + (o - 2 * n);
    }
    template <class Grid>
    MHC_MEMBER void differentiate(Grid at, float* shared, i64, int left, const affine&) const
    {
        MHC_SHORT_LOOP
        for (int e = at.thread(); e < left * n; e += Grid::block) {
            float* const own = shared + e / n * room::floats + e % n;
            own[room::gradients] += own[room::products];
        }
        barrier();
    }
    MHC_MEMBER void put(i64 t, int o, float z) const
    {
        if (o < n) pre[t * n + o] = sigmoid(z) + k.pre_eps;
    }
    MHC_MEMBER void put_mix(i64, int, float) const {}
};

/// Of mHC.cu's layer: products [S, T, products_of_rows::count]. coefficients [T, m] and norm [T, 2] are written.
template <class Options_, int n_, int C, layout L, int Room>
struct layer_of_slices {
    static constexpr matrix M = matrix::balanced;
    using Options = Options_;
    static constexpr int n = n_, K = n_ * C, m = rows_of_z<M, n>, count = products_of_rows<n>::count;
    using room = slices_room<M, n, count, 2 * n, Room>;
    const float* products;
    float *coefficients, *norm, *history;
    float norm_eps;
    coefficient_constants k;

    MHC_MEMBER const float* given(i64, int) const { return nullptr; }
    /// p and q of `left` tokens from t on, the norm's terms, and the coefficients' gradients.
    template <class Grid>
    MHC_MEMBER void differentiate(Grid at, float* shared, i64 t, int left, const affine& by) const
    {
        MHC_SHORT_LOOP
        for (int e = at.thread(); e < left * 2 * n; e += Grid::block) {
            const int token = e / (2 * n), o = e % (2 * n);
            float* const own = shared + token * room::floats;
            const token_z<n> z = {own + room::projection, inverse_rms<K>(own[room::squares], k), by};
            const float v = o < n ? sigmoid(z(o)) + k.pre_eps : k.post_mult * sigmoid(z(o));
            own[room::coefficients + o] = v;
            coefficients[(t + token) * m + o] = v;
        }
        barrier();
        MHC_SHORT_LOOP
        for (int e = at.thread(); e < left * m; e += Grid::block) {
            const int token = e / m, o = e % m;
            float* const own = shared + token * room::floats;
            const layer_token<n> of = {own + room::products, own + room::coefficients};
            const norm_terms terms = of.template terms<C>(norm_eps);
            own[room::gradients + o] = of.template gradient<L>(o, terms);
            if (o < 2) norm[2 * (t + token) + o] = o == 0 ? terms.e0 : terms.e1;
        }
        barrier();
    }
    MHC_MEMBER void put(i64, int, float) const {}
    MHC_MEMBER void put_mix(i64 t, int e, float v) const { coefficients[t * m + 2 * n + e] = v; }
};

/// Sums over the slices, in their order, of the tokens from `first` on, of which `left` are there: the last one's are those
/// of the tokens past it too.
template <int together, class Of, class Grid>
MHC_DEVICE void sum_slices_of(Grid at, float* shared, const Of& of, projected from, i64 first, int left, i64 tokens)
{
    using room = typename Of::room;
    constexpr int m = room::m;
    MHC_SHORT_LOOP
    for (int e = at.thread(); e < together * room::sums; e += Grid::block) {
        const int token = e / room::sums, o = e % room::sums;
        const i64 t = first + smaller(token, left - 1);
        const bool is_product = o > m;
        const int width = o < m ? m : is_product ? Of::count : 1, column = o < m ? o : is_product ? o - m - 1 : 0;
        const float* const all = o < m ? from.proj : is_product ? of.products : from.sqsum;
        const float sum = sum_of_rows(all + t * width + column, from.splits, tokens * width);
        shared[token * room::floats + room::projection + o] = sum;
    }
}

/// Asks for what memory may have to be waited for, while the sums, which a cache has, are made: gradients that are given, of
/// the tokens that sum_slices_of has, and base and scale, which LDS then has at `to`, as the returned tells.
template <int together, class Of, class Grid>
MHC_DEVICE affine ask_given(Grid at, float* shared, float* to, const Of& of, const affine& by, const float* any, i64 first,
                            int left)
{
    using room = typename Of::room;
    constexpr int n = Of::n, m = room::m, scales = room::width - m;
    MHC_SHORT_LOOP
    for (int e = at.thread(); e < together * m; e += Grid::block) {
        const int token = e / m, o = e % m;
        const float* const given = of.given(first + smaller(token, left - 1), o);
        copy_number(shared + token * room::floats + room::gradients + o, given ? given : any, given != nullptr);
    }
    MHC_SHORT_LOOP
    for (int o = at.thread(); o < m + scales; o += Grid::block)
        copy_number(to + o, o < m ? by.base<n>(o) : by.scale<n>((o - m) * n), true);
    end_copies();
    const float* const scale = to + m;
    return {scale, scale + 1, scale + 2, to, to + n, to + 2 * n};
}

/// All of it, of the first `valid` of all `tokens`; of the last of the tiles, which has `valid` tokens at its end or before,
/// d_proj of the others is zeros. A work item is `together` tokens.
template <class Tile, int together, class Of, class Grid>
MHC_DEVICE void gradient_of_slices(Grid at, float* shared, const Of& of, projected from, affine by, slices_outputs to,
                                   i64 tokens, i64 valid)
{
    using room = typename Of::room;
    constexpr int n = Of::n, m = room::m, lanes = lanes_of(n, Grid::wave_size);
    constexpr int balancing = together * lanes;  // lanes that balance, whole waves
    static_assert(balancing <= Grid::block && balancing % Grid::wave_size == 0 && Tile::tokens % together == 0,
                  "tokens are shared out");
    uint4* const words = reinterpret_cast<uint4*>(to.arranged);
    const i64 tiles = ceil_div_long(valid, Tile::tokens);
    for (i64 first = i64(at.group) * together; first < tiles * Tile::tokens; first += i64(at.groups) * together) {
        const int left = first >= valid ? 0 : int(valid - first < together ? valid - first : together);
        if (left > 0) {
            const affine near =
                ask_given<together>(at, shared, shared + together * room::floats, of, by, from.sqsum, first, left);
            sum_slices_of<together>(at, shared, of, from, first, left, tokens);
            copies_but<0>();
            barrier();
            of.differentiate(at, shared, first, left, near);
            if (at.thread() < balancing) {
                const int mine = at.thread() / lanes, lane = at.thread() % lanes;
                const bool is_live = mine < left;
                const i64 t = first + (is_live ? mine : left - 1);
                float* const own = shared + mine * room::floats;
                float* kept = nullptr;
                if constexpr (Of::M == matrix::balanced)
                    kept = history_place<typename Of::Options, n, room::floats - room::history>(own + room::history,
                                                                                                of.history, t);
                const float d_squares = token_gradient<Of::M, typename Of::Options, n, Of::K, lanes>(
                    balance<n>{own}, lane, is_live,
                    {own + room::projection, inverse_rms<Of::K>(own[room::squares], of.k), near},
                    {own + room::gradients, own + room::gradients + n, own + room::gradients + 2 * n}, kept,
                    own + room::affine, of.k,
                    [=](int o, float z, float d_product) MHC_INLINE {
                        of.put(t, o, z);
                        own[room::projection + o] = d_product;
                    },
                    [=](int e, float v) MHC_INLINE {
                        if (is_live) of.put_mix(t, e, v);
                    });
                if (lane == 0 && is_live) to.d_sqsum[t] = d_squares;
            }
            barrier();
            sum_tokens<room::width, together>(at, to.sums + first / together * room::width, shared + room::affine,
                                              room::floats);
        }
        keep_group_d_proj<Tile, together>(
            at, words + arranged_factors<Tile>::d_proj_at(first / Tile::tokens) + first % Tile::tokens,
            shared + room::projection, room::floats, left, m);
        barrier();  // before the next tokens' sums take their places
    }
}

}  // namespace mhc
