// tools/mhc-bench/traffic.cpp -- the table of minimum traffic.
#include "tools/mhc-bench/traffic.hpp"

#include <algorithm>

#include "tools/common/problem.hpp"

namespace mhc::tools {

using jit::operation;

namespace {

/// One pass over what a gradient is given and what it makes. Gradients of parameters are written as their parameters are
/// read: once.
traffic gradient_traffic(operation op, const jit::layer_spec& spec)
{
    const std::int64_t n = spec.n_streams, C = spec.hidden_dim, m = n * n + 2 * n;
    const std::int64_t s = jit::size_of(spec.dtype), w = jit::size_of(spec.weight_dtype);
    const std::int64_t norm_weight = spec.norm_weight ? C * w : 0, fn_norm_weight = spec.fn_norm_weight ? n * C * w : 0;
    const std::int64_t fn = m * n * C * w + fn_norm_weight;
    // clang-format off
    switch (op) {
        //                                     bytes a token                         bytes once, twice                     rows in,   out
        case operation::sinkhorn_bwd:      return {3*n*n*4,                          0,                                        0,         0};
        case operation::rmsnorm_bwd:       return {3*C*s + 4,                        2*(C*w),                                  2,         1};
        case operation::apply_mix_bwd:     return {(2*n + 1)*C*s + 2*n*4,            0,                                        n + 1,     n};
        case operation::expand_bwd:        return {(n + 1)*C*s,                      0,                                        n,         1};
        case operation::post_bwd:          return {(3*n + 2)*C*s + 2*(n + n*n)*4,    0,                                        2*n + 1,   n + 1};
        case operation::pre_bwd:           return {(2*n + 1)*C*s + m*4,              2*(fn + (m + 3)*4 + norm_weight),    n + 1,     n};
        case operation::static_layer_bwd:  return {3*n*C*s,                          2*(C*w + m*4),                            2*n,       n};
        case operation::dynamic_layer_bwd: return {3*n*C*s,                          2*(m*n*C*w + C*w + (m + 3)*4),            2*n,       n};
        case operation::post_pre_bwd:      return {(3*n + 3)*C*s + (2*(n + n*n) + m)*4, 2*(fn + (m + 3)*4 + norm_weight), 2*n + 2,   n + 1};
        case operation::head_bwd:          return {(2*n + 1)*C*s,                    2*(n*n*C*w + fn_norm_weight + (n + 1)*4 + norm_weight),    n + 1,     n};
        case operation::post_head_bwd:     return {(2*n + 3)*C*s + 2*(n + n*n)*4,    2*(n*n*C*w + fn_norm_weight + (n + 1)*4 + norm_weight),    n + 2,     n + 1};
        case operation::rmsnorm_matmul_bwd: return {3*C*s + 4,                       2*((C + 1)*C*w),                          2,         1};
        case operation::pre_project_bwd:   return {2*n*C*s + (m + 1)*4,              2*(fn),                              n,         n};
        case operation::split_mixes_bwd:   return {(3*m + 2)*4,                      2*((m + 3)*4),                            0,         0};
        case operation::coeffs_bwd:        return {(3*m + 2)*4,                      2*((m + 3)*4),                            0,         0};
        default:                           return {};
    }
    // clang-format on
}

}  // namespace

traffic traffic_of(operation op, const jit::layer_spec& spec)
{
    const std::int64_t n = spec.n_streams, C = spec.hidden_dim, m = n * n + 2 * n;
    const std::int64_t s = jit::size_of(spec.dtype), w = jit::size_of(spec.weight_dtype);
    const std::int64_t norm_weight = spec.norm_weight ? C * w : 0, fn_norm_weight = spec.fn_norm_weight ? n * C * w : 0;
    const std::int64_t fn = m * n * C * w + fn_norm_weight, head_fn = n * n * C * w + fn_norm_weight;
    constexpr std::int64_t L = usual_layers;
    // Coefficients are floats of 4 bytes. pre_fwd's `pre` is not counted: one pass uses it where it is made.
    // clang-format off
    switch (op) {
        //                                     bytes a token                         bytes once                            rows in, out
        case operation::sinkhorn_fwd:      return {2*n*n*4,                          0,                                    0,     0};
        case operation::rmsnorm_fwd:       return {2*C*s + 4,                        C*w,                                  1,     1};
        case operation::rmsnorm_matmul_fwd: return {2*C*s + 4,                       (C + 1)*C*w,                          1,     1};
        case operation::apply_mix_fwd:     return {(n + 1)*C*s + n*4,                0,                                    n,     1};
        case operation::expand_fwd:        return {(n + 1)*C*s,                      0,                                    1,     n};
        case operation::post_fwd:          return {(2*n + 1)*C*s + (n + n*n)*4,      0,                                    n + 1, n};
        case operation::pre_fwd:           return {(n + 1)*C*s + (n + n*n)*4,        fn + (m + 3)*4 + norm_weight,    n,     1};
        case operation::broadcast_pre_fwd: return {2*C*s + (n + n*n)*4,              fn + (m + 3)*4 + norm_weight,    1,     1};
        case operation::delayed_pre_fwd:   return {(n + 1)*C*s + (3*n + n*n)*4,      fn + (m + 3)*4 + norm_weight,    n,     1};
        case operation::static_layer_fwd:  return {2*n*C*s,                          C*w + m*4,                            n,     n};
        case operation::dynamic_layer_fwd: return {2*n*C*s,                          m*n*C*w + C*w + (m + 3)*4,            n,     n};
        case operation::post_pre_fwd:      return {(2*n + 2)*C*s + 2*(n + n*n)*4,    fn + (m + 3)*4 + norm_weight,         n + 1, n + 1};
        case operation::head_fwd:          return {(n + 1)*C*s,                      head_fn + (n + 1)*4 + norm_weight,    n,     1};
        case operation::multilayer_recompute: return {n*C*s + L*((n + 2)*C*s + (2*n + n*n)*4), 0,                          n + L, L*(n + 1)};
        case operation::post_head_fwd:     return {(n + 2)*C*s + (n + n*n)*4,        head_fn + (n + 1)*4 + norm_weight,    n + 1, 1};
        // The projection writes next to nothing: its floor moves as many rows, one of them written.
        case operation::pre_project_fwd:   return {n*C*s + (m + 1)*4,                fn,                              std::max<std::int64_t>(n - 1, 1), 1};
        case operation::split_mixes_fwd:   return {(2*m + 1)*4,                      (m + 3)*4,                            0,     0};
        case operation::coeffs_fwd:        return {(2*m + 1)*4,                      (m + 3)*4,                            0,     0};
        case operation::pre_big_fuse:      return {(n + 1)*C*s + (m + 1 + n + n*n)*4, (m + 3)*4 + norm_weight,             n,     1};
        default:                           return gradient_traffic(op, spec);
    }
    // clang-format on
}

floor_shape floor_of(operation op, const jit::layer_spec& spec, std::int64_t tokens)
{
    const traffic least = traffic_of(op, spec);
    if (least.rows_in != 0) return {least.rows_in, least.rows_out, spec.hidden_dim, spec.dtype, tokens};
    // Matrices of coefficients are shorter than a work-group's rows: the same bytes, half read and half written, as long
    // rows.
    constexpr std::int64_t width = 1024;
    const std::int64_t row_bytes = 2 * width * jit::size_of(jit::dtype::fp32);
    return {1, 1, width, jit::dtype::fp32, std::max<std::int64_t>(1, (least.bytes(tokens) + row_bytes - 1) / row_bytes)};
}

}  // namespace mhc::tools
