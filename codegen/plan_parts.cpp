// codegen/plan_parts.cpp -- what plans of kernels are put together from; plan*.cpp are the only place
// that chooses blocks and grids.
#include "codegen/plan_parts.hpp"

#include <fmt/format.h>

namespace mhc::codegen {

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

void add_sinkhorn_gradient(const facts& f, bindings& b)
{
    add_sinkhorn(f, b);
    b["sinkhorn_gradient"] = to_string(f.spec.options.gradient);
}

namespace {

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

}  // namespace

kernel_plan start(const facts& f, std::string family, std::vector<argument> args, std::int32_t block)
{
    kernel_plan k;
    k.family = std::move(family);
    k.args = std::move(args);
    k.argument_bytes = lay_out(k.args);
    k.grid.groups_max = f.groups_max();
    k.n_streams = f.spec.n_streams;
    k.bindings = {
        {"vocabulary", vocabulary_of(f.on.kind)}, {"wave", fmt::to_string(f.wave)}, {"params", parameters(k.args, f.spec)}};
    set_block(k, block);
    return k;
}

void set_block(kernel_plan& k, std::int32_t block)
{
    k.block = block;
    k.bindings["block"] = fmt::to_string(block);
}

void finish(const facts& f, kernel_plan& k, bool has_channels, bool has_streams, std::optional<jit::dtype> type)
{
    k.hidden_dim = has_channels ? f.C : 0;
    k.n_streams = has_streams ? f.spec.n_streams : 0;
    k.dtype = has_channels ? to_string(type.value_or(f.spec.dtype)) : "fp32";
    if (has_streams) k.bindings["n_streams"] = fmt::to_string(f.n);
    k.symbol_base = "mhc_" + k.family + (has_streams ? fmt::format("_n{}", f.n) : "") +
                    (has_channels ? fmt::format("_c{}", f.C) : "") + "_" + k.dtype;
}

/// A kernel whose lanes share rows.
static kernel_plan start_rows(const facts& f, std::string family, std::vector<argument> args, std::int32_t block)
{
    kernel_plan k = start(f, std::move(family), std::move(args), block);
    if (f.tuned.groups != 0) k.grid.groups_max = f.tuned.groups;
    return k;
}

kernel_plan plan_chunks(const facts& f, std::string family, std::vector<argument> args)
{
    kernel_plan k = start_rows(f, std::move(family), std::move(args), f.chunk_block());
    // A lane of a GPU takes one vector, the one of a CPU takes them all, and no more than the row has.
    const std::int64_t turn = std::int64_t{k.block} * f.vector, row = round_up(f.C, turn);
    const std::int64_t chunk = f.tuned.vectors != 0 ? std::min(f.tuned.vectors * turn, row) : f.is_host ? row : turn;
    k.grid.items_per_unit = ceil_div(f.C, chunk);
    add(k, rows_of(f, chunk));
    return k;
}

kernel_plan plan_tokens(const facts& f, std::string family, std::vector<argument> args)
{
    kernel_plan k = start_rows(f, std::move(family), std::move(args), f.row_block());
    add(k, rows_of(f, round_up(f.C, f.vector)));
    add(k, {{"lds_floats", fmt::to_string(f.slices())},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"norm_eps", real(f.norm_eps())}});
    return k;
}

std::int64_t matrix_lanes(const facts& f)
{
    std::int64_t lanes = 1;
    while (lanes < f.n && lanes < f.wave) lanes *= 2;
    return lanes;
}

static std::int32_t matrix_block(const facts& f) { return f.is_host ? 1 : 64; }

std::int64_t matrix_tokens(const facts& f) { return matrix_block(f) / matrix_lanes(f); }

kernel_plan plan_matrices(const facts& f, std::string family, std::vector<argument> args, std::int64_t floats)
{
    kernel_plan k = start(f, std::move(family), std::move(args), matrix_block(f));
    k.grid.tokens_per_unit = matrix_tokens(f);
    k.bindings["lds_floats"] = fmt::to_string(k.grid.tokens_per_unit * floats);
    return k;
}

void add_sigmoids(const facts& f, kernel_plan& k, bool has_post)
{
    const jit::layer_options& o = f.spec.options;
    k.bindings["pre_eps"] = real(o.pre_eps);
    if (has_post) k.bindings["post_mult"] = real(o.post_mult);
}

void add_post(const facts& f, kernel_plan& k)
{
    add(k, {{"layout", std::string(to_string(f.spec.options.layout))},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))},
            {"dtype", std::string(to_string(f.spec.dtype))},
            {"weight_dtype", std::string(to_string(f.spec.weight_dtype))}});
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
    const std::int64_t items = (ignores_tokens ? 1 : ceil_div(tokens, tokens_per_unit)) * items_per_unit;
    return std::min(ceil_div(items, items_per_group), groups_max) + groups_more;
}

}  // namespace mhc::codegen
