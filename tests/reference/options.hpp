// tests/reference/options.hpp -- the table of presets written out a second time, and what each option allows in error.
#pragma once

#include <cstdint>

#include <mhc/jit/spec.hpp>

namespace mhc::reference {

/// The options of a preset, from the table of MATH.md 6.1a and not from the library: a wrong entry there is a failing test.
jit::layer_options options_of(jit::preset name);

/// The preset `paper` with Sinkhorn's own options.
jit::layer_options sinkhorn_options(jit::sinkhorn_start start, jit::sinkhorn_order order, jit::sinkhorn_eps_mode mode,
                                    float eps, int iters);

/// norm_eps, which is rms_eps unless it was given.
double norm_eps(const jit::layer_options& options);

/// Relative error allowed to fp32 outputs and coefficients over sums of n*C terms: max(1e-5, 1e-6 sqrt(n C)).
double fp32_bound(std::int64_t flat_dim);

/// The same where a projection is among the sums: `strict` is held to more, `tf32` to less.
double projected_bound(jit::projection arithmetic, std::int64_t flat_dim);

}  // namespace mhc::reference
