// mhc/device/sinkhorn.hpp -- Sinkhorn's iteration on n x n matrices by every variant that public implementations use.
//
// A row step divides by the sum over b of S[a,b], a col step by the sum over a. `lanes` lanes of one wave share a matrix, a
// line each. No step ever rounds an entry: S stays what it was at the start, times a factor for each row and each column,
// and a step makes a line's factor anew. So rounding does not add up over the iterations, even where they converge slowly.
//
// Steps on logits z keep S as exp(z[a,b] - u[a] - v[b]): the potential of a line is the logarithm of what its entries were
// divided by. A potential is a sum hi + lo, lo below the last place of hi; with the exact error of each subtraction this
// holds entries to a unit in the last place even where logits differ by hundreds, and where exp of a logit alone would
// overflow.
#pragma once

#include <mhc/device/math.hpp>

namespace mhc {

enum class start { exp, log, softmax, identity };
enum class order { row_col, col_row };
enum class eps_mode { none, add, add_both, thresh };
enum class axis { row, col };
enum class differentiation { exact, implicit };

/// A matrix of logits or entries, with the potentials or the factors of its lines, in memory that its lanes share.
template <int n>
struct balance {
    static constexpr int floats = n * n + 4 * n;
    float* entries;  ///< [n, n]

    MHC_MEMBER float& hi(axis line_axis, int line) const
    {
        return entries[n * n + (line_axis == axis::row ? 0 : 2 * n) + line];
    }
    MHC_MEMBER float& lo(axis line_axis, int line) const
    {
        return entries[n * n + (line_axis == axis::row ? n : 3 * n) + line];
    }
    /// What the entries of a line are multiplied by, and what it is the reciprocal of; in the place of the potentials.
    MHC_MEMBER float& factor(axis line_axis, int line) const { return hi(line_axis, line); }
    MHC_MEMBER float& inverse(axis line_axis, int line) const { return lo(line_axis, line); }
    MHC_MEMBER float& entry(axis line_axis, int line, int k) const
    {
        return line_axis == axis::row ? entries[line * n + k] : entries[k * n + line];
    }
};

/// a - b, and what rounding took away is added to `error`; an infinity has none.
MHC_DEVICE float difference(float a, float b, float& error)
{
    const float d = a - b, b_part = a - d, a_part = d + b_part;
    if (is_finite(d)) error += (a - a_part) + (b_part - b);
    return d;
}

/// log of an entry: z - u - v, good to a unit in the last place of the result; of potentials of its row and its column.
MHC_DEVICE float balanced_logit(float z, float row_hi, float row_lo, float col_hi, float col_lo)
{
    float error = 0.0f;
    const float d = difference(z, row_hi, error);
    const float e = difference(d, col_hi, error);
    return e + (error - (row_lo + col_lo));
}
/// The same where the other potential is 0, as it is at first.
MHC_DEVICE float balanced_logit(float z, float hi, float lo)
{
    float error = 0.0f;
    const float d = difference(z, hi, error);
    return d + (error - lo);
}
template <int n>
MHC_DEVICE float balanced_logit(balance<n> s, int a, int b)
{
    return balanced_logit(s.entries[a * n + b], s.hi(axis::row, a), s.lo(axis::row, a), s.hi(axis::col, b),
                          s.lo(axis::col, b));
}

template <axis A, int n>
MHC_DEVICE float balanced_logit_on(balance<n> s, int line, int k)
{
    return A == axis::row ? balanced_logit(s, line, k) : balanced_logit(s, k, line);
}

/// Lines are summed in four parts, so that an addend is rounded in a quarter of the sums, and short ones in two, whose
/// addends wait for fewer sums.
template <int n>
constexpr int line_parts = n <= 4 ? 2 : 4;
MHC_DEVICE float sum_of(const float (&parts)[2]) { return parts[0] + parts[1]; }
MHC_DEVICE float sum_of(const float (&parts)[4]) { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }

/// What is told of each step, in order: here nobody listens. The gradient keeps it.
struct no_history {
    MHC_MEMBER void log_step(int, int, float, float, bool) const {}
    MHC_MEMBER void step(int, int, float, bool) const {}
};

/// A line's step on logits: its potential grows by log(line sum), or log(line sum + eps), or nothing where the sum is not
/// above the threshold, of which it tells. logit(k, hi, lo): of the line's k-th entry, with that potential of the line;
/// last_logit(k): with the one that it has.
template <eps_mode Mode, int n, class Last, class Logit>
MHC_DEVICE bool grow_potential(float& hi, float& lo, float eps, Last last_logit, Logit logit)
{
    const float old_hi = hi, old_lo = lo;
    float top = last_logit(0);
    for (int k = 1; k < n; ++k) top = larger(top, last_logit(k));

    const bool has_top = is_finite(top);
    if (has_top) {  // the largest entry becomes exp(0)
        float error = 0.0f;
        hi = difference(old_hi, -top, error);
        lo = old_lo + error;
    }
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int k = 0; k < n; ++k) sums[k % 4] += exp(logit(k, hi, lo));
    const float total = sum_of(sums);  // of the entries times exp(-top), or of zeros
    const float log_sum = has_top ? top + log(total) : log(total);
    // Below the largest entry of 1, eps counts against the sum itself; above, against the sum divided by that entry.
    const bool is_small = Mode == eps_mode::add && !(top > 0.0f);
    const bool stays = Mode == eps_mode::thresh && !(log_sum > log(eps));
    if (stays) {
        hi = old_hi;
        lo = old_lo;
    } else if (is_small) {
        hi = old_hi;
        lo = old_lo + log(has_top ? fma(total, exp(top), eps) : total + eps);
    } else {
        lo += log(Mode == eps_mode::add ? fma(eps, exp(-top), total) : total);
    }
    float low = 0.0f;  // all of the sum that hi can hold goes there, or lo would grow with every step
    hi = difference(hi, -lo, low);
    lo = low;
    return stays;
}

