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
template <axis A, class Steps, int n, class History>
MHC_DEVICE void step_in_lane(matrix_in_lane<n>& s, float eps, int number, History history)
{
    using sum = line_sum<Steps::mode>;
    constexpr int own = A == axis::row ? 0 : 1;
    // Lines by turns in each operation, since one waits for the last: the compiler keeps the order that it finds.
#pragma unroll
    for (int line = 0; line < n; ++line)
        s.inverses[own][line] = factored_sum<n>(
            sum::begin(s.inverses[own][line], eps, Steps::may_have_zeros(eps)),
            [&](int k) MHC_INLINE { return A == axis::row ? s.entries[line][k] : s.entries[k][line]; },
            [&](int k) MHC_INLINE { return s.factors[1 - own][k]; });
#pragma unroll
    for (int line = 0; line < n; ++line) {
        const float old = s.factors[own][line], divisor = s.inverses[own][line];
        const bool stays = sum::stays(old, divisor, eps);
        s.factors[own][line] = stays ? old : quotient<Steps::is_normal>(1.0f, divisor);
        history.step(number, line, s.factors[own][line], !stays);
    }
}

template <int n>
MHC_DEVICE void begin_anew(matrix_in_lane<n>& own)
{
#pragma unroll
    for (int a = 0; a < n; ++a) own.factors[0][a] = own.factors[1][a] = own.inverses[0][a] = own.inverses[1][a] = 1.0f;
}

template <int n>
MHC_DEVICE matrix_in_lane<n> take_matrix(balance<n> s)
{
    matrix_in_lane<n> own;
    begin_anew(own);
#pragma unroll
    for (int a = 0; a < n; ++a) {
#pragma unroll
        for (int b = 0; b < n; ++b) own.entries[a][b] = s.entry(axis::row, a, b);
    }
    return own;
}

/// As steps_on_entries.
template <class Steps, int n, class History = no_history>
MHC_DEVICE void steps_in_lane(matrix_in_lane<n>& own, float eps, History history = {}, bool had_logits = false)
{
    constexpr axis first = Steps::axis_of(0), second = Steps::axis_of(1);
    MHC_SHORT_LOOP
    for (int k = 0; k + 1 < Steps::count; k += 2) {
        if (k == Steps::anew && had_logits) begin_anew(own);
        step_in_lane<first, Steps, n>(own, eps, k, history);
        step_in_lane<second, Steps, n>(own, eps, k + 1, history);
    }
    if constexpr (Steps::count % 2 == 1) step_in_lane<first, Steps, n>(own, eps, Steps::count - 1, history);
    if (Steps::count == Steps::anew && had_logits) begin_anew(own);
}

/// A line of a matrix of logits and the one that crosses it on the diagonal, in one of the n lanes that share the matrix:
/// potentials go round in memory.
template <int n>
struct crossing_lines {
    float z[2][n], hi[2][n], lo[2][n];  ///< logits of the own row and column; potentials of all rows and columns
    float own_hi[2] = {}, own_lo[2] = {};

    MHC_MEMBER crossing_lines(balance<n> s, int line)
    {
#pragma unroll
        for (int k = 0; k < n; ++k) {
            z[0][k] = s.entry(axis::row, line, k);
            z[1][k] = s.entry(axis::col, line, k);
            hi[0][k] = hi[1][k] = lo[0][k] = lo[1][k] = 0.0f;
        }
    }
    /// Of the own line of axis A, with a potential of this line.
    template <axis A>
    MHC_MEMBER float logit(int k, float line_hi, float line_lo) const
    {
        return A == axis::row ? balanced_logit(z[0][k], line_hi, line_lo, hi[1][k], lo[1][k])
                              : balanced_logit(z[1][k], hi[0][k], lo[0][k], line_hi, line_lo);
    }
    /// As log_step. Known: steps that were before, of those that see a potential of 0: none, one of the other axis, or 2.
    template <axis A, eps_mode Mode, int Known = 2>
    MHC_MEMBER void step(balance<n> s, int line, float eps)
    {
        constexpr int own = A == axis::row ? 0 : 1, other = 1 - own;
        grow_potential<Mode, n>(
            own_hi[own], own_lo[own], eps,
            [this](int k) MHC_INLINE {
                if constexpr (Known == 0) return z[own][k];
                if constexpr (Known == 1) return balanced_logit(z[own][k], hi[other][k], lo[other][k]);
                return logit<A>(k, own_hi[own], own_lo[own]);
            },
            [this](int k, float line_hi, float line_lo) MHC_INLINE {
                return Known == 0 ? balanced_logit(z[own][k], line_hi, line_lo) : logit<A>(k, line_hi, line_lo);
            });
        s.hi(A, line) = own_hi[own];
        s.lo(A, line) = own_lo[own];
        wave_sync();
#pragma unroll
        for (int k = 0; k < n; ++k) {
            hi[own][k] = s.hi(A, k);
            lo[own][k] = s.lo(A, k);
        }
    }
};

