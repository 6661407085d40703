// mhc/device/transition_sums.hpp -- the gradients of post's coefficients, from the products of parts of the channels.
#pragma once

#include <mhc/device/mix.hpp>

namespace mhc {

/// d_post [n] and d_mix [n, n] of each token, as they are stored, from `parts` parts of products; where they are of all
/// tokens (token stride 0) each token's are in `rows` [T, n + n*n] for the time being. Lanes share the numbers.
template <int n, layout L, class Grid>
MHC_DEVICE void sum_transition(Grid at, const float* products, int parts, float* d_post, float* d_mix, float* rows,
                               i64 tokens, i64 valid, i64 post_token, i64 mix_token)
{
    constexpr int count = n * (n + 1);
    for (i64 e = at.group * Grid::block + at.thread(); e < valid * count; e += at.groups * Grid::block) {
        const i64 t = e / count;
        const int k = int(e % count), i = k / (n + 1), j = k % (n + 1);
        float total = 0.0f;
#pragma unroll 16
        for (int p = 0; p < parts; ++p) total += products[p * (tokens * count) + e];
        float* const row = rows + t * count;
        if (j == n)
            (post_token == 0 ? row : d_post + t * n)[i] = total;
        else
            (mix_token == 0 ? row + n : d_mix + t * (n * n))[place_of_weight<L, n>(i, j)] = total;
    }
}

}  // namespace mhc
