// codegen/plan_kernels.hpp -- the kernels that operators are made of, each with its tile sizes, block and grid.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "codegen/arguments.hpp"
#include "codegen/plan.hpp"

namespace mhc::codegen {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// Channels of all streams that one work-group of project_tiles sums: 16 waves have 64 each.
inline constexpr std::int64_t channels_of_tiles = 16 * 64;

/// Whether work-groups may have the 200 KB of LDS that project_tiles and pre_mix take, and kernels may overlap (CUDA C++
/// Programming Guide, "Compute Capabilities").
inline bool runs_tiles(const target& on)
{
    return on.processor == "sm_90" || on.processor == "sm_90a" || on.processor == "sm_100";
}

/// What a spec and a target fix before any kernel is planned. n streams, C channels, m rows of fn.
struct facts {
    const jit::layer_spec& spec;
    const target& on;
    std::int64_t n, C, m;
    std::int32_t vector;  ///< channels a lane reads at once: 16 bytes of data on a GPU, 16 channels on host
    std::int32_t wave;
    std::int64_t slice;  ///< channels of a slice of a sum: a function of C and the kind of target alone (batch invariance)
    std::int64_t project_slice;  ///< of a projection's sum: a function of the data's type and n too
    bool is_host;
    bool has_tiles;  ///< projections are made by matrix units: templates/device/project_tiles.hpp

    facts(const jit::layer_spec& s, const target& t)
        : spec(s),
          on(t),
          n(s.n_streams),
          C(s.hidden_dim),
          m(n * n + 2 * n),
          vector(t.kind == target_kind::host ? 16 : 16 / size_of(s.dtype)),
          wave(t.wave_size),
          slice(0),
          project_slice(0),
          is_host(t.kind == target_kind::host),
          has_tiles(runs_tiles(t) && s.dtype == jit::dtype::bf16 && s.options.arithmetic == jit::projection::split &&
                    (n == 1 || n == 2 || n == 4) && C % 8 == 0 && C <= 64 * channels_of_tiles / n)
    {
        // At most 64 slices, so that their sums fit a small array for any C.
        const std::int64_t unit = is_host ? 4096 : 1024;
        slice = std::max(unit, round_up(ceil_div(C, 64), unit));
        project_slice = has_tiles ? channels_of_tiles / n : slice;
    }

    std::int64_t slices() const { return ceil_div(C, slice); }
    std::int64_t project_slices() const { return ceil_div(C, project_slice); }
    /// Coefficients and layer_input are one kernel, that keeps two tokens in registers.
    bool has_pre_mix() const { return has_tiles && !spec.norm_weight && C <= 8192; }
    float norm_eps() const { return spec.options.norm_eps.value_or(spec.options.rms_eps); }

    /// Work-items for rows of channels: whole waves, no more lanes than vectors, at most 256.
    std::int32_t row_block() const
    {
        if (is_host) return 1;
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(round_up(ceil_div(C, vector), wave), wave, 256));
    }
    std::int64_t groups_max() const { return is_host ? 1024 : 65536; }
};

using feeds = std::vector<feed>;

kernel_plan plan_sinkhorn(const facts& f);
kernel_plan plan_rmsnorm(const facts& f);
kernel_plan plan_rmsnorm_matmul(const facts& f);
kernel_plan plan_expand(const facts& f);
kernel_plan plan_post(const facts& f, const feeds& from = {});
/// apply_mix and post of the same streams.
kernel_plan plan_recompute(const facts& f);
/// layer_input = sum_i pre_i x_i, normalised where the spec has norm_weight and `may_normalise`.
kernel_plan plan_apply_mix(const facts& f, const feeds& from, bool may_normalise);
/// The same of the streams that post would store.
kernel_plan plan_apply_post(const facts& f, const feeds& from);
/// mHC.cu's layer, from coefficients in the workspace.
kernel_plan plan_layer(const facts& f);

/// x . fn^T and the sum of x^2 in splits: "project" on one matrix, "project_three" on three; "project_post" on the streams
/// that post would store, for a head's rows.
kernel_plan plan_project(const facts& f, const std::string& family, const feeds& from);

/// "coefficients", "split_mixes", "head_coefficients", "dynamic_coefficients": what follows from the splits. A head reads
/// the first n of `rows` rows.
kernel_plan plan_coefficients(const facts& f, const std::string& family, const feeds& from, std::int64_t rows = 0);
/// plan_coefficients and plan_apply_mix in one kernel, where f.has_pre_mix().
kernel_plan plan_pre_mix(const facts& f, const feeds& from);
kernel_plan plan_static_coefficients(const facts& f, const feeds& from = {});

}  // namespace mhc::codegen
