// mhc/device/static_parameters.hpp -- the gradients of the parameters of mHC.cu's layer with one set of coefficients, from
// sums over some tokens each.
#pragma once

#include <mhc/device/coefficients_gradient.hpp>

namespace mhc {

/// Floats of a matrix's steps.
template <class Options, int n>
constexpr int history_of = Options::is_implicit ? 0 : step_history<Options, n>::floats;

/// to[k] [n, n]: the gradient of the matrix's logits h_res where that of its k-th entry is 1 and all others' are 0. Two
/// waves of a work-group make it; history: room for two, where `shared` has none beside the matrices.
template <class Options, int n, bool IsHistoryInLds, class Grid>
MHC_DEVICE void matrix_jacobian(Grid at, float* shared, const float* h_res, float* history, float* to, float eps)
{
    constexpr int wave_size = Grid::wave_size, waves = smaller(Grid::waves, 2), lanes = lanes_of(n, wave_size);
    constexpr int matrices = waves * wave_size / lanes * gradient_floats<n>;
    if (at.thread() >= waves * wave_size) return;
    const grid<waves * wave_size, wave_size> some = {0, 1};
    float* const kept = (IsHistoryInLds ? shared + matrices : history) + at.thread() / wave_size * history_of<Options, n>;
    for_each_matrix<n, gradient_floats<n>>(some, shared, n * n, [=](i64 k, bool is_live, balance<n> s, int lane) MHC_INLINE {
        float* const gradient = s.entries + balance<n>::floats;
        for (int e = lane; e < n * n; e += lanes) {
            s.entries[e] = h_res[e];
            gradient[e] = e == k ? 1.0f : 0.0f;
        }
        balanced_gradient<Options, n, lanes>(s, gradient, kept, gradient + n * n, lane, eps,
                                             [=](int e) MHC_INLINE { return h_res[e]; });
        if (is_live)
            for (int e = lane; e < n * n; e += lanes) to[k * (n * n) + e] = gradient[e];
    });
}

/// Where they go; the weight's may be null.
template <class Weight>
struct static_parameters {
    Weight* weight;
    float *h_pre, *h_post, *h_res;
};

/// coefficient_sums [count, n + n + n*n] and weight_sums [count, C]. Work-group 0 makes the gradients of h_pre, h_post and
/// h_res, the others a wave's columns of the weight's each. jacobian: as matrix_jacobian left it.
template <int n, int C, class Grid, class Weight>
MHC_DEVICE void finish_static(Grid at, float* shared, const float* h_pre, const float* h_post, const float* jacobian,
                              const float* coefficient_sums, const float* weight_sums, i64 count,
                              static_parameters<Weight> to, bool adds, float post_mult)
{
    constexpr int nn = n * n, m = nn + 2 * n, wave_size = Grid::wave_size;
    static_assert(m <= wave_size, "a lane of a wave has a coefficient");
    const int wave = at.wave(), lane = at.lane();
    if (at.group > 0) {
        const Grid others = {at.group - 1, at.groups - 1};
        if (to.weight)
            sum_columns(others, shared, {weight_sums, count}, C,
                        [=](i64 c, float sum) MHC_INLINE { store_parameter(to.weight + c, sum, adds); });
        return;
    }
    const bool is_matrix = lane >= 2 * n && lane < m && count > 0;  // without tokens there is no Jacobian
    float column[nn];
#pragma unroll
    for (int k = 0; k < nn; ++k) column[k] = wave == 0 && is_matrix ? jacobian[k * nn + lane - 2 * n] : 0.0f;
    const float total = sum_by_waves(at, shared, {coefficient_sums + lane, count}, m, lane < m);
    if (wave != 0) return;
    shared[lane] = total;
    wave_sync();
    float d_z = 0.0f;
#pragma unroll
    for (int k = 0; k < nn; ++k) d_z = fma(column[k], shared[2 * n + k], d_z);
    if (lane < n)
        store_parameter(to.h_pre + lane, total * sigmoid_slope(h_pre[lane]), adds);
    else if (lane < 2 * n)
        store_parameter(to.h_post + (lane - n), total * post_mult * sigmoid_slope(h_post[lane - n]), adds);
    else if (lane < m)
        store_parameter(to.h_res + (lane - 2 * n), d_z, adds);
}

}  // namespace mhc
