// mhc/device/sinkhorn_lanes.hpp -- sinkhorn.hpp's iteration with a matrix of n x n, n small, in the registers of one lane:
// the same operations in the same order, without shared memory or another lane between the steps.
#pragma once

#include <mhc/device/sinkhorn.hpp>

namespace mhc {

template <int n>
struct matrix_in_lane {
    float entries[n][n], factors[2][n], inverses[2][n];  ///< of rows, and of columns
};

/// As `step` of sinkhorn.hpp.
template <axis A, eps_mode Mode, int n>
MHC_DEVICE void step_in_lane(matrix_in_lane<n>& s, float eps)
{
    using sum = line_sum<Mode>;
    constexpr int own = A == axis::row ? 0 : 1;
    // Lines by turns in each operation, since one waits for the last: the compiler keeps the order that it finds.
#pragma unroll
    for (int line = 0; line < n; ++line)
        s.inverses[own][line] = factored_sum<n>(
            sum::begin(s.inverses[own][line], eps),
            [&](int k) MHC_INLINE { return A == axis::row ? s.entries[line][k] : s.entries[k][line]; },
            [&](int k) MHC_INLINE { return s.factors[1 - own][k]; });
#pragma unroll
    for (int line = 0; line < n; ++line) {
        const float old = s.factors[own][line], divisor = s.inverses[own][line];
        s.factors[own][line] = sum::stays(old, divisor, eps) ? old : quotient<sum::adds>(1.0f, divisor);
    }
}

/// `count` matrices of logits, up to 32, one after the other as `balance` has them: afterwards factors are still to be
/// applied. All lanes of the wave must call it.
template <class Options, int n>
MHC_DEVICE void factors_in_lanes(float* matrices, int count, int lane, float eps)
{
    using plan = sinkhorn_steps<Options>;
    constexpr int together = 32 / n;
    wave_sync();
    for (int first = 0; first < count; first += together) {
        const balance<n> s = {matrices + (first + lane / n) * balance<n>::floats};
        if constexpr (plan::starts_with_entries) {
            if constexpr (plan::is_softmax)
                softmax_row<n>(s.entries + lane % n * n, Options::stated == eps_mode::add_both ? eps : 0.0f);
            wave_sync();
        } else {
            steps_on_logits<Options, n, n>(s, lane % n, eps, no_history{});
            exponentiate<n, n>(s, lane % n);
        }
    }
    if (lane < count) {
        const balance<n> s = {matrices + lane * balance<n>::floats};
        matrix_in_lane<n> own;
#pragma unroll
        for (int a = 0; a < n; ++a) {  // as start_factors has left them
            own.factors[0][a] = own.factors[1][a] = own.inverses[0][a] = own.inverses[1][a] = 1.0f;
#pragma unroll
            for (int b = 0; b < n; ++b) own.entries[a][b] = s.entry(axis::row, a, b);
        }
        constexpr axis first = plan::axis_on_entries(0), second = plan::axis_on_entries(1);
        MHC_SHORT_LOOP
        for (int k = 0; k + 1 < plan::on_entries; k += 2) {
            step_in_lane<first, Options::mode, n>(own, eps);
            step_in_lane<second, Options::mode, n>(own, eps);
        }
        if constexpr (plan::on_entries % 2 == 1) step_in_lane<first, Options::mode, n>(own, eps);
#pragma unroll
        for (int a = 0; a < n; ++a) {
            s.factor(axis::row, a) = own.factors[0][a];
            s.factor(axis::col, a) = own.factors[1][a];
        }
    }
    wave_sync();
}

/// The balanced line of a matrix after that.
template <int n>
MHC_DEVICE void store_row(balance<n> s, int row, float* to)
{
#pragma unroll
    for (int k = 0; k < n; ++k)
        to[row * n + k] = s.entry(axis::row, row, k) * s.factor(axis::row, row) * s.factor(axis::col, k);
}

/// factors_in_lanes of all the matrices that a wave has in for_each_matrix, of which `s` is this lane's.
template <class Options, int n, class Grid>
MHC_DEVICE void factors_of_wave(Grid at, balance<n> s, float eps)
{
    factors_in_lanes<Options, n>(s.entries - at.lane() / n * balance<n>::floats, Grid::wave_size / n, at.lane(), eps);
}

/// mix[t] = Sinkhorn(logits[t])
template <class Options, int n, class Grid>
MHC_DEVICE void sinkhorn_tokens(Grid at, float* shared, const float* logits, float* mix, i64 tokens, float eps)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size);
    for_each_matrix<n>(at, shared, tokens, [=](i64 t, bool is_live, balance<n> s, int lane) MHC_INLINE {
        for (int e = lane; e < n * n; e += lanes) s.entries[e] = logits[t * (n * n) + e];
        if constexpr (balances_in_lanes<n>) {
            factors_of_wave<Options>(at, s, eps);
            if (is_live) store_row(s, lane, mix + t * (n * n));
        } else {
            sinkhorn<Options, n, lanes>(s, lane, eps);
            if (is_live)
                for (int e = lane; e < n * n; e += lanes) mix[t * (n * n) + e] = s.entries[e];
        }
    });
}

}  // namespace mhc
