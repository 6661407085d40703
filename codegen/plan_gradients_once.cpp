// codegen/plan_gradients_once.cpp -- gradients through a norm whose work-groups keep the rows of a token: they are read
// once.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "codegen/plan_gradients.hpp"
#include "codegen/plan_parts.hpp"

namespace mhc::codegen {
namespace {

/// Channels of a wave where rows are read once: on NVIDIA GPUs one vector a lane, if waves are enough for that.
std::int64_t wave_slice(const facts& f) { return f.on.kind == target_kind::cuda && f.C <= 4096 ? 256 : product_slice(f); }

/// LDS of the rows that a work-group's lanes keep of a token of mHC.cu's layer.
std::int64_t layer_row_bytes(const facts& f) { return round_up(f.C, wave_slice(f)) * 2 * f.n * size_of(f.spec.dtype); }

/// Tokens that work-groups have in LDS before their use; one is in registers where there is no such LDS.
std::int64_t layer_row_stages(const facts& f)
{
    return f.units.has_overlap ? std::min<std::int64_t>(lds_of_coming / layer_row_bytes(f), 3) : 1;
}

/// A work-group has a wave for each slice: 512 lanes on NVIDIA GPUs, 1024 on AMD GPUs.
bool has_wave_for_each_slice(const facts& f) { return !f.is_host && ceil_div(f.C, wave_slice(f)) <= 16; }

/// A work-group has some tokens, and a wave for each slice of their channels.
kernel_plan plan_once(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_products(f, family, from, 0);
    set_block(k, static_cast<std::int32_t>(ceil_div(f.C, wave_slice(f)) * f.wave));
    k.bindings["slice"] = fmt::to_string(wave_slice(f));
    k.grid.tokens_per_unit = tokens_of_weight_sum;
    k.bindings["weight_align"] = fmt::to_string(weight_alignment_bytes(f.spec));
    k.bindings["norm_eps"] = real(f.norm_eps());
    return k;
}

}  // namespace

bool reads_norm_once(const facts& f) { return has_wave_for_each_slice(f); }

bool reads_layer_once(const facts& f)
{
    if (!has_wave_for_each_slice(f) || *f.units.header == 0 || f.n > 4 || size_of(f.spec.dtype) != 2) return false;
    // Whatever rows are aligned to, for that must not change bits.
    if (f.on.kind == target_kind::cuda) return layer_row_stages(f) > 1 && f.C % f.vector == 0;
    // Of a token's rows of four streams a lane keeps what waves of 64 lanes in groups of 512 have registers for.
    return f.n <= 2 || (f.wave == 64 && ceil_div(f.C, wave_slice(f)) <= 8);
}

kernel_plan plan_rmsnorm_once(const facts& f, const feeds& from)
{
    kernel_plan k = plan_once(f, "rmsnorm_once_bwd", from);
    k.bindings["lds_floats"] = fmt::to_string(2 * 2 * (k.block / f.wave));
    finish(f, k, true, false);
    return k;
}

/// LDS for the rows of coming tokens, and as many groups as there is room for, or the next lower power of two, which shares
/// out such a number of tokens more evenly: how many a multiprocessor runs at once.
static std::int64_t add_row_queue(const facts& f, kernel_plan& k, bool is_power_of_two = false)
{
    k.lds_bytes = static_cast<std::int32_t>(layer_row_stages(f) * layer_row_bytes(f));
    std::int64_t resident = std::clamp<std::int64_t>(lds_of_coming / k.lds_bytes, 1, 512 / k.block);
    if (is_power_of_two) resident = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(resident)));
    k.grid.groups_max = f.units.groups() * resident;  // the queue goes on from slice to slice
    return resident;
}

kernel_plan plan_layer_once(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_once(f, family, from);
    const std::int64_t stages = layer_row_stages(f), sums = 2 + 2 * f.n + f.n * (f.n + 1);  // layer_sums of the header
    const bool is_queue = f.units.has_overlap;
    const std::int64_t resident = is_queue ? add_row_queue(f, k) : 1;
    k.bindings["lds_floats"] = fmt::to_string(2 * sums * (k.block / f.wave));
    add(k, {{"matrix", f.units.header},
            {"queue", is_queue ? "rows_ahead" : "rows_in_registers"},
            {"rows_header", is_queue ? "rows_ahead" : "layer_gradient"},
            {"stages", fmt::to_string(stages)},
            {"lds_words", fmt::to_string(std::max(k.lds_bytes / 16, 1))},
            {"resident", fmt::to_string(resident)},
            {"layout", std::string(to_string(f.spec.options.layout))},
            {"dtype", std::string(to_string(f.spec.dtype))}});
    finish(f, k, true);
    return k;
}

bool has_static_ahead(const facts& f) { return f.units.has_overlap && reads_layer_once(f); }

kernel_plan plan_static_ahead(const facts& f, const feeds& from)
{
    kernel_plan k = plan_once(f, "static_ahead_bwd", from);
    const std::int64_t resident = add_row_queue(f, k, true);
    // The matrix's Jacobian has a group to itself, which all others leave room for.
    k.grid.groups_more = 1;
    k.grid.groups_max = std::max<std::int64_t>(k.grid.groups_max - 1, 1);
    k.bindings.erase("lds_floats");  // the header knows
    add(k, {{"matrix", f.units.header},
            {"stages", fmt::to_string(layer_row_stages(f))},
            {"lds_words", fmt::to_string(k.lds_bytes / 16)},
            {"maker_floats", fmt::to_string(f.wave / matrix_lanes(f) * balance_floats(f))},
            {"resident", fmt::to_string(resident)},
            {"history_in_lds", static_history_floats(f) == 0 ? "true" : "false"},
            {"layout", std::string(to_string(f.spec.options.layout))},
            {"dtype", std::string(to_string(f.spec.dtype))}});
    add_sigmoids(f, k, true);
    add_sinkhorn_gradient(f, k.bindings);
    finish(f, k, true);
    return k;
}

std::int64_t static_history_floats(const facts& f)
{
    const std::int64_t waves = std::min<std::int64_t>(ceil_div(f.C, wave_slice(f)), 2), history = waves * history_floats(f);
    const std::int64_t matrices = waves * f.wave / matrix_lanes(f) * gradient_floats(f);
    return (matrices + history) * 4 <= layer_row_stages(f) * layer_row_bytes(f) ? 0 : history;
}

}  // namespace mhc::codegen
