// codegen/plan.cpp -- the only place that chooses tile sizes, blocks and grids.
#include "codegen/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "codegen/arguments.hpp"

namespace mhc::codegen {
namespace {

using jit::operation;
using bindings = std::map<std::string, std::string>;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// The shortest text that reads back as the same float.
std::string real(float v) { return fmt::format("{:a}f", v); }

/// What a spec and a target fix before any kernel is planned. n streams, C channels, m rows of fn.
struct facts {
    const jit::layer_spec& spec;
    const target& on;
    std::int64_t n, C, m;
    std::int32_t vector;  ///< channels a lane reads at once: 16 bytes of data on a GPU, 16 channels on host
    std::int32_t wave;
    std::int64_t slice;  ///< channels of a slice of a sum: a function of C and the kind of target alone (batch invariance)
    bool is_host;

    facts(const jit::layer_spec& s, const target& t)
        : spec(s),
          on(t),
          n(s.n_streams),
          C(s.hidden_dim),
          m(n * n + 2 * n),
          vector(t.kind == target_kind::host ? 16 : 16 / size_of(s.dtype)),
          wave(t.wave_size),
          slice(0),
          is_host(t.kind == target_kind::host)
    {
        // At most 64 slices, so that their sums fit a small array for any C.
        const std::int64_t unit = is_host ? 4096 : 1024;
        slice = std::max(unit, round_up(ceil_div(C, 64), unit));
    }

    std::int64_t slices() const { return ceil_div(C, slice); }
    float norm_eps() const { return spec.options.norm_eps.value_or(spec.options.rms_eps); }

    /// Work-items for rows of channels: whole waves, no more lanes than vectors, at most 256.
    std::int32_t row_block() const
    {
        if (is_host) return 1;
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(round_up(ceil_div(C, vector), wave), wave, 256));
    }
    std::int64_t groups_max() const { return is_host ? 1024 : 65536; }
};

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
    add_sinkhorn(f, k.bindings);
    return k;
}

void add_coefficients(const facts& f, kernel_plan& k)
{
    const jit::layer_options& o = f.spec.options;
    k.bindings["pre_eps"] = real(o.pre_eps);
    k.bindings["post_mult"] = real(o.post_mult);
}

/// A wave has a tile of tokens and rows of fn, and one slice of the channels.
kernel_plan plan_project(const facts& f, std::string family, std::vector<argument> args, bool round_as_reference)
{
    const std::int32_t block = f.is_host ? 1 : 256;
    kernel_plan k = start(f, std::move(family), std::move(args), block);
    const auto has = [&](const char* feature) {
        return std::find(f.on.features.begin(), f.on.features.end(), feature) != f.on.features.end();
    };
    // Sums of a tile live in registers: 32 vector registers hold a 4 x 4 tile and its operands, 16 hold 2 x 2.
    const std::int64_t tile = f.is_host && !has("avx512f") && f.on.processor == "x86-64" ? 2 : 4;
    const std::int64_t waves = block / f.wave;
    k.grid = {.tokens_per_unit = tile,
              .items_per_unit = f.slices() * ceil_div(f.m, tile),
              .items_per_group = waves,
              .groups_max = f.groups_max()};
    add(k, rows_of(f, f.vector));
    add(k, {{"tile_tokens", fmt::to_string(tile)},
            {"tile_rows", fmt::to_string(tile)},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))},
            {"reference_rounding", round_as_reference ? "true" : "false"}});
    return k;
}

void plan_pre(const facts& f, operator_plan& made)
{
    kernel_plan project = plan_project(f, "project", arguments_of("project"), false);
    finish(f, project, true);

    kernel_plan coefficients = plan_matrices(f, "coefficients", arguments_of("coefficients"));
    add_coefficients(f, coefficients);
    add(coefficients, {{"hidden_dim", fmt::to_string(f.C)},
                       {"slices", fmt::to_string(f.slices())},
                       {"rms_eps", real(f.spec.options.rms_eps)}});
    finish(f, coefficients, false);
    coefficients.hidden_dim = f.C;

    const char* last = f.spec.norm_weight ? "apply_mix_norm" : "apply_mix";
    kernel_plan apply =
        f.spec.norm_weight ? plan_tokens(f, last, arguments_of(last)) : plan_chunks(f, last, arguments_of(last));
    finish(f, apply, true);

    made.kernels = {std::move(project), std::move(coefficients), std::move(apply)};
    made.workspace_bytes_per_token = f.slices() * (f.m + 1) * 4;
}

void plan_layer(const facts& f, operator_plan& made)
{
    const bool is_static = made.op == operation::static_layer_fwd;
    const char* family = is_static ? "static_coefficients" : "dynamic_coefficients";
    kernel_plan coefficients = plan_matrices(f, family, arguments_of(family));
    add_coefficients(f, coefficients);
    if (is_static) {
        coefficients.grid.ignores_tokens = true;
        made.workspace_bytes_fixed = f.m * 4;
    } else {
        kernel_plan project =
            plan_project(f, "project_three", arguments_of("project_three"), f.spec.options.reference_rounding);
        project.bindings["coefficients"] = fmt::to_string(f.m);
        finish(f, project, true);
        made.kernels.push_back(std::move(project));
        made.workspace_bytes_per_token = (f.m + f.slices() * (f.m + 1)) * 4;
        add(coefficients, {{"hidden_dim", fmt::to_string(f.C)},
                           {"slices", fmt::to_string(f.slices())},
                           {"coefficients", fmt::to_string(f.m)},
                           {"rms_eps", real(f.spec.options.rms_eps)}});
    }
    finish(f, coefficients, false);
    if (!is_static) coefficients.hidden_dim = f.C;

    kernel_plan layer = plan_tokens(f, "layer", arguments_of("layer"));
    add(layer, {{"layout", std::string(to_string(f.spec.options.layout))},
                {"reference_rounding", f.spec.options.reference_rounding ? "true" : "false"}});
    finish(f, layer, true);
    made.kernels.push_back(std::move(coefficients));
    made.kernels.push_back(std::move(layer));
}

kernel_plan plan_single(const facts& f, operation op)
{
    kernel_plan k;
    switch (op) {
        case operation::sinkhorn_fwd:
            k = plan_matrices(f, "sinkhorn", arguments_of("sinkhorn"));
            finish(f, k, false);
            break;
        case operation::rmsnorm_fwd:
            k = plan_tokens(f, "rmsnorm", arguments_of("rmsnorm"));
            finish(f, k, true, false);
            break;
        case operation::apply_mix_fwd:
            k = plan_chunks(f, "apply_mix", arguments_of("apply_mix"));
            finish(f, k, true);
            break;
        case operation::expand_fwd:
            k = plan_chunks(f, "expand", arguments_of("expand"));
            finish(f, k, true);
            break;
        default:
            k = plan_chunks(f, "post", arguments_of("post"));
            k.bindings["layout"] = to_string(f.spec.options.layout);
            finish(f, k, true);
            break;
    }
    return k;
}

}  // namespace

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

jit::result<operator_plan> plan(const jit::layer_spec& spec, const target& on, jit::operation op)
{
    if (auto ok = validate(spec); !ok) return ok.error();
    const facts f(spec, on);
    operator_plan made{.op = op, .on = on, .kernels = {}};
    if (op == operation::pre_fwd)
        plan_pre(f, made);
    else if (op == operation::static_layer_fwd || op == operation::dynamic_layer_fwd)
        plan_layer(f, made);
    else
        made.kernels.push_back(plan_single(f, op));
    return made;
}

}  // namespace mhc::codegen
