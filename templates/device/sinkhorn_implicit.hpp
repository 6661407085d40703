// mhc/device/sinkhorn_implicit.hpp -- the gradient of what Sinkhorn's iteration converges to, instead of that of the steps
// that were done: no step is kept, and none is gone through again.
//
// With M the balanced matrix and D its gradient, that of the logarithms of the entries at the start is
// G = M * (D - alpha 1' - 1 beta'), where alpha and beta make the sums of G's rows and columns vanish:
// alpha + M beta = rowsum(M * D), M' alpha + beta = colsum(M * D). Without alpha, (I - M'M) beta = colsum - M' rowsum, which
// is symmetric and positive semidefinite. A constant added to beta changes nothing, so the last one is 0; where zeros split
// M, so is one of each block, whose pivot vanishes.
#pragma once

#include <mhc/device/sinkhorn.hpp>

namespace mhc {

/// A pivot, of numbers up to 1, that is rounding.
constexpr float vanishing_pivot = 1e-6f;

/// system [n, n] = I - M'M; the right side takes the place of s.lo(col), the rows' sums that of s.hi(row).
template <int n, int lanes>
MHC_DEVICE void limit_system(balance<n> s, const float* gradient, float* system, int lane)
{
    for (int i = lane; i < n; i += lanes) {
        float row = 0.0f, column = 0.0f;
        for (int k = 0; k < n; ++k) {
            row = fma(s.entries[i * n + k], gradient[i * n + k], row);
            column = fma(s.entries[k * n + i], gradient[k * n + i], column);
        }
        s.hi(axis::row, i) = row;
        s.lo(axis::col, i) = column;
    }
    wave_sync();
    for (int j = lane; j < n; j += lanes) {
        float right = s.lo(axis::col, j);
        for (int i = 0; i < n; ++i) right = fma(-s.entries[i * n + j], s.hi(axis::row, i), right);
        s.lo(axis::col, j) = right;
        for (int k = 0; k < n; ++k) {
            float v = j == k ? 1.0f : 0.0f;
            for (int i = 0; i < n; ++i) v = fma(-s.entries[i * n + j], s.entries[i * n + k], v);
            system[j * n + k] = v;
        }
    }
    wave_sync();
}

/// beta, in s.hi(col), by elimination; a lane has a row.
template <int n, int lanes>
MHC_DEVICE void solve_limit(balance<n> s, float* system, int lane)
{
    for (int k = 0; k + 1 < n; ++k) {
        const float pivot = system[k * n + k];
        for (int i = lane; i + 1 < n; i += lanes) {
            if (i <= k || !(pivot > vanishing_pivot)) continue;
            const float factor = system[i * n + k] / pivot;
            for (int j = k + 1; j + 1 < n; ++j) system[i * n + j] = fma(-factor, system[k * n + j], system[i * n + j]);
            s.lo(axis::col, i) = fma(-factor, s.lo(axis::col, k), s.lo(axis::col, i));
        }
        wave_sync();
    }
    for (int i = lane; i < n; i += lanes) s.hi(axis::col, i) = 0.0f;
    wave_sync();
    for (int k = n - 2; k >= 0; --k) {
        const float pivot = system[k * n + k], beta = pivot > vanishing_pivot ? s.lo(axis::col, k) / pivot : 0.0f;
        if (lane == 0) s.hi(axis::col, k) = beta;
        for (int i = lane; i < k; i += lanes) s.lo(axis::col, i) = fma(-system[i * n + k], beta, s.lo(axis::col, i));
        wave_sync();
    }
}

/// `s` holds the balanced matrix; `gradient` [n, n] that of it, and becomes that of the logits. logit(e) gives them again.
/// `room`: [n, n]. All lanes of the wave must call it.
template <class Options, int n, int lanes, class Logit>
MHC_DEVICE void limit_gradient(balance<n> s, float* gradient, float* room, int lane, Logit logit)
{
    wave_sync();
    limit_system<n, lanes>(s, gradient, room, lane);
    solve_limit<n, lanes>(s, room, lane);
    for (int i = lane; i < n; i += lanes) {
        float alpha = s.hi(axis::row, i);
        for (int j = 0; j < n; ++j) alpha = fma(-s.entries[i * n + j], s.hi(axis::col, j), alpha);
        for (int j = 0; j < n; ++j) {
            const int e = i * n + j;
            const float g = s.entries[e] * (gradient[e] - alpha - s.hi(axis::col, j));
            gradient[e] = Options::first == start::identity ? g / logit(e) : g;
        }
    }
    wave_sync();
}

}  // namespace mhc
