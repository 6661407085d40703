// mhc/device/norm_gradient.hpp -- what the gradient of an RMS norm needs of a whole token, before any channel of it.
//
// y = a * e0 * weight with e0 = 1 / sqrt(mean(a^2) + eps). With h the gradient of y, the gradient of a is
// e0 * weight * h - e1 * a, where e1 = e0^3 / C * sum_c(weight * h * a).
#pragma once

#include <mhc/device/mix_gradient.hpp>

namespace mhc {

struct norm_terms {
    float e0, e1;
};

/// From sum(a^2) and sum(weight * h * a).
template <int C>
MHC_DEVICE norm_terms norm_terms_of(float squares, float products, float eps)
{
    const float e0 = 1.0f / square_root(squares * (1.0f / C) + eps);
    return {e0, e0 * e0 * e0 * (products * (1.0f / C))};
}

/// weight[c ...], or ones where there is none.
template <class Rows, int WeightAlign, class Weight>
MHC_DEVICE typename Rows::lanes weight_at(const Weight* weight, int c)
{
    return weight ? Rows::template load<WeightAlign>(weight, c) : splat<Rows::W>(1.0f);
}

/// norm[t] = e0, e1 of rmsnorm; rms itself has the gradient d_rms, where that is not null.
template <class Rows, int WeightAlign, class Grid, class Data, class Weight, class Gradient>
MHC_DEVICE void rmsnorm_terms(Grid at, float* shared, const Data* x, const Weight* weight, const Gradient* d_y,
                              const float* d_rms, float* norm, i64 tokens, float eps)
{
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const float* sums = channel_sums<2, Rows>(at, shared, [=](int c, auto& into) MHC_INLINE {
            const typename Rows::lanes a = Rows::load(x + t * Rows::C, c);
            const typename Rows::lanes h = Rows::load(d_y + t * Rows::C, c) * weight_at<Rows, WeightAlign>(weight, c);
            into[0] = add_products(into[0], a, a);
            into[1] = add_products(into[1], h, a);
        });
        if (at.thread() != 0) continue;
        const norm_terms terms = norm_terms_of<Rows::C>(sums[0], sums[1], eps);
        norm[2 * t] = terms.e0;
        norm[2 * t + 1] = d_rms ? terms.e1 - d_rms[t] * terms.e0 * (1.0f / Rows::C) : terms.e1;
    }
}

/// Inner products of a normalised sum of streams, a = sum_i p_i x_i, with h(c) the gradient of its norm (times weight):
/// d_p[i] = (gradient of a) . x_i, plus given[i] where that is not null; norm = e0, e1. One token; `shared` as
/// channel_sums<2 + 2 * norm_tile<n>> asks.
template <int n>
constexpr int norm_tile = smaller(n, 4);

template <class Rows, int n, class Grid, class Data, class H>
MHC_DEVICE norm_terms norm_products(Grid at, float* shared, const Data* x, i64 x_stream, const float* p, H h,
                                    const float* given, float* d_p, float* norm, float eps)
{
    constexpr int tile = norm_tile<n>;
    norm_terms terms = {0.0f, 0.0f};
    for (int first = 0; first < n; first += tile) {
        const float* sums = channel_sums<2 + 2 * tile, Rows>(at, shared, [=](int c, auto& into) MHC_INLINE {
            const typename Rows::lanes a = weighted_sum<Rows, n>(x, x_stream, p, c), hc = h(c);
            into[0] = add_products(into[0], a, a);
            into[1] = add_products(into[1], hc, a);
#pragma unroll
            for (int k = 0; k < tile; ++k) {
                const typename Rows::lanes xi = Rows::load(x + smaller(first + k, n - 1) * x_stream, c);
                into[2 + 2 * k] = add_products(into[2 + 2 * k], hc, xi);
                into[3 + 2 * k] = add_products(into[3 + 2 * k], a, xi);
            }
        });
        terms = norm_terms_of<Rows::C>(sums[0], sums[1], eps);
        for (int k = at.thread(); k < tile; k += Grid::block) {
            const int i = first + k;
            if (i < n) d_p[i] = fma(terms.e0, sums[2 + 2 * k], -terms.e1 * sums[3 + 2 * k]) + (given ? given[i] : 0.0f);
        }
    }
    if (at.thread() == 0) {
        norm[0] = terms.e0;
        norm[1] = terms.e1;
    }
    return terms;
}