/// One step on logits. `number` counts them from 0.
template <axis A, eps_mode Mode, int n, int lanes, class History>
MHC_DEVICE void log_step(balance<n> s, int lane, float eps, int number, History history)
{
    for (int line = lane; line < n; line += lanes) {
        float hi = s.hi(A, line), lo = s.lo(A, line);
        const auto logit = [=](int k, float own_hi, float own_lo) MHC_INLINE {
            constexpr axis other = A == axis::row ? axis::col : axis::row;
            const float z = s.entry(A, line, k), other_hi = s.hi(other, k), other_lo = s.lo(other, k);
            return A == axis::row ? balanced_logit(z, own_hi, own_lo, other_hi, other_lo)
                                  : balanced_logit(z, other_hi, other_lo, own_hi, own_lo);
        };
        const auto last_logit = [=](int k) MHC_INLINE { return logit(k, hi, lo); };
        const bool stays = grow_potential<Mode, n>(hi, lo, eps, last_logit, logit);
        s.hi(A, line) = hi;
        s.lo(A, line) = lo;
        history.log_step(number, line, hi, lo, !stays);
    }
    wave_sync();
}

/// All factors become 1.
template <int n, int lanes>
MHC_DEVICE void start_factors(balance<n> s, int lane)
{
    for (int line = lane; line < n; line += lanes) {
        s.factor(axis::row, line) = s.factor(axis::col, line) = 1.0f;
        s.inverse(axis::row, line) = s.inverse(axis::col, line) = 1.0f;
    }
    wave_sync();
}

/// Logits become entries.
template <int n, int lanes>
MHC_DEVICE void exponentiate(balance<n> s, int lane)
{
    for (int a = lane; a < n; a += lanes)
        for (int b = 0; b < n; ++b) s.entries[a * n + b] = exp(balanced_logit(s, a, b));
    wave_sync();
    start_factors<n, lanes>(s, lane);
}

