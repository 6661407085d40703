// codegen/plan_gradients_once.cpp -- gradients through a norm whose work-groups keep the rows of a token: they are read
// once.
#include <fmt/format.h>

#include <algorithm>

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

kernel_plan plan_layer_once(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_once(f, family, from);
    const std::int64_t stages = layer_row_stages(f), sums = 2 + 2 * f.n + f.n * (f.n + 1);  // layer_sums of the header
    const bool is_queue = f.units.has_overlap;
    std::int64_t resident = 1;
    if (is_queue) {
        k.lds_bytes = static_cast<std::int32_t>(stages * layer_row_bytes(f));
        resident = std::clamp<std::int64_t>(lds_of_coming / k.lds_bytes, 1, 512 / k.block);
        k.grid.groups_max = f.units.groups() * resident;  // the queue goes on from slice to slice
    }
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

}  // namespace mhc::codegen
