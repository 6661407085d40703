// tests/support/case_values.hpp -- the values of every factor; for the files of cases alone.
#pragma once

#include "tests/support/cases.hpp"

namespace mhc::testing::case_values {

inline constexpr int n_streams_values[] = {1, 2, 3, 4, 5, 8, 16, 32};
inline constexpr int hidden_dim_values[] = {1, 7, 64, 127, 1280, 1920, 4096, 7168};
inline constexpr int tokens_values[] = {0, 1, 2, 33, 320};
inline constexpr jit::dtype dtype_values[] = {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32};
inline constexpr jit::dtype weight_dtype_values[] = {jit::dtype::fp32, jit::dtype::bf16, jit::dtype::fp16};
inline constexpr jit::mix_layout layout_values[] = {jit::mix_layout::out_in, jit::mix_layout::src_dst};
// The preset most people use comes first, and mhc_cu where a layer is its own.
inline constexpr jit::preset preset_values[] = {jit::preset::mhc_cu, jit::preset::paper, jit::preset::deepseek,
                                                jit::preset::liger, jit::preset::aiter_triton};
inline constexpr stride_kind stride_values[] = {stride_kind::dense,          stride_kind::padded_token,
                                                stride_kind::padded_stream,  stride_kind::interleaved,
                                                stride_kind::repeated_token, stride_kind::repeated_stream};
inline constexpr coefficient_kind coefficient_values[] = {coefficient_kind::per_token, coefficient_kind::all_static,
                                                          coefficient_kind::post_static, coefficient_kind::mix_static};
inline constexpr int alignment_values[] = {16, 4, 2};
inline constexpr jit::projection projection_values[] = {jit::projection::split, jit::projection::strict,
                                                        jit::projection::tf32};
inline constexpr int splits_values[] = {1, 2, 3};
inline constexpr int layers_values[] = {1, 3};
/// Rows of fn: all n*n + 2n, or the n of a head, or one.
enum class row_kind : std::uint8_t { all, head, one };
/// Weights of norms, and the order of fn. Of operators without fn the first two.
enum class weight_kind : std::uint8_t { norm, none, both, fn_phi, phi };
/// Of the weight of rmsnorm_matmul_fwd and its gradient: tiles and a part of one, a tile, one.
constexpr std::int64_t matmul_rows(row_kind kind) { return kind == row_kind::all ? 37 : kind == row_kind::head ? 8 : 1; }
inline constexpr float spread_values[] = {1.0F, 0.1F, 6.0F};
/// A start, an order and an eps mode that go together: all of them, since each combination is an algorithm of its own.
struct sinkhorn_kind {
    jit::sinkhorn_start start;
    jit::sinkhorn_order order;
    jit::sinkhorn_eps_mode eps_mode;
};
// 4 starts x 2 orders x 4 eps modes; softmax is a row step, so it needs row_col.
inline constexpr int sinkhorn_kind_count = 28;

constexpr sinkhorn_kind sinkhorn_kind_at(int index)
{
    using enum jit::sinkhorn_start;
    const auto eps_mode = static_cast<jit::sinkhorn_eps_mode>(index % 4);
    if (index >= 24) return {softmax, jit::sinkhorn_order::row_col, eps_mode};
    constexpr jit::sinkhorn_start starts[] = {jit::sinkhorn_start::exp, log, identity};
    return {starts[index / 8], static_cast<jit::sinkhorn_order>(index / 4 % 2), eps_mode};
}
// Large ones too: an eps that is added in the wrong place, or not at all, must show.
inline constexpr float eps_values[] = {1e-6F, 0.0F, 0.02F};
inline constexpr int iters_values[] = {20, 0, 1, 2, 7};

}  // namespace mhc::testing::case_values
