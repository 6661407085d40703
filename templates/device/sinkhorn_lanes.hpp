// mhc/device/sinkhorn_lanes.hpp -- sinkhorn.hpp's iteration with the entries and factors of n lines in the registers of n
// lanes: the same operations in the same order, without shared memory between the steps.
#pragma once

#include <mhc/device/sinkhorn.hpp>

namespace mhc {

/// Lane `line` has row `line` and column `line` of the entries, and the factors of both.
template <int n>
struct lines {
    float row[n], col[n], row_factor, col_factor;
};

/// As `step` of sinkhorn.hpp: `own` are the entries of this lane's line, `others` the other axis' factor of this lane.
template <eps_mode Mode, int n>
MHC_DEVICE float next_factor(const float (&own)[n], float old, float others, float eps)
{
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < n; ++k) sums[k % 4] = fma(own[k], of_lane<n>(others, k), sums[k % 4]);
    const float q = sum_of(sums);
    if (Mode == eps_mode::thresh && !(old * q > eps)) return old;
    const float factor = Mode == eps_mode::add ? old / fma(old, q, eps) : 1.0f / q;
    return Mode == eps_mode::add && factor > 0x1p120f ? 0x1p120f : factor;
}

template <axis A, eps_mode Mode, int n>
MHC_DEVICE void step_on_lines(lines<n>& s, float eps)
{
    if (A == axis::row)
        s.row_factor = next_factor<Mode, n>(s.row, s.row_factor, s.col_factor, eps);
    else
        s.col_factor = next_factor<Mode, n>(s.col, s.col_factor, s.row_factor, eps);
}

/// `s.entries` holds logits; to[a * n + b] becomes the balanced matrix where is_live. All lanes of the wave must call it, n
/// of them with a matrix.
template <class Options, int n>
MHC_DEVICE void sinkhorn_on_lines(balance<n> s, int lane, float eps, float* to, bool is_live)
{
    using plan = sinkhorn_steps<Options>;
    wave_sync();
    if constexpr (plan::starts_with_entries) {
        if constexpr (plan::is_softmax) softmax_rows<n, n>(s, lane, Options::stated == eps_mode::add_both ? eps : 0.0f);
        start_factors<n, n>(s, lane);
    } else {
        steps_on_logits<Options, n, n>(s, lane, eps, no_history{});
        exponentiate<n, n>(s, lane);
    }
    lines<n> mine;
    mine.row_factor = s.factor(axis::row, lane);
    mine.col_factor = s.factor(axis::col, lane);
#pragma unroll
    for (int k = 0; k < n; ++k) {
        mine.row[k] = s.entry(axis::row, lane, k);
        mine.col[k] = s.entry(axis::col, lane, k);
    }
    constexpr axis first = plan::axis_on_entries(0), second = plan::axis_on_entries(1);
    for (int k = 0; k + 1 < plan::on_entries; k += 2) {
        step_on_lines<first, Options::mode, n>(mine, eps);
        step_on_lines<second, Options::mode, n>(mine, eps);
    }
    if constexpr (plan::on_entries % 2 == 1) step_on_lines<first, Options::mode, n>(mine, eps);
#pragma unroll
    for (int k = 0; k < n; ++k) {
        const float entry = mine.row[k] * mine.row_factor * of_lane<n>(mine.col_factor, k);
        if (is_live) to[lane * n + k] = entry;
    }
}

}  // namespace mhc
