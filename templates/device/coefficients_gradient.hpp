// mhc/device/coefficients_gradient.hpp -- from the gradients of pre, post and mix to those of the projection, scale and
// base.
//
// z = (P r) scale + base with P the projection and r = 1 / sqrt(Q / K + rms_eps), Q the sum of squares. With d z the
// gradient of z: d_P = d_z scale r; d_Q = -r^2 / (2 K) sum(d_z scale P r); d_scale = sum(d_z P r); d_base = sum(d_z).
#pragma once

#include <mhc/device/coefficients.hpp>
#include <mhc/device/sinkhorn_gradient.hpp>
#include <mhc/device/token_sums.hpp>

namespace mhc {

/// The derivative of sigmoid at z; both factors are exact where one is near 1.
MHC_DEVICE float sigmoid_slope(float z) { return sigmoid(z) * sigmoid(-z); }

/// Gradients of what the forward made, of token t at t * their token stride; null for zeros.
struct coefficient_gradients {
    const float* pre;
    const float* post;
    const float* mix;
    i64 pre_token, post_token, mix_token;
};

MHC_DEVICE float given_or_zero(const float* row, int i) { return row ? row[i] : 0.0f; }

/// Numbers of a token in `sums`: the gradient of z (and so of base), then those of the scales.
template <matrix M, int n>
constexpr int affine_width = rows_of_z<M, n> + (M == matrix::none ? 1 : 3);

/// LDS of one token: the matrix and its lines, its gradient, and products for the scales.
template <int n>
constexpr int gradient_floats = balance<n>::floats + n* n + n* n + 2 * n;

/// The matrix's part of the gradient of z, in `gradient`.
template <matrix M, class Options, int n, int lanes, class Z>
MHC_DEVICE void matrix_gradient(balance<n> s, float* gradient, const float* d_mix, float* history, int lane, float eps, Z z)
{
    for (int e = lane; e < n * n; e += lanes) {
        if (M == matrix::balanced) s.entries[e] = z(2 * n + e);
        gradient[e] = given_or_zero(d_mix, e);
    }
    // What follows `gradient` are 2 n numbers and then the matrix that d_mix is by now a copy of, or nothing yet.
    if constexpr (M == matrix::balanced)
        balanced_gradient<Options, n, lanes>(s, gradient, history, gradient + n * n + 2 * n, lane, eps,
                                             [=](int e) MHC_INLINE { return z(2 * n + e); });
    wave_sync();
}

/// The gradient of row o of z, from what `matrix_gradient` left.
template <int n>
MHC_DEVICE float z_gradient(int o, float z, const float* d_pre, const float* d_post, const float* gradient, float post_mult)
{
    if (o < n) return given_or_zero(d_pre, o) * sigmoid_slope(z);
    if (o < 2 * n) return given_or_zero(d_post, o - n) * post_mult * sigmoid_slope(z);
    return gradient[o - 2 * n];
}

/// Sums over the splits, in their order, of Rows rows of a token's projection, in to[Rows]; and that of its squares. Loads
/// of several rows are on their way at once.
template <int Rows, int lanes>
MHC_DEVICE float keep_sums(float* to, projected from, i64 t, i64 tokens, int lane)
{
    constexpr int together = smaller(ceil_div(Rows, lanes), 8);
    float squares = 0.0f;
    for (int first = lane; first < Rows; first += lanes * together) {
        float totals[together] = {};
        for (i64 s = 0; s < from.splits; ++s) {
            const float* const row = from.proj + (s * tokens + t) * Rows;
#pragma unroll
            for (int k = 0; k < together; ++k)
                if (first + k * lanes < Rows) totals[k] += row[first + k * lanes];
        }
#pragma unroll
        for (int k = 0; k < together; ++k)
            if (first + k * lanes < Rows) to[first + k * lanes] = totals[k];
    }
    for (i64 s = 0; s < from.splits; ++s) squares += from.sqsum[s * tokens + t];
    wave_sync();
    return squares;
}

/// d_proj [S, T, m] and d_sqsum [S, T], the same for each split since the splits are summed, and sums [T, affine_width].
/// Of all `tokens` the first `valid` are read and written. LDS of a token: gradient_floats, the projection's rows, and Room.
template <matrix M, class Options, int n, int K, int Room, class Grid>
MHC_DEVICE void token_coefficients_gradient(Grid at, float* shared, projected from, affine by, coefficient_gradients given,
                                            float* history, float* d_proj, float* d_sqsum, i64 splits, float* sums,
                                            i64 tokens, i64 valid, coefficient_constants k)
{
    constexpr int m = rows_of_z<M, n>, lanes = lanes_of(n, Grid::wave_size), width = affine_width<M, n>;
    constexpr int floats = gradient_floats<n> + m;
    for_each_matrix<n, floats + Room>(at, shared, valid, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        float *const gradient = s.entries + balance<n>::floats, *const products = gradient + n * n;
        float* const projections = s.entries + gradient_floats<n>;
        const float squares = keep_sums<m, lanes>(projections, from, t, tokens, lane);
        const float r = 1.0f / square_root(squares * (1.0f / float(K)) + k.rms_eps);
        auto scale_of = [=](int o) MHC_INLINE { return o < n ? *by.scale_pre : o < 2 * n ? *by.scale_post : *by.scale_res; };
        auto normalised = [=](int o) MHC_INLINE { return projections[o] * r; };
        auto z = [=](int o) MHC_INLINE {
            const float base = o < n ? by.base_pre[o] : o < 2 * n ? by.base_post[o - n] : by.base_res[o - 2 * n];
            return fma(normalised(o), scale_of(o), base);
        };
        auto row = [=](const float* all, i64 token) MHC_INLINE { return all ? all + t * token : nullptr; };
        if constexpr (M != matrix::none) {
            float* kept = nullptr;
            if constexpr (M == matrix::balanced) kept = history_place<Options, n, Room>(s.entries + floats, history, t);
            matrix_gradient<M, Options, n, lanes>(s, gradient, row(given.mix, given.mix_token), kept, lane, k.sinkhorn_eps,
                                                  z);
        }
        for (int o = lane; o < m; o += lanes) {
            const float d_z = z_gradient<n>(o, z(o), row(given.pre, given.pre_token), row(given.post, given.post_token),
                                            gradient, k.post_mult);
            products[o] = d_z * normalised(o);
            if (!is_live) continue;
            sums[t * width + o] = d_z;
            for (i64 split = 0; split < splits; ++split) d_proj[(split * tokens + t) * m + o] = d_z * scale_of(o) * r;
        }
        wave_sync();
        // The scales' sums, a lane each: of pre, of post and of the matrix.
        for (int part = lane; part < width - m; part += lanes) {
            const int begin = part * n, end = part == 2 ? m : begin + n;
            float parts[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (int o = begin; o < end; o += 4) {
#pragma unroll
                for (int k = 0; k < 4; ++k)  // numbers of parts must be constants, or they are no registers
                    if (o + k < end) parts[k] += products[o + k];
            }
            const float total = sum_of(parts);
            s.entries[part] = total;
            if (is_live) sums[t * width + m + part] = total;
        }
        wave_sync();
        if (lane == 0 && is_live) {
            float total = *by.scale_pre * s.entries[0];
            if (M != matrix::none) total = fma(*by.scale_res, s.entries[2], fma(*by.scale_post, s.entries[1], total));
            const float d_squares = -0.5f * r * r * (1.0f / float(K)) * total;
            for (i64 split = 0; split < splits; ++split) d_sqsum[split * tokens + t] = d_squares;
        }
    });
}

/// Gradients of h_pre, h_post and h_res, whose coefficients have the gradients `given`: p [n], q [n], the matrix [n, n].
template <class Options, int n, class Grid>
MHC_DEVICE void static_coefficients_gradient(Grid at, float* shared, const float* h_pre, const float* h_post,
                                             const float* h_res, const float* rows, i64 count, float* history, float* d_pre,
                                             float* d_post, float* d_res, bool adds, coefficient_constants k)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size), m = n * n + 2 * n;
    float* const given = shared + balance<n>::floats + n * n;  // of the one matrix that there is
    for (int o = at.thread(); o < m; o += Grid::block) given[o] = column_sum(rows, count, m, o);
    barrier();
    for_each_matrix<n, gradient_floats<n>>(at, shared, 1, [=](i64, bool is_live, balance<n> s, int lane) MHC_INLINE {
        float* const gradient = s.entries + balance<n>::floats;
        auto z = [=](int o) MHC_INLINE { return o < n ? h_pre[o] : o < 2 * n ? h_post[o - n] : h_res[o - 2 * n]; };
        // Without tokens there is no history to write to, and nothing but zeros to take back.
        if (count > 0)
            matrix_gradient<matrix::balanced, Options, n, lanes>(s, gradient, given + 2 * n, history, lane, k.sinkhorn_eps,
                                                                 z);
        else
            for (int e = lane; e < n * n; e += lanes) gradient[e] = 0.0f;
        for (int o = lane; o < m && is_live; o += lanes) {
            float* const to = o < n ? d_pre + o : o < 2 * n ? d_post + (o - n) : d_res + (o - 2 * n);
            store_parameter(to, z_gradient<n>(o, z(o), given, given + n, gradient, k.post_mult), adds);
        }
    });
}

}  // namespace mhc
