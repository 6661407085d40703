// mhc/device/sinkhorn_logits.hpp -- a matrix that is balanced, and the steps on its logits.
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

}  // namespace mhc
