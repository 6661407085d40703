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
template <matrix M, class Options, int n, int lanes, class Z, class PutMix>
MHC_DEVICE void matrix_gradient(balance<n> s, float* gradient, const float* d_mix, float* history, int lane, float eps, Z z,
                                PutMix put_mix)
{
    for (int e = lane; e < n * n; e += lanes) {
        if (M == matrix::balanced) s.entries[e] = z(2 * n + e);
        gradient[e] = given_or_zero(d_mix, e);
    }
    // What follows `gradient` are 2 n numbers and then the matrix that d_mix is by now a copy of, or nothing yet.
    if constexpr (M == matrix::balanced)
        balanced_gradient<Options, n, lanes>(
            s, gradient, history, gradient + n * n + 2 * n, lane, eps, [=](int e) MHC_INLINE { return z(2 * n + e); },
            put_mix);
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

/// Rows of a token's gradients, null for zeros.
struct token_gradients {
    const float *pre, *post, *mix;
};

/// z of a token's rows from the sums of its splits: `products` of them, and r.
template <int n>
struct token_z {
    const float* products;
    float r;
    affine by;

    MHC_MEMBER float normalised(int o) const { return products[o] * r; }
    MHC_MEMBER float scale(int o) const { return *by.scale<n>(o); }
    MHC_MEMBER float operator()(int o) const { return fma(normalised(o), scale(o), *by.base<n>(o)); }
};

/// d_Q of a token, in lane 0, from the gradients of its coefficients. put(o, z, d_P) gets what row o has, put_mix(e, v) the
/// balanced matrix, each from one lane. sums [affine_width] are zeros where the token is not live. `s` has gradient_floats,
/// `kept` the history of the matrix.
template <matrix M, class Options, int n, int K, int lanes, class Put, class PutMix>
MHC_DEVICE float token_gradient(balance<n> s, int lane, bool is_live, const token_z<n>& z, token_gradients given,
                                float* kept, float* sums, coefficient_constants k, Put put, PutMix put_mix)
{
    constexpr int m = rows_of_z<M, n>, width = affine_width<M, n>;
    float *const gradient = s.entries + balance<n>::floats, *const products = gradient + n * n;
    if constexpr (M != matrix::none)
        matrix_gradient<M, Options, n, lanes>(s, gradient, given.mix, kept, lane, k.sinkhorn_eps, z, put_mix);
    for (int o = lane; o < m; o += lanes) {
        const float value = z(o), d_z = z_gradient<n>(o, value, given.pre, given.post, gradient, k.post_mult);
        products[o] = d_z * z.normalised(o);
        sums[o] = is_live ? d_z : 0.0f;
        if (is_live) put(o, value, d_z * z.scale(o) * z.r);
    }
    wave_sync();
    // The scales' sums, a lane each: of pre, of post and of the matrix.
    for (int part = lane; part < width - m; part += lanes) {
        const int begin = part * n, end = part == 2 ? m : begin + n;
        float parts[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int o = begin; o < end; o += 4) {
#pragma unroll
            for (int i = 0; i < 4; ++i)  // numbers of parts must be constants, or they are no registers
                if (o + i < end) parts[i] += products[o + i];
        }
        const float total = sum_of(parts);
        s.entries[part] = total;
        sums[m + part] = is_live ? total : 0.0f;
    }
    wave_sync();
    if (lane != 0 || !is_live) return 0.0f;
    float total = *z.by.scale_pre * s.entries[0];
    if (M != matrix::none) total = fma(*z.by.scale_res, s.entries[2], fma(*z.by.scale_post, s.entries[1], total));
    return -0.5f * z.r * z.r * (1.0f / float(K)) * total;
}

/// to[o], o < Width: the sum of what `together` tokens have at `from`, `distance` floats apart, one after the other.
template <int Width, int together, class Grid>
MHC_DEVICE void sum_tokens(Grid at, float* to, const float* from, int distance)
{
    MHC_SHORT_LOOP
    for (int o = at.thread(); o < Width; o += Grid::block) {
        float total = 0.0f;
#pragma unroll
        for (int token = 0; token < together; ++token) total += from[token * distance + o];
        to[o] = total;
    }
}

/// d_proj [S, T, m] and d_sqsum [S, T], the same for each split since the splits are summed, and in sums [.., affine_width]
/// those of the tokens that a work-group has at once. Of all `tokens` the first `valid` are read and written. LDS of a
/// token: gradient_floats, the projection's rows, affine_width floats, and Room.
template <matrix M, class Options, int n, int K, int Room, class Grid>
MHC_DEVICE void token_coefficients_gradient(Grid at, float* shared, projected from, affine by, coefficient_gradients given,
                                            float* history, float* d_proj, float* d_sqsum, i64 splits, float* sums,
                                            i64 tokens, i64 valid, coefficient_constants k)
{
    constexpr int m = rows_of_z<M, n>, lanes = lanes_of(n, Grid::wave_size), together = Grid::block / lanes;
    constexpr int width = affine_width<M, n>, affine_at = gradient_floats<n> + m, floats = affine_at + width;
    auto gradient = [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        float* const projections = s.entries + gradient_floats<n>;
        const float squares = keep_sums<m, lanes>(projections, from, t, tokens, lane);
        float* kept = nullptr;
        if constexpr (M == matrix::balanced) kept = history_place<Options, n, Room>(s.entries + floats, history, t);
        auto row = [=](const float* all, i64 token) MHC_INLINE { return all ? all + t * token : nullptr; };
        const float d_squares = token_gradient<M, Options, n, K, lanes>(
            s, lane, is_live, {projections, inverse_rms<K>(squares, k), by},
            {row(given.pre, given.pre_token), row(given.post, given.post_token), row(given.mix, given.mix_token)}, kept,
            s.entries + affine_at, k,
            [=](int o, float, float d_product) MHC_INLINE {
                for (i64 split = 0; split < splits; ++split) d_proj[(split * tokens + t) * m + o] = d_product;
            },
            no_matrix{});
        if (lane == 0 && is_live)
            for (i64 split = 0; split < splits; ++split) d_sqsum[split * tokens + t] = d_squares;
    };
    for_matrices_together<n, floats + Room>(at, shared, valid, gradient, [=](i64 first) MHC_INLINE {
        barrier();
        sum_tokens<width, together>(at, sums + first / together * width, shared + affine_at, floats + Room);
        barrier();  // before the next tokens' logits come
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
                                                                 z, no_matrix{});
        else
            for (int e = lane; e < n * n; e += lanes) gradient[e] = 0.0f;
        for (int o = lane; o < m && is_live; o += lanes) {
            float* const to = o < n ? d_pre + o : o < 2 * n ? d_post + (o - n) : d_res + (o - 2 * n);
            store_parameter(to, z_gradient<n>(o, z(o), given, given + n, gradient, k.post_mult), adds);
        }
    });
}

}  // namespace mhc
