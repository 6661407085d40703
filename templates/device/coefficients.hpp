// mhc/device/coefficients.hpp -- from z to pre, post and mix: sigmoids and Sinkhorn, for tokens and for a static layer.
#pragma once

#include <mhc/device/math.hpp>
#include <mhc/device/sinkhorn.hpp>

namespace mhc {

struct coefficient_constants {
    float rms_eps, pre_eps, post_mult, sinkhorn_eps;
};

/// pre[j] = sigmoid(z(j)) + pre_eps; post[j] = post_mult * sigmoid(z(n+j)); mix = Sinkhorn(z(2n ...)).
template <class Options, int n, int lanes, class Z>
MHC_DEVICE void coefficients(balance<n> s, int lane, bool is_live, coefficient_constants k, Z z, float* pre, float* post,
                             float* mix)
{
    for (int o = lane; o < n * n + 2 * n; o += lanes) {
        const float v = z(o);
        if (o >= 2 * n)
            s.entries[o - 2 * n] = v;
        else if (is_live && o < n)
            pre[o] = sigmoid(v) + k.pre_eps;
        else if (is_live)
            post[o - n] = k.post_mult * sigmoid(v);
    }
    sinkhorn<Options, n, lanes>(s, lane, k.sinkhorn_eps);
    if (is_live)
        for (int e = lane; e < n * n; e += lanes) mix[e] = s.entries[e];
}

/// scale and base of the three parts, wherever they stand: [n] rows of pre, [n] of post, [n*n] of the matrix.
struct affine {
    const float* scale_pre;
    const float* scale_post;
    const float* scale_res;
    const float* base_pre;
    const float* base_post;
    const float* base_res;
};

/// z = (sum of the slices of a row) * r * scale + base with r = 1 / sqrt(sum of squares / K + rms_eps).
template <class Options, int n, int K, int slices, class Grid>
MHC_DEVICE void token_coefficients(Grid at, float* shared, const float* partial, affine by, float* pre, float* post,
                                   float* mix, i64 tokens, i64 pre_token, i64 post_token, i64 mix_token,
                                   coefficient_constants k)
{
    constexpr int m = n * n + 2 * n, lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, tokens, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        const float* sums = partial + t * (slices * (m + 1));
        auto total = [=](int r) MHC_INLINE {
            float v = 0.0f;
            for (int slice = 0; slice < slices; ++slice) v += sums[slice * (m + 1) + r];
            return v;
        };
        const float r = 1.0f / square_root(total(m) * (1.0f / float(K)) + k.rms_eps);
        auto z = [=](int o) MHC_INLINE {
            const float scale = o < n ? *by.scale_pre : o < 2 * n ? *by.scale_post : *by.scale_res;
            const float base = o < n ? by.base_pre[o] : o < 2 * n ? by.base_post[o - n] : by.base_res[o - 2 * n];
            return fma(total(o) * r, scale, base);
        };
        coefficients<Options, n, lanes>(s, lane, is_live, k, z, pre + t * pre_token, post + t * post_token,
                                        mix + t * mix_token);
    });
}

/// The same from given z: h_pre [n], h_post [n], h_res [n, n]. One matrix; `out` gets pre, post and mix in this order.
template <class Options, int n, class Grid>
MHC_DEVICE void static_coefficients(Grid at, float* shared, const float* h_pre, const float* h_post, const float* h_res,
                                    float* out, coefficient_constants k)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, 1, [=](i64, bool is_live, balance<n> s, int lane) MHC_INLINE {
        auto z = [=](int o) MHC_INLINE { return o < n ? h_pre[o] : o < 2 * n ? h_post[o - n] : h_res[o - 2 * n]; };
        coefficients<Options, n, lanes>(s, lane, is_live, k, z, out, out + n, out + 2 * n);
    });
}

}  // namespace mhc