/// d_p[t,i] = (gradient of the sum of streams) . x[t,i] + d_pre[t,i], where d_pre is not null. With a norm_weight norm[t]
/// too.
template <class Rows, int n, bool HasNorm, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void pre_products(Grid at, float* shared, const Data* x, const float* pre, const Weight* norm_weight,
                             const Data* d_layer_input, const float* d_pre, float* d_p, float* norm, i64 tokens, i64 x_token,
                             i64 x_stream, float eps)
{
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const Data *row = x + t * x_token, *g = d_layer_input + t * Rows::C;
        const float* given = d_pre ? d_pre + t * n : nullptr;
        if constexpr (HasNorm) {
            norm_products<Rows, n>(
                at, shared, row, x_stream, pre + t * n,
                [=](int c) MHC_INLINE { return Rows::load(g, c) * Rows::template load<WeightAlign>(norm_weight, c); }, given,
                d_p + t * n, norm + 2 * t, eps);
        } else {
            constexpr int tile = smaller(n, 8);
            for (int first = 0; first < n; first += tile) {
                const float* sums = channel_sums<tile, Rows>(at, shared, [=](int c, auto& into) MHC_INLINE {
                    const typename Rows::lanes gc = Rows::load(g, c);
#pragma unroll
                    for (int k = 0; k < tile; ++k)
                        into[k] = add_products(into[k], gc, Rows::load(row + smaller(first + k, n - 1) * x_stream, c));
                });
                for (int k = at.thread(); k < tile; k += Grid::block)
                    if (first + k < n) d_p[t * n + first + k] = sums[k] + (given ? given[first + k] : 0.0f);
            }
        }
    }
}

/// mHC.cu's layer: with g the gradient of out and coefficients p [n], q [n], M [n,n] of token t at t * coefficients_token,
/// d_coefficients[t] holds the gradients of p, q and M as stored, and norm[t] = e0, e1.
template <class Rows, int n, layout L, int WeightAlign, class Grid, class Data, class Weight>
MHC_DEVICE void layer_products(Grid at, float* shared, const Data* x, const float* coefficients, const Weight* weight,
                               const Data* d_out, float* d_coefficients, float* norm, i64 tokens, i64 x_token, i64 x_stream,
                               i64 g_token, i64 g_stream, i64 coefficients_token, float eps)
{
    constexpr int m = n * n + 2 * n;
    for (i64 t = at.group; t < tokens; t += at.groups) {
        const Data *row = x + t * x_token, *g = d_out + t * g_token;
        const float* p = coefficients + t * coefficients_token;
        float* const to = d_coefficients + t * m;
        const norm_terms terms = norm_products<Rows, n>(
            at, shared, row, x_stream, p,
            [=](int c) MHC_INLINE {
                return weighted_sum<Rows, n>(g, g_stream, p + n, c) * Rows::template load<WeightAlign>(weight, c);
            },
            nullptr, to, norm + 2 * t, eps);
        // y = a * e0 * weight: computed as the forward does.
        mix_products<Rows, n, L>(
            at, shared, g, g_stream, row, x_stream,
            [=](int c) MHC_INLINE {
                return weighted_sum<Rows, n>(row, x_stream, p, c) * terms.e0 * Rows::template load<WeightAlign>(weight, c);
            },
            to + n, to + 2 * n, [](int) MHC_INLINE {});
    }
}

}  // namespace mhc
