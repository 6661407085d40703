// codegen/plan.cpp -- the only place that chooses tile sizes, blocks and grids.
#include <fmt/format.h>

#include <algorithm>

#include "codegen/plan_kernels.hpp"

namespace mhc::codegen {
namespace {

using bindings = std::map<std::string, std::string>;

// The shortest text that reads back as the same float.
std::string real(float v) { return fmt::format("{:a}f", v); }

bindings rows_of(const facts& f, std::int64_t chunk)
{
    return {{"hidden_dim", fmt::to_string(f.C)},
            {"vector", fmt::to_string(f.vector)},
            {"row_align", fmt::to_string(row_alignment_bytes(f.spec))},
            {"chunk", fmt::to_string(chunk)},
            {"slice", fmt::to_string(f.slice)}};
}

void add_sinkhorn(const facts& f, bindings& b)
{
    const jit::layer_options& o = f.spec.options;
    b["sinkhorn_start"] = to_string(o.start);
    b["sinkhorn_order"] = to_string(o.order);
    b["sinkhorn_eps_mode"] = to_string(o.eps_mode);
    b["sinkhorn_iters"] = fmt::to_string(o.sinkhorn_iters);
    b["sinkhorn_eps"] = real(o.eps_mode == jit::sinkhorn_eps_mode::none ? 0.0F : o.sinkhorn_eps);
}

/// The device header that names the hardware.
const char* vocabulary_of(target_kind kind)
{
    switch (kind) {
        case target_kind::host:
            return "host";
        case target_kind::amdgpu:
            return "amdgpu";
        case target_kind::cuda:
            return "cuda";
    }
    return "";
}

kernel_plan start(const facts& f, std::string family, std::vector<argument> args, std::int32_t block)
{
    kernel_plan k;
    k.family = std::move(family);
    k.args = std::move(args);
    k.argument_bytes = lay_out(k.args);
    k.block = block;
    k.grid.groups_max = f.groups_max();
    k.n_streams = f.spec.n_streams;
    k.bindings = {{"vocabulary", vocabulary_of(f.on.kind)},
                  {"block", fmt::to_string(block)},
                  {"wave", fmt::to_string(f.wave)},
                  {"params", parameters(k.args, f.spec)}};
    return k;
}

void add(kernel_plan& k, bindings more) { k.bindings.merge(more); }

void finish(const facts& f, kernel_plan& k, bool has_channels, bool has_streams = true)
{
    k.hidden_dim = has_channels ? f.C : 0;
    k.n_streams = has_streams ? f.spec.n_streams : 0;
    k.dtype = has_channels ? to_string(f.spec.dtype) : "fp32";
    if (has_streams) k.bindings["n_streams"] = fmt::to_string(f.n);
    k.symbol_base = "mhc_" + k.family + (has_streams ? fmt::format("_n{}", f.n) : "") +
                    (has_channels ? fmt::format("_c{}", f.C) : "") + "_" + k.dtype;
}

/// A work item is one token and one chunk of channels: post, apply_mix, expand.
kernel_plan plan_chunks(const facts& f, std::string family, std::vector<argument> args)
{
    kernel_plan k = start(f, std::move(family), std::move(args), f.row_block());
    const std::int64_t chunk = f.is_host ? round_up(f.C, f.vector) : std::int64_t{k.block} * f.vector;
    k.grid.items_per_unit = ceil_div(f.C, chunk);
    add(k, rows_of(f, chunk));
    return k;
}

/// A work-group has a whole token, because it needs a sum over its channels: rmsnorm, apply_mix_norm, layer.
kernel_plan plan_tokens(const facts& f, std::string family, std::vector<argument> args)
{
    kernel_plan k = start(f, std::move(family), std::move(args), f.row_block());
    add(k, rows_of(f, round_up(f.C, f.vector)));
    add(k, {{"lds_floats", fmt::to_string(f.slices())},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"norm_eps", real(f.norm_eps())}});
    return k;
}

/// A group of lanes has a token's n x n matrix: sinkhorn and the coefficients.
kernel_plan plan_matrices(const facts& f, std::string family, std::vector<argument> args)
{
    const std::int32_t block = f.is_host ? 1 : 64;
    kernel_plan k = start(f, std::move(family), std::move(args), block);
    std::int64_t lanes = 1;  // as lanes_of in templates/device/sinkhorn.hpp
    while (lanes < f.n && lanes < f.wave) lanes *= 2;
    k.grid.tokens_per_unit = block / lanes;
    k.bindings["lds_floats"] = fmt::to_string(k.grid.tokens_per_unit * (f.n * f.n + 4 * f.n));
    return k;
}

void add_sigmoids(const facts& f, kernel_plan& k, bool has_post)
{
    const jit::layer_options& o = f.spec.options;
    k.bindings["pre_eps"] = real(o.pre_eps);
    if (has_post) k.bindings["post_mult"] = real(o.post_mult);
}

}  // namespace