/// The steps on logits and the entries after them, by n lanes of a matrix; where it is moderate, those without steps.
/// IsOnce: as below.
template <class Options, int n, bool IsOnce>
MHC_DEVICE void entries_of_logits(balance<n> s, int line, float eps, bool is_moderate)
{
    using plan = sinkhorn_steps<Options>;
    if constexpr (IsOnce) {
        steps_on_logits<Options, n, n>(s, line, eps, no_history{});
        exponentiate<n, n>(s, line, !is_moderate);
    } else {
        crossing_lines<n> own(s, line);
        if constexpr (plan::is_softmax) {
            own.template step<axis::row, eps_mode::none, 0>(s, line, eps);
            if constexpr (plan::on_logits > 1) own.template step<axis::col, Options::mode, 1>(s, line, eps);
        } else if constexpr (plan::on_logits == 2) {
            own.template step<Options::one, Options::mode, 0>(s, line, eps);
            own.template step<Options::two, Options::mode, 1>(s, line, eps);
        } else {
            MHC_SHORT_LOOP
            for (int k = 0; k < plan::on_logits; k += 2) {
                own.template step<Options::one, Options::mode>(s, line, eps);
                own.template step<Options::two, Options::mode>(s, line, eps);
            }
        }
#pragma unroll
        for (int k = 0; k < n; ++k)
            s.entries[line * n + k] =
                exp(is_moderate ? own.z[0][k] : own.template logit<axis::row>(k, own.own_hi[0], own.own_lo[0]));
    }
}

/// What becomes of the matrices that each group of n lanes has in turn: body(matrix, line).
template <int n, class Body>
MHC_DEVICE void for_each_in_turn(float* matrices, int count, int lane, Body body)
{
    for (int first = 0; first < count; first += 32 / n)
        body(balance<n>{matrices + (first + lane / n) * balance<n>::floats}, lane % n);
}

/// Steps on entries of `count` matrices, a lane each, and their factors; of those that begin anew s.inverse(axis::col, 0) is
/// 0.
template <class Steps, int n>
MHC_DEVICE void steps_of_matrices(float* matrices, int count, int lane, float eps)
{
    wave_sync();
    if (lane < count) {
        const balance<n> s = {matrices + lane * balance<n>::floats};
        matrix_in_lane<n> own = take_matrix(s);
        steps_in_lane<Steps, n>(own, eps, no_history{}, Steps::anew >= 0 && s.inverse(axis::col, 0) == 0.0f);
#pragma unroll
        for (int a = 0; a < n; ++a) {
            s.factor(axis::row, a) = own.factors[0][a];
            s.factor(axis::col, a) = own.factors[1][a];
        }
    }
    wave_sync();
}

/// As factors_in_lanes, where all steps of moderate logits are on entries.
template <class Options, int n, bool IsOnce>
MHC_DEVICE void factors_of_exponentials(float* matrices, int count, int lane, float eps)
{
    using steps = moderate_steps<Options>;
    bool are_moderate = true, are_for_all = true;
    for_each_in_turn<n>(matrices, count, lane, [&](balance<n> s, int line) MHC_INLINE {
        const logit_bounds z = bounds_of_logits<n, n>(s, line);
        s.inverse(axis::col, line) = z.are_moderate() ? 1.0f : 0.0f;
        are_moderate = are_moderate && z.are_moderate();
        are_for_all = are_for_all && steps::are_for(z, eps);
    });
    const bool has_wide = wave_takes(!are_moderate);
    for_each_in_turn<n>(matrices, count, lane, [=](balance<n> s, int line) MHC_INLINE {
        if (has_wide) {
            const bool is_moderate = s.inverse(axis::col, line) != 0.0f;
            wave_sync();
            entries_of_logits<Options, n, IsOnce>(s, line, eps, is_moderate);
            wave_sync();  // all have read potentials
            s.inverse(axis::col, line) = is_moderate ? 1.0f : 0.0f;
        } else {
#pragma unroll
            for (int k = 0; k < n; ++k) s.entries[line * n + k] = exp(s.entries[line * n + k]);
        }
    });
    if (wave_takes(!are_for_all))
        steps_of_matrices<mixed_steps<Options>, n>(matrices, count, lane, eps);
    else
        steps_of_matrices<steps, n>(matrices, count, lane, eps);
}

/// `count` matrices of logits, up to 32, one after the other as `balance` has them: afterwards factors are still to be
/// applied. All lanes of the wave must call it. IsOnce: a launch has few matrices, for which more instructions would take
/// longer to come than to be executed.
template <class Options, int n, bool IsOnce = false>
MHC_DEVICE void factors_in_lanes(float* matrices, int count, int lane, float eps)
{
    using plan = sinkhorn_steps<Options>;
    wave_sync();
    if constexpr (moderate_steps<Options>::exist)
        return factors_of_exponentials<Options, n, IsOnce>(matrices, count, lane, eps);
    for_each_in_turn<n>(matrices, count, lane, [=](balance<n> s, int line) MHC_INLINE {
        if constexpr (!plan::starts_with_entries)
            entries_of_logits<Options, n, IsOnce>(s, line, eps, false);
        else if constexpr (plan::is_softmax)
            softmax_row<n>(s.entries + line * n, Options::stated == eps_mode::add_both ? eps : 0.0f);
    });
    steps_of_matrices<entry_steps<Options>, n>(matrices, count, lane, eps);
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
template <class Options, bool IsOnce = false, int n, class Grid>
MHC_DEVICE void factors_of_wave(Grid at, balance<n> s, float eps)
{
    factors_in_lanes<Options, n, IsOnce>(s.entries - at.lane() / n * balance<n>::floats, Grid::wave_size / n, at.lane(),
                                         eps);
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
