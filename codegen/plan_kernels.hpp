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

/// Channels of all streams that one work-group of project_tiles sums, where it has no ranks.
inline constexpr std::int64_t channels_of_tiles = 1024;

/// What a target's matrix units ask of the plan of project_tiles.
struct matrix_units {
    const char* header = "";         ///< of templates/device, without the end; empty: none that projections use
    std::int64_t waves = 0;          ///< that share the weights of a slice
    std::int64_t compute_units = 0;  ///< of the largest product; the device's, where it is known
    std::int64_t groups_each = 1;    ///< that one of them runs at once
    std::int64_t tiles = 1;          ///< of 16 tokens that a group has at least, where there are as many
    /// Of the gradients' products: tokens or channels of a right factor, and tokens whose d_proj is in LDS at once; 0: none.
    std::int64_t gradient_columns = 0, gradient_tokens = 0;
    /// Projections on many rows: templates/device/project_wide.hpp.
    bool has_wide = false;
    /// Factors may be fp16.
    bool has_fp16 = false;
    /// Lanes have registers for tiles of fp32.
    bool has_fp32 = false;
    /// Work-groups may have the 200 KB of LDS, given by the launch, that pre_mix takes too; and kernels may overlap.
    bool has_overlap = false;
    /// Work-groups may be clusters, up to 16, with a copy engine that fills their LDS.
    bool has_clusters = false;
    /// Four waves together make products of factors that are in LDS, in the background.
    bool has_group_products = false;

    /// That the GPU runs at once.
    std::int64_t groups() const { return groups_each * compute_units; }
};
matrix_units matrix_units_of(const target& on);
/// How many devices like this one the largest product is split into, as an MI300X in CPX mode is into 8 of 38 compute
/// units; 1 where the numbers are of no such split.
std::int64_t partitions_of(const target& on);

/// Channels of a stream in a slice of a projection that work-groups of NVIDIA GPUs keep the weights of: a power of two of
/// slices, up to 16, that a cluster has; 1536 channels of all streams at most, 1792 where 16 are not enough otherwise, and
/// of 4 streams 2048, of which LDS has a part, where these are not.
std::int64_t channels_of_ranks(std::int64_t n, std::int64_t hidden_dim);
/// Channels of all streams whose weights registers hold; what LDS has of more is so many pieces of tile_weights.hpp, of
/// three for each 256.
constexpr std::int64_t channels_in_registers = 1792, weight_piece_bytes = 8192;
/// The same of data that is split for the units: of 4 streams these, which leaves registers for both parts of the data, and
/// as many as of data that is not split, of which LDS has a part then, where 16 slices are not enough otherwise; of other
/// numbers of streams, which no cluster has, 1024. As many slices as that takes.
constexpr std::int64_t channels_of_fp32 = 1280;
std::int64_t channels_of_split(std::int64_t n, std::int64_t hidden_dim);