kernel_plan plan_sinkhorn(const facts& f)
{
    kernel_plan k = plan_matrices(f, "sinkhorn", arguments_of("sinkhorn"));
    add_sinkhorn(f, k.bindings);
    finish(f, k, false);
    return k;
}

kernel_plan plan_rmsnorm(const facts& f)
{
    kernel_plan k = plan_tokens(f, "rmsnorm", arguments_of("rmsnorm"));
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_expand(const facts& f)
{
    kernel_plan k = plan_chunks(f, "expand", arguments_of("expand"));
    finish(f, k, true);
    return k;
}

kernel_plan plan_post(const facts& f)
{
    kernel_plan k = plan_chunks(f, "post", arguments_of("post"));
    k.bindings["layout"] = to_string(f.spec.options.layout);
    finish(f, k, true);
    return k;
}

kernel_plan plan_apply_mix(const facts& f, const feeds& from, bool may_normalise)
{
    kernel_plan k = may_normalise && f.spec.norm_weight
                        ? plan_tokens(f, "apply_mix_norm", arguments_of("apply_mix_norm", from))
                        : plan_chunks(f, "apply_mix", arguments_of("apply_mix", from));
    finish(f, k, true);
    return k;
}

kernel_plan plan_layer(const facts& f)
{
    kernel_plan k = plan_tokens(f, "layer", arguments_of("layer"));
    add(k, {{"layout", std::string(to_string(f.spec.options.layout))},
            {"reference_rounding", f.spec.options.reference_rounding ? "true" : "false"}});
    finish(f, k, true);
    return k;
}

struct tile {
    std::int64_t tokens, rows;
};

/// Sums of a tile live in registers, beside its operands. 32 vector registers of a CPU hold 4 x 4, 16 hold 2 x 2. A GPU's
/// lane has 4 x 4 or 2 x 8 of them, vectors all: Clang keeps the second in 222 registers on AMD GPUs and the first in 260,
/// NVRTC both in 255; on an H200 they take the same time within 6 %. Rows that end within a vector need registers for the end,
/// which 8 rows do not leave on waves of 32: there Clang 19 spilled, and what it restored was not what it had spilled.
tile project_tile(const facts& f)
{
    const auto has = [&](const char* feature) {
        return std::find(f.on.features.begin(), f.on.features.end(), feature) != f.on.features.end();
    };
    if (f.is_host && !has("avx512f") && f.on.processor == "x86-64") return {2, 2};
    if (f.on.kind == target_kind::amdgpu) return {2, std::min<std::int64_t>(f.C % f.vector == 0 ? 8 : 4, f.m)};
    return {4, 4};
}

kernel_plan plan_project(const facts& f, const std::string& family, const feeds& from)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, family, arguments_of(family, from), block);
    const tile of = project_tile(f);
    const std::int64_t waves = block / f.wave;
    // A wave has a tile of tokens and of all m rows of fn, and a split; those that a launch does not ask for are passed
    // over.
    k.grid = {.tokens_per_unit = of.tokens,
              .items_per_unit = f.slices() * ceil_div(f.m, of.rows),
              .items_per_group = waves,
              .groups_max = f.groups_max()};
    add(k, rows_of(f, f.vector));
    const bool rounds = family == "project_three" && f.spec.options.reference_rounding;
    add(k, {{"tile_tokens", fmt::to_string(of.tokens)},
            {"tile_rows", fmt::to_string(of.rows)},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"reference_rounding", rounds ? "true" : "false"}});
    finish(f, k, true);
    return k;
}

kernel_plan plan_coefficients(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_matrices(f, family, arguments_of(family, from));
    add_sigmoids(f, k, family != "head_coefficients");
    add(k, {{"hidden_dim", fmt::to_string(f.C)}, {"rms_eps", real(f.spec.options.rms_eps)}});
    if (family == "coefficients" || family == "dynamic_coefficients") add_sinkhorn(f, k.bindings);
    if (family == "dynamic_coefficients") k.bindings["coefficients"] = fmt::to_string(f.m);
    finish(f, k, false);
    k.hidden_dim = f.C;
    return k;
}

kernel_plan plan_static_coefficients(const facts& f)
{
    kernel_plan k = plan_matrices(f, "static_coefficients", arguments_of("static_coefficients"));
    k.grid.ignores_tokens = true;
    add_sigmoids(f, k, true);
    add_sinkhorn(f, k.bindings);
    finish(f, k, false);
    return k;
}

std::int32_t weight_alignment_bytes(const jit::layer_spec& s) noexcept
{
    const std::int64_t element = size_of(s.weight_dtype);
    std::int64_t bytes = std::max<std::int64_t>(s.alignment_bytes, element);
    while (bytes > element && s.hidden_dim * element % bytes != 0) bytes /= 2;
    return static_cast<std::int32_t>(bytes);
}

std::int64_t grid_rule::groups(std::int64_t tokens) const noexcept
{
    if (ignores_tokens) return 1;
    const std::int64_t items = ceil_div(tokens, tokens_per_unit) * items_per_unit;
    return std::min(ceil_div(items, items_per_group), groups_max);
}

}  // namespace mhc::codegen