/// A line whose factor is `old`, the reciprocal of `inverse`: q is the sum of its entries times the other lines' factors,
/// so old * q is the line's sum, and old / (old * q + eps) is 1 / (q + eps * inverse). The latter addend, which is known
/// before q, begins the sum.
template <eps_mode Mode>
struct line_sum {
    static constexpr bool adds = Mode == eps_mode::add;
    /// A line of zeros is divided by eps again and again: its factor means nothing, but must not become infinite. Neither
    /// this nor its reciprocal is then a denormal.
    static MHC_MEMBER float begin(float inverse, float eps)
    {
        if (!adds) return 0.0f;
        const float first = eps * inverse;
        return first < 0x1p-120f ? 0x1p-120f : first;
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

/// One step on entries. `number` counts these steps from 0.
template <axis A, eps_mode Mode, int n, int lanes, class History>
MHC_DEVICE void step(balance<n> s, int lane, float eps, int number, History history)
{
    using sum = line_sum<Mode>;
    constexpr axis other = A == axis::row ? axis::col : axis::row;
    for (int line = lane; line < n; line += lanes) {
        const float old = s.factor(A, line);
        const float divisor = factored_sum<n>(
            sum::begin(s.inverse(A, line), eps), [=](int k) MHC_INLINE { return s.entry(A, line, k); },
            [=](int k) MHC_INLINE { return s.factor(other, k); });
        const bool stays = sum::stays(old, divisor, eps);
        const float factor = stays ? old : quotient<sum::adds>(1.0f, divisor);
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

/// What an iteration is: the two axes in their order, and the divisor. add_both divides as add does. Gradients are of the
/// steps, or of their limit.
template <start Start_, order Order_, eps_mode Mode_, int Iterations_, differentiation By_ = differentiation::exact>
struct sinkhorn_options {
    static constexpr start first = Start_;
    static constexpr eps_mode stated = Mode_, mode = Mode_ == eps_mode::add_both ? eps_mode::add : Mode_;
    static constexpr axis one = Order_ == order::row_col ? axis::row : axis::col;
    static constexpr axis two = Order_ == order::row_col ? axis::col : axis::row;
    static constexpr int iterations = Iterations_;
    static constexpr bool is_implicit = By_ == differentiation::implicit;
};

/// How many steps there are of either kind, and on which axis the k-th is.
template <class Options>
struct sinkhorn_steps {
    static constexpr int iterations = Options::iterations;
    static constexpr bool adds = Options::mode == eps_mode::add, is_softmax = Options::first == start::softmax;
    // With an added eps, entries that underflow would be scaled up again by later steps: only logits keep them.
    static constexpr bool stays_in_logs = Options::first == start::log || (Options::first == start::exp && adds);
    /// Logits become entries at once, by softmax_rows or because they are entries.
    static constexpr bool starts_with_entries = Options::first == start::identity || (is_softmax && adds);
    // Without an added eps, softmax is a row step on logits.
    static constexpr int on_logits = starts_with_entries ? 0
                                     : is_softmax        ? 1 + smaller(iterations, 1)
                                                         : 2 * (stays_in_logs ? iterations : smaller(iterations, 1));
    static constexpr int all = is_softmax ? (iterations == 0 ? 0 : 2 * iterations - 1) + (adds ? 0 : 1) : 2 * iterations;
    static constexpr int on_entries = all - on_logits;

    static constexpr axis axis_on_logits(int k) { return k % 2 == 0 ? Options::one : Options::two; }
    /// Softmax rows have taken the place of the first row step.
    static constexpr axis axis_on_entries(int k) { return axis_on_logits(k + (starts_with_entries && is_softmax ? 1 : 0)); }
};

/// Two by two, since axes alternate.
template <class Options, int n, int lanes, class History>
MHC_DEVICE void steps_on_entries(balance<n> s, int lane, float eps, History history)
{
    using plan = sinkhorn_steps<Options>;
    constexpr axis first = plan::axis_on_entries(0), second = plan::axis_on_entries(1);
    for (int k = 0; k + 1 < plan::on_entries; k += 2) {
        step<first, Options::mode, n, lanes>(s, lane, eps, k, history);
        step<second, Options::mode, n, lanes>(s, lane, eps, k + 1, history);
    }
    if constexpr (plan::on_entries % 2 == 1)
        step<first, Options::mode, n, lanes>(s, lane, eps, plan::on_entries - 1, history);
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

/// All steps: `s.entries` holds logits, and then entries that their lines' factors are still to be applied to.
template <class Options, int n, int lanes, class History>
MHC_DEVICE void sinkhorn_factors(balance<n> s, int lane, float eps, History history)
{
    start_entries<Options, n, lanes>(s, lane, eps, history);
    steps_on_entries<Options, n, lanes>(s, lane, eps, history);
}

/// `s.entries` holds logits and becomes the balanced matrix. All lanes of the wave must call it.
template <class Options, int n, int lanes>
MHC_DEVICE void sinkhorn(balance<n> s, int lane, float eps)
{
    sinkhorn_factors<Options, n, lanes>(s, lane, eps, no_history{});
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
template <int n, int Floats = balance<n>::floats, class Grid, class Body>
MHC_DEVICE void for_each_matrix(Grid at, float* shared, i64 tokens, Body body)
{
    constexpr int lanes = lanes_of(n, Grid::wave_size), together = Grid::block / lanes;
    const int mine = at.thread() / lanes;
    for (i64 first = at.group * together; first < tokens; first += at.groups * together) {
        const i64 t = first + mine;
        body(t < tokens ? t : tokens - 1, t < tokens, balance<n>{shared + mine * Floats}, at.thread() % lanes);
        wave_sync();  // before the next token's logits come
    }
}

}  // namespace mhc