/// Channels of a stream in a slice of project_wide, whole steps of 64: 16 slices, whose sums are a twelfth of what 8 streams
/// in bf16 have; fewer of more rows.
constexpr std::int64_t channels_of_wide(std::int64_t n, std::int64_t hidden_dim)
{
    return round_up(ceil_div(hidden_dim, n <= 16 ? 16 : 8), 64);
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
    matrix_units units;
    bool has_tiles;  ///< projections are made by matrix units: templates/device/project_tiles.hpp
    bool has_wide;   ///< or so, because the rows of fn are too many for that: templates/device/project_wide.hpp

    jit::tuning tuned;  ///< of the kernels that share out rows: nothing that the order of a sum depends on

    facts(const jit::layer_spec& s, const target& t, const jit::tuning& choices = {})
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
          units(matrix_units_of(t)),
          has_tiles(uses_units() && (n == 1 || n == 2 || n == 4) && C <= 64 * channels_of_tiles / n),
          has_wide(uses_units() && !has_tiles && units.has_wide),
          tuned(choices)
    {
        // At most 64 slices, so that their sums fit a small array for any C. Waves of NVIDIA GPUs share out short ones: a
        // token then has waves enough to hide what one waits for.
        const std::int64_t long_slice = sliced(is_host ? 4096 : 1024);
        slice = t.kind == target_kind::cuda ? sliced(C <= 2048 ? 256 : 512) : long_slice;
        project_slice = has_wide             ? channels_of_wide(n, C)
                        : !has_tiles         ? long_slice
                        : !units.has_overlap ? channels_of_tiles / n
                        : !splits_data()     ? channels_of_ranks(n, C)
                                             : channels_of_split(n, C);
    }

    /// Whether a number is no factor as it is.
    bool splits_data() const
    {
        return spec.dtype != jit::dtype::bf16 && !(spec.dtype == jit::dtype::fp16 && units.has_fp16);
    }
    /// Whether matrix units could make projections. A number of fp32 that is split has an error of 2^-18 or less, as its
    /// weight has; a sum of few of them may be promised more exactly.
    bool uses_units() const
    {
        return *units.header != 0 && spec.options.arithmetic == jit::projection::split && C % 8 == 0 &&
               (spec.dtype != jit::dtype::fp32 || (units.has_fp32 && n * C >= 2048));
    }
    /// Channels of a slice that is a multiple of `unit`.
    std::int64_t sliced(std::int64_t unit) const { return std::max(unit, round_up(ceil_div(C, 64), unit)); }

    std::int64_t slices() const { return ceil_div(C, slice); }
    std::int64_t project_slices() const { return ceil_div(C, project_slice); }
    /// Coefficients and layer_input are one kernel, of up to 8 streams, that has two tokens at least in LDS.
    bool has_pre_mix() const
    {
        // Lanes that keep lines of a matrix want 128 registers, which 15 waves leave.
        const std::int64_t row = C * size_of(spec.dtype);
        const bool has_room =
            has_tiles ? row <= 16384 : has_wide && n <= 8 && row <= 14336 && round_up(row, 1024) * n <= 96 * 1024;
        return has_room && units.has_overlap && !spec.norm_weight && !quantises();
    }
    /// Whether the groups of a cluster may have the streams of tokens, each a slice of a projection.
    bool has_ranks() const
    {
        // What one group sends itself the GPU takes for an error: a cluster has two at least.
        return has_tiles && units.has_clusters && n == 4 && project_slices() > 1 && project_slices() <= 16;
    }
    /// Projection, coefficients and layer_input are one kernel, of clusters.
    bool has_one_pass() const
    {
        return has_ranks() && !spec.norm_weight && !quantises() && !arranges_fn() && row_alignment_bytes(spec) == 16;
    }
    /// So may mHC.cu's dynamic layer's be, where registers hold all weights: with tiles in LDS until their matrices are
    /// balanced, it takes as long otherwise as in several passes. Rows that are not aligned are summed in the same order.
    bool has_layer_ranks() const { return has_ranks() && project_slice * n <= channels_in_registers; }
    bool has_layer_one_pass() const { return has_layer_ranks() && row_alignment_bytes(spec) == 16; }
    /// Projections on many rows are made by four waves together: templates/device/group_wide.hpp.
    bool has_wide_groups() const { return has_wide && units.has_group_products && spec.dtype == jit::dtype::bf16; }
    bool quantises() const { return spec.layer_input_quant != jit::layer_input_quant::none; }
    /// fn is read from a copy in the workspace: in float, in order, with the weight of its norm.
    bool arranges_fn() const { return spec.fn_norm_weight || spec.fn_order != jit::fn_order::fn; }
    float norm_eps() const { return spec.options.norm_eps.value_or(spec.options.rms_eps); }

    /// Work-items for rows of channels: whole waves, no more lanes than vectors, at most 256.
    std::int32_t row_block() const
    {
        if (tuned.block != 0) return tuned.block;
        if (is_host) return 1;
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(round_up(ceil_div(C, vector), wave), wave, 256));
    }
    /// Of kernels whose work items are chunks of a row: on NVIDIA GPUs, where lanes ask for all their rows at once, short
    /// work-groups that end one after the other, 96 to 160 lanes, as few of them past the row's end as can be.
    std::int32_t chunk_block() const
    {
        const std::int64_t vectors = ceil_div(C, vector);
        if (on.kind != target_kind::cuda || tuned.block != 0 || vectors <= 128) return row_block();
        std::int64_t best = 128;
        for (const std::int64_t block : {160, 96})
            if (round_up(vectors, block) < round_up(vectors, best)) best = block;
        return static_cast<std::int32_t>(best);
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
/// layer_input = sum_i pre_i x_i; of a layer, with the norm and the quantisation that the spec has.
kernel_plan plan_apply_mix(const facts& f, const feeds& from, bool is_of_layer);
/// The same of the streams that post would store.
kernel_plan plan_apply_post(const facts& f, const feeds& from);
/// mHC.cu's layer, from coefficients in the workspace.
kernel_plan plan_layer(const facts& f, bool is_dynamic);
/// plan_static_coefficients and that layer in one kernel, where has_static_layer.
bool has_static_layer(const facts& f);
kernel_plan plan_static_layer(const facts& f);
/// "dynamic_coefficients" and that layer in one kernel, where has_dynamic_layer: waves that balance 1, 2 or 4 streams.
bool has_dynamic_layer(const facts& f);
kernel_plan plan_dynamic_layer(const facts& f, const feeds& from);

/// x . fn^T and the sum of x^2 in splits: "project" on one matrix, "project_three" on three; "project_post" on the streams
/// that post would store, for a head's rows.
kernel_plan plan_project(const facts& f, const std::string& family, const feeds& from);
/// Adds it, of the first `rows` rows: where work-groups that have many rows would be few, another kernel for few tokens.
void add_project(const facts& f, operator_plan& made, const std::string& family, const feeds& from, std::int64_t rows);

/// Bytes of the copy of fn, if there is one, and what makes it.
std::int64_t arranged_bytes(const facts& f, std::int64_t rows);
kernel_plan plan_arrange_fn(const facts& f, const feeds& from);
/// Where f.has_wide_groups(): the bytes of fn as its products take it, which `place` in the workspace has; what makes it;
/// and the projection.
std::int64_t wide_factor_bytes(const facts& f, std::int64_t rows);
void add_project_groups(const facts& f, operator_plan& made, feeds from, const feed& place, std::int64_t rows);
/// A caller's splits from the slices that it leaves in the workspace.
kernel_plan plan_sum_slices(const facts& f, const feeds& from);
/// Bytes of all that.
std::int64_t projection_bytes(const facts& f, std::int64_t rows);
/// Adds the projection on `rows` rows of fn, arranged first where it has to be, in the workspace at `place`.
void add_projection(const facts& f, operator_plan& made, feeds from, const feed& place, std::int64_t rows);

/// "coefficients", "split_mixes", "head_coefficients", "dynamic_coefficients": what follows from the splits. A head reads
/// the first n of `rows` rows.
kernel_plan plan_coefficients(const facts& f, const std::string& family, const feeds& from, std::int64_t rows = 0);
/// plan_coefficients and plan_apply_mix in one kernel, where f.has_pre_mix(). Unless it waits first, the kernel before it
/// does not write the streams.
kernel_plan plan_pre_mix(const facts& f, const feeds& from, bool waits_first);
/// Kernels of clusters that read the streams once. plan_project and plan_pre_mix, and plan_post besides, where
/// f.has_one_pass().
/// is_delayed: streams are added by the pre of the sublayer before.
kernel_plan plan_pre_one_pass(const facts& f, bool is_delayed = false);
/// Of streams that are one row.
kernel_plan plan_broadcast_one_pass(const facts& f);
kernel_plan plan_post_pre_one_pass(const facts& f);
/// The same of a head.
kernel_plan plan_head_one_pass(const facts& f);
kernel_plan plan_post_head_one_pass(const facts& f);
/// plan_project and plan_dynamic_layer, where f.has_layer_one_pass().
kernel_plan plan_layer_one_pass(const facts& f);
kernel_plan plan_static_coefficients(const facts& f, const feeds& from = {});

/// Decides how many tokens the kernels of a planned operator take at a time.
void add_chunks(const facts& f, operator_plan& made);

}  // namespace mhc::codegen
