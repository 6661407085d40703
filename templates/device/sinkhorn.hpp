// mhc/device/sinkhorn.hpp -- Sinkhorn's iteration on n x n matrices by every variant that public implementations use.
//
// A row step divides by the sum over b of S[a,b], a col step by the sum over a. `lanes` lanes of one wave share a matrix, a
// line each. No step ever rounds an entry: S stays what it was at the start, times a factor for each row and each column,
// and a step makes a line's factor anew. So rounding does not add up over the iterations, even where they converge slowly.
#pragma once

#include <mhc/device/sinkhorn_steps.hpp>

namespace mhc {

/// All factors become 1, where that is wanted.
template <int n, int lanes>
MHC_DEVICE void start_factors(balance<n> s, int lane, bool is_wanted = true)
{
    for (int line = lane; is_wanted && line < n; line += lanes) {
        s.factor(axis::row, line) = s.factor(axis::col, line) = 1.0f;
        s.inverse(axis::row, line) = s.inverse(axis::col, line) = 1.0f;
    }
    wave_sync();
}

/// Logits become entries, less their lines' potentials, if these are known.
template <int n, int lanes>
MHC_DEVICE void exponentiate(balance<n> s, int lane, bool has_potentials = true)
{
    for (int a = lane; a < n; a += lanes)
        for (int b = 0; b < n; ++b)
            s.entries[a * n + b] = exp(has_potentials ? balanced_logit(s, a, b) : s.entries[a * n + b]);
    wave_sync();
    start_factors<n, lanes>(s, lane);
}

/// A line whose factor is `old`, the reciprocal of `inverse`: q is the sum of its entries times the other lines' factors,
/// so old * q is the line's sum, and old / (old * q + eps) is 1 / (q + eps * inverse). The latter addend, which is known
/// before q, begins the sum.
template <eps_mode Mode>
struct line_sum {
    static constexpr bool adds = Mode == eps_mode::add;
    /// A line of zeros, where such may be, is divided by eps again and again: its factor means nothing, but must not become
    /// infinite. Neither this nor its reciprocal is then a denormal.
    static MHC_MEMBER float begin(float inverse, float eps, bool may_be_zeros)
    {
        if (!adds) return 0.0f;
        const float first = eps * inverse;
        return may_be_zeros && first < 0x1p-120f ? 0x1p-120f : first;
    }
    /// Whether a line's factor remains: `divisor` is the whole sum, q where nothing is added.
    static MHC_MEMBER bool stays(float old, float divisor, float eps)
    {
        return Mode == eps_mode::thresh && !(old * divisor > eps);
    }
};

/// first + the sum over k of entry(k) * factor(k).
template <int n, class Entry, class Factor>
MHC_DEVICE float factored_sum(float first, Entry entry, Factor factor)
{
    float parts[line_parts<n>] = {first};
#pragma unroll
    for (int k = 0; k < n; ++k) parts[k % line_parts<n>] = fma(entry(k), factor(k), parts[k % line_parts<n>]);
    return sum_of(parts);
}

/// One step on entries, of Steps that count it as `number`.
template <axis A, class Steps, int n, int lanes, class History>
MHC_DEVICE void step(balance<n> s, int lane, float eps, int number, History history)
{
    using sum = line_sum<Steps::mode>;
    constexpr axis other = A == axis::row ? axis::col : axis::row;
    for (int line = lane; line < n; line += lanes) {
        const float old = s.factor(A, line);
        const float divisor = factored_sum<n>(
            sum::begin(s.inverse(A, line), eps, Steps::may_have_zeros(eps)),
            [=](int k) MHC_INLINE { return s.entry(A, line, k); }, [=](int k) MHC_INLINE { return s.factor(other, k); });
        const bool stays = sum::stays(old, divisor, eps);
        const float factor = stays ? old : quotient<Steps::is_normal>(1.0f, divisor);
        s.factor(A, line) = factor;
        s.inverse(A, line) = divisor;
        history.step(number, line, factor, !stays);
    }
    wave_sync();
}

/// Entries take in the factors.
template <int n, int lanes>
MHC_DEVICE void apply_factors(balance<n> s, int lane)
{
    for (int a = lane; a < n; a += lanes)
        for (int b = 0; b < n; ++b)  // one after the other: the product of two large factors of a line of zeros is infinite
            s.entries[a * n + b] = s.entries[a * n + b] * s.factor(axis::row, a) * s.factor(axis::col, b);
    wave_sync();
}

/// softmax of a row, plus `added`.
template <int n>
MHC_DEVICE void softmax_row(float* row, float added)
{
    float top = row[0];
    for (int b = 1; b < n; ++b) top = larger(top, row[b]);
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int b = 0; b < n; ++b) {
        float error = 0.0f;
        const float power = exp(difference(row[b], top, error));
        const float e = fma(power, error, power);  // e^(d + error), error below the last place of d
        row[b] = e;
        sums[b % 4] += e;
    }
    const float total = sum_of(sums);
    for (int b = 0; b < n; ++b) row[b] = quotient<true>(row[b], total) + added;
}

