// tests/reference/options.cpp -- presets and bounds of MATH.md 6.1a.
#include "tests/reference/options.hpp"

#include <algorithm>
#include <cmath>

namespace mhc::reference {

using jit::mix_layout;
using jit::sinkhorn_eps_mode;
using jit::sinkhorn_order;
using jit::sinkhorn_start;

jit::layer_options options_of(jit::preset name)
{
    struct row {
        mix_layout layout;
        sinkhorn_start start;
        sinkhorn_order order;
        sinkhorn_eps_mode eps_mode;
        float sinkhorn_eps;
        int sinkhorn_iters;
        float rms_eps, pre_eps, post_mult;
    };
    static constexpr row paper{
        mix_layout::out_in, sinkhorn_start::exp, sinkhorn_order::col_row, sinkhorn_eps_mode::none, 0, 20, 1e-6F, 0, 2};
    static constexpr row mhc_cu{
        mix_layout::out_in, sinkhorn_start::exp, sinkhorn_order::row_col, sinkhorn_eps_mode::thresh, 1e-5F, 20, 1e-5F, 0, 2};
    static constexpr row deepseek{mix_layout::src_dst,
                                  sinkhorn_start::softmax,
                                  sinkhorn_order::row_col,
                                  sinkhorn_eps_mode::add_both,
                                  1e-6F,
                                  20,
                                  1e-6F,
                                  1e-6F,
                                  1};
    static constexpr row liger{mix_layout::out_in,
                               sinkhorn_start::softmax,
                               sinkhorn_order::row_col,
                               sinkhorn_eps_mode::add_both,
                               1e-6F,
                               20,
                               1e-6F,
                               0,
                               2};
    static constexpr row aiter_triton{
        mix_layout::src_dst, sinkhorn_start::log, sinkhorn_order::row_col, sinkhorn_eps_mode::none, 0, 20, 1e-6F, 0, 2};

    const row& chosen = name == jit::preset::paper      ? paper
                        : name == jit::preset::mhc_cu   ? mhc_cu
                        : name == jit::preset::deepseek ? deepseek
                        : name == jit::preset::liger    ? liger
                                                        : aiter_triton;
    jit::layer_options options;
    options.layout = chosen.layout;
    options.start = chosen.start;
    options.order = chosen.order;
    options.eps_mode = chosen.eps_mode;
    options.sinkhorn_eps = chosen.sinkhorn_eps;
    options.sinkhorn_iters = chosen.sinkhorn_iters;
    options.rms_eps = chosen.rms_eps;
    options.norm_eps.reset();
    options.pre_eps = chosen.pre_eps;
    options.post_mult = chosen.post_mult;
    options.arithmetic = jit::projection::split;
    options.reference_rounding = false;
    return options;
}

jit::layer_options sinkhorn_options(sinkhorn_start start, sinkhorn_order order, sinkhorn_eps_mode mode, float eps, int iters)
{
    jit::layer_options options = reference::options_of(jit::preset::paper);
    options.start = start;
    options.order = order;
    options.eps_mode = mode;
    options.sinkhorn_eps = eps;
    options.sinkhorn_iters = iters;
    return options;
}

double norm_eps(const jit::layer_options& options)
{
    return static_cast<double>(options.norm_eps.value_or(options.rms_eps));
}

double fp32_bound(std::int64_t flat_dim) { return std::max(1e-5, 1e-6 * std::sqrt(static_cast<double>(flat_dim))); }

double projected_bound(jit::projection arithmetic, std::int64_t flat_dim)
{
    switch (arithmetic) {
        case jit::projection::strict:
            return std::max(2e-6, 1e-6 * std::sqrt(static_cast<double>(flat_dim)));
        case jit::projection::tf32:
            return 5e-4;
        case jit::projection::split:
            break;
    }
    return fp32_bound(flat_dim);
}

}  // namespace mhc::reference
