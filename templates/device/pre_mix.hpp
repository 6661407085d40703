// mhc/device/pre_mix.hpp -- pre, post and mix from a projection, and layer_input, in one kernel: the same numbers as of
// coefficients.hpp and then mix.hpp.
//
// Work items are of two kinds. One balances the matrices of 16 tokens, which takes long and moves little; the other makes pre
// of one token again, which is little work, and adds its streams. So nothing waits for a Sinkhorn iteration but its own result.
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/mix.hpp>

namespace mhc {

constexpr int balanced_together = 16;

/// sum_of_splits, with the numbers asked for 8 at a time.
MHC_DEVICE float ordered_sum(const float* first, i64 distance, int splits)
{
    constexpr int together = 8;
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

template <int K>
MHC_DEVICE float inverse_rms(float squares, coefficient_constants k)
{
    return 1.0f / square_root(squares * (1.0f / float(K)) + k.rms_eps);
}

/// pre, post and mix of the 16 tokens from `first` on.
template <class Options, int n, int K, class Grid>
MHC_DEVICE void mix_coefficients(Grid at, float* shared, projected from, affine by, float* pre, float* post, float* mix,
                                 i64 first, i64 tokens, coefficient_constants k)
{
    constexpr int m = n * n + 2 * n, width = m + 1, lanes = lanes_of(n, Grid::wave_size);
    static_assert(Grid::block >= balanced_together * lanes, "every token has its lanes");
    const int splits = int(from.splits);
    float* const sums = shared;  // [16, m + 1]
    for (int e = at.thread(); e < balanced_together * width; e += Grid::block) {
        const int o = e % width;
        const i64 t = first + e / width < tokens ? first + e / width : tokens - 1;
        sums[e] = o < m ? ordered_sum(from.proj + t * m + o, tokens * m, splits) : ordered_sum(from.sqsum + t, tokens, splits);
    }
    barrier();
    const int mine = at.thread() / lanes, lane = at.thread() % lanes;
    if (mine < balanced_together) {
        const i64 t = first + mine;
        const float* const sum = sums + mine * width;
        const float r = inverse_rms<K>(sum[m], k);
        auto z = [=](int o) MHC_INLINE {
            const float scale = o < n ? *by.scale_pre : o < 2 * n ? *by.scale_post : *by.scale_res;
            const float base = o < n ? by.base_pre[o] : o < 2 * n ? by.base_post[o - n] : by.base_res[o - 2 * n];
            return fma(sum[o] * r, scale, base);
        };
        const balance<n> s = {shared + balanced_together * width + mine * balance<n>::floats};
        coefficients<matrix::balanced, Options, n, lanes>(s, lane, t < tokens, k, z, pre + t * n, post + t * n,
                                                          mix + t * (n * n));
    }
    barrier();  // before the next tokens' sums come
}

/// Floats of LDS of mix_coefficients.
template <int n>
constexpr int mix_floats = balanced_together * (n * n + 2 * n + 1 + balance<n>::floats);

/// The streams of one token at the first vectors of each lane, asked for before what they are added by is known.
template <class Rows, int n, int Turns>
struct fetched_streams {
    typename Rows::lanes at[Turns][n];
};

/// layer_input[t] from the projection's sums: pre as in mix_coefficients, then weighted_sum of mix.hpp. Overlaps: the kernel
/// before, which does not write x, may still run.
template <class Rows, int n, int K, bool Overlaps, class Grid, class Data>
MHC_DEVICE void mix_streams(Grid at, const Data* x, projected from, affine by, Data* layer_input, i64 t, i64 tokens,
                            i64 x_token, i64 x_stream, coefficient_constants k)
{
    constexpr int m = n * n + 2 * n, each = Grid::block * Rows::W, turns_all = ceil_div(Rows::C, each);
    constexpr int turns = smaller(turns_all, 4);
    const Data* const row = x + t * x_token;
    const int begin = at.thread() * Rows::W;
    fetched_streams<Rows, n, turns> ahead;
#pragma unroll
    for (int turn = 0; turn < turns; ++turn)
        if (begin + turn * each < Rows::C) {
#pragma unroll
            for (int i = 0; i < n; ++i) ahead.at[turn][i] = Rows::load(row + i * x_stream, begin + turn * each);
        }
    wait_for_last_kernel<Overlaps>();

    // Lane i < n has row i of the projection, lane n the sum of squares.
    const int lane = smaller(at.lane(), n), splits = int(from.splits);
    const float* const first = lane < n ? from.proj + t * m + lane : from.sqsum + t;
    const float sum = ordered_sum(first, lane < n ? tokens * m : tokens, splits);
    const float z = fma(sum * inverse_rms<K>(of_lane(sum, n), k), *by.scale_pre, by.base_pre[smaller(lane, n - 1)]);
    const float mine = sigmoid(z) + k.pre_eps;
    float p[n];
#pragma unroll
    for (int i = 0; i < n; ++i) p[i] = of_lane(mine, i);

    auto finish = [&](const typename Rows::lanes (&xs)[n], int c) MHC_INLINE {
        typename Rows::lanes sums = xs[0] * p[0];
#pragma unroll
        for (int i = 1; i < n; ++i) sums = fma<Rows::W>(splat<Rows::W>(p[i]), xs[i], sums);
        Rows::store(layer_input + t * Rows::C, c, sums);
    };
#pragma unroll
    for (int turn = 0; turn < turns; ++turn)
        if (begin + turn * each < Rows::C) finish(ahead.at[turn], begin + turn * each);
    for (int c = begin + turns * each; c < Rows::C; c += each) {
        typename Rows::lanes xs[n];
#pragma unroll
        for (int i = 0; i < n; ++i) xs[i] = Rows::load(row + i * x_stream, c);
        finish(xs, c);
    }
}

/// Items come in this order: one that balances, then eight that add streams, until all is balanced; then those that add.
/// Tokens go from the last to the first, since a projection's last tokens are the likeliest in a cache.
template <class Rows, class Options, int n, bool Overlaps, class Grid, class Data>
MHC_DEVICE void pre_mix(Grid at, float* shared, const Data* x, projected from, affine by, float* pre, float* post, float* mix,
                        Data* layer_input, i64 tokens, i64 x_token, i64 x_stream, coefficient_constants k)
{
    constexpr int K = n * Rows::C, adding = 8;
    const i64 balancing = (tokens + balanced_together - 1) / balanced_together, mixed = balancing * (adding + 1);
    for (i64 item = at.group; item < balancing + tokens || item < mixed; item += at.groups) {
        const bool is_mixed = item < mixed;
        if (is_mixed && item % (adding + 1) == 0) {
            wait_for_last_kernel<Overlaps>();
            mix_coefficients<Options, n, K>(at, shared, from, by, pre, post, mix, item / (adding + 1) * balanced_together, tokens,
                                            k);
            continue;
        }
        const i64 number = is_mixed ? item / (adding + 1) * adding + item % (adding + 1) - 1 : item - balancing;
        if (number < tokens)
            mix_streams<Rows, n, K, Overlaps>(at, x, from, by, layer_input, tokens - 1 - number, tokens, x_token, x_stream, k);
    }
}

}  // namespace mhc