template <int n, int lanes>
MHC_DEVICE void softmax_rows(balance<n> s, int lane, float added)
{
    for (int a = lane; a < n; a += lanes) softmax_row<n>(s.entries + a * n, added);
    wave_sync();
}

/// Two by two, since axes alternate. had_logits: this matrix is one of those that begin anew.
template <class Steps, int n, int lanes, class History = no_history>
MHC_DEVICE void steps_on_entries(balance<n> s, int lane, float eps, History history = {}, bool had_logits = false)
{
    constexpr axis first = Steps::axis_of(0), second = Steps::axis_of(1);
    for (int k = 0; k + 1 < Steps::count; k += 2) {
        if (k == Steps::anew) start_factors<n, lanes>(s, lane, had_logits);
        step<first, Steps, n, lanes>(s, lane, eps, k, history);
        step<second, Steps, n, lanes>(s, lane, eps, k + 1, history);
    }
    if constexpr (Steps::count % 2 == 1) step<first, Steps, n, lanes>(s, lane, eps, Steps::count - 1, history);
    if (Steps::count == Steps::anew) start_factors<n, lanes>(s, lane, had_logits);
}

template <class Options, int n, int lanes, class History>
MHC_DEVICE void steps_on_logits(balance<n> s, int lane, float eps, History history)
{
    using plan = sinkhorn_steps<Options>;
    for (int line = lane; line < n; line += lanes)
        s.hi(axis::row, line) = s.lo(axis::row, line) = s.hi(axis::col, line) = s.lo(axis::col, line) = 0.0f;
    wave_sync();
    if constexpr (plan::is_softmax) {
        log_step<axis::row, eps_mode::none, n, lanes>(s, lane, eps, 0, history);
        if constexpr (plan::on_logits > 1) log_step<axis::col, Options::mode, n, lanes>(s, lane, eps, 1, history);
    } else {
        for (int k = 0; k < plan::on_logits; k += 2) {
            log_step<Options::one, Options::mode, n, lanes>(s, lane, eps, k, history);
            log_step<Options::two, Options::mode, n, lanes>(s, lane, eps, k + 1, history);
        }
    }
}

/// All that is done before the steps on entries: `s.entries` holds logits, and then those.
template <class Options, int n, int lanes, class History>
MHC_DEVICE void start_entries(balance<n> s, int lane, float eps, History history)
{
    using plan = sinkhorn_steps<Options>;
    wave_sync();
    if constexpr (plan::starts_with_entries) {
        if constexpr (plan::is_softmax) softmax_rows<n, lanes>(s, lane, Options::stated == eps_mode::add_both ? eps : 0.0f);
        start_factors<n, lanes>(s, lane);
    } else {
        steps_on_logits<Options, n, lanes>(s, lane, eps, history);
        exponentiate<n, lanes>(s, lane);
    }
}

/// The row and the column of a lane, with what the lane knows of them: the same operations in the same order as `step`,
/// where only other lines' factors are read from memory.
template <int n>
struct lines_of_lane {
    float entries[2][n], factor[2] = {1.0f, 1.0f}, inverse[2] = {1.0f, 1.0f};

    MHC_MEMBER lines_of_lane(balance<n> s, int line)
    {
#pragma unroll
        for (int k = 0; k < n; ++k) {
            entries[0][k] = s.entry(axis::row, line, k);
            entries[1][k] = s.entry(axis::col, line, k);
        }
    }
    template <axis A, class Steps>
    MHC_MEMBER void step(balance<n> s, int lane, float eps)
    {
        using sum = line_sum<Steps::mode>;
        constexpr int own = A == axis::row ? 0 : 1;
        constexpr axis other = A == axis::row ? axis::col : axis::row;
        const float divisor = factored_sum<n>(
            sum::begin(inverse[own], eps, Steps::may_have_zeros(eps)), [this](int k) MHC_INLINE { return entries[own][k]; },
            [=](int k) MHC_INLINE { return s.factor(other, k); });
        if (!sum::stays(factor[own], divisor, eps)) factor[own] = quotient<Steps::is_normal>(1.0f, divisor);
        inverse[own] = divisor;
        if (lane < n) s.factor(A, lane) = factor[own];
        wave_sync();
    }
    MHC_MEMBER void begin_anew(balance<n> s, int lane, bool is_wanted)
    {
        if (is_wanted) {
            factor[0] = factor[1] = inverse[0] = inverse[1] = 1.0f;
            if (lane < n) s.factor(axis::row, lane) = s.factor(axis::col, lane) = 1.0f;
        }
        wave_sync();
    }
};

/// As steps_on_entries, but for the lines' inverses, which are told to nobody. All lanes of the wave must call it.
template <class Steps, int n>
MHC_DEVICE void steps_of_lines(balance<n> s, int lane, float eps, bool had_logits)
{
    constexpr axis first = Steps::axis_of(0), second = Steps::axis_of(1);
    lines_of_lane<n> own(s, lane < n ? lane : n - 1);
    MHC_SHORT_LOOP
    for (int k = 0; k + 1 < Steps::count; k += 2) {
        if (k == Steps::anew) own.begin_anew(s, lane, had_logits);
        own.template step<first, Steps>(s, lane, eps);
        own.template step<second, Steps>(s, lane, eps);
    }
    if constexpr (Steps::count % 2 == 1) own.template step<first, Steps>(s, lane, eps);
    if (Steps::count == Steps::anew) own.begin_anew(s, lane, had_logits);
}

template <class Steps, int n, int lanes>
MHC_DEVICE void steps_of_wave(balance<n> s, int lane, float eps, bool had_logits = false)
{
    if constexpr (balances_by_lines<n>)
        steps_of_lines<Steps>(s, lane, eps, had_logits);
    else
        steps_on_entries<Steps, n, lanes>(s, lane, eps, no_history{}, had_logits);
}

/// `s.entries` holds logits and becomes the balanced matrix. All lanes of the wave must call it. What becomes of a matrix
/// does not depend on the others of the wave.
template <class Options, int n, int lanes>
MHC_DEVICE void sinkhorn(balance<n> s, int lane, float eps)
{
    if constexpr (moderate_steps<Options>::exist) {
        wave_sync();
        const logit_bounds z = bounds_of_logits<n, lanes>(s, lane);
        const bool is_moderate = z.are_moderate();
        if (wave_takes(!moderate_steps<Options>::are_for(z, eps))) {
            if (wave_takes(!is_moderate)) steps_on_logits<Options, n, lanes>(s, lane, eps, no_history{});
            exponentiate<n, lanes>(s, lane, !is_moderate);
            steps_of_wave<mixed_steps<Options>, n, lanes>(s, lane, eps, !is_moderate);
        } else {
            exponentiate<n, lanes>(s, lane, false);
            steps_of_wave<moderate_steps<Options>, n, lanes>(s, lane, eps);
        }
    } else {
        start_entries<Options, n, lanes>(s, lane, eps, no_history{});
        steps_of_wave<entry_steps<Options>, n, lanes>(s, lane, eps);
    }
    apply_factors<n, lanes>(s, lane);
}

/// Lanes that share a matrix: the power of two that holds n, at most a wave.
constexpr int lanes_of(int n, int wave_size)
{
    int lanes = 1;
    while (lanes < n && lanes < wave_size) lanes *= 2;
    return lanes;
}

/// body(t, is_live, entries, lane) for each token: a group of lanes of one wave has a matrix in Floats floats of `shared`.
/// Then after(first), for the tokens from `first` on that a work-group has at once.
template <int n, int Floats, class Grid, class Body, class After>
MHC_DEVICE void for_matrices_together(Grid at, float* shared, i64 tokens, Body body, After after)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size), together = Grid::block / lanes;
    const int mine = at.thread() / lanes;
    for (i64 first = at.group * together; first < tokens; first += at.groups * together) {
        const i64 t = first + mine;
        body(t < tokens ? t : tokens - 1, t < tokens, balance<n>{shared + mine * Floats}, at.thread() % lanes);
        after(first);
    }
}

template <int n, int Floats = balance<n>::floats, class Grid, class Body>
MHC_DEVICE void for_each_matrix(Grid at, float* shared, i64 tokens, Body body)
{
    // Before the next token's logits come.
    for_matrices_together<n, Floats>(at, shared, tokens, body, [](i64) MHC_INLINE { wave_sync(); });
}

}  // namespace mhc
