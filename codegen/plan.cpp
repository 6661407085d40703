// codegen/plan.cpp -- the kernels of the forward operators: tile sizes, blocks and grids.
#include <fmt/format.h>

#include <algorithm>

#include "codegen/plan_parts.hpp"

namespace mhc::codegen {

kernel_plan plan_sinkhorn(const facts& f)
{
    kernel_plan k = plan_matrices(f, "sinkhorn", arguments_of("sinkhorn"), balance_floats(f));
    add_sinkhorn(f, k.bindings);
    finish(f, k, false);
    return k;
}

/// Kernels that have a token to a work-group, and whose body has a form that keeps the token's `rows` rows in registers. On
/// AMD GPUs a wave for each slice does, with 16 of a lane's registers for each of up to 4 rows, with 32 where a wave has 32
/// lanes.
static kernel_plan plan_kept_tokens(const facts& f, const std::string& family, std::vector<argument> args, std::int64_t rows)
{
    kernel_plan k = plan_tokens(f, family, std::move(args));
    const bool keeps = f.on.kind == target_kind::amdgpu && f.slices() <= 16 && rows * f.slice <= 4096;
    if (keeps) set_block(k, static_cast<std::int32_t>(f.slices() * f.wave));
    k.bindings["body"] = keeps ? family + "_in_registers" : family;
    return k;
}

kernel_plan plan_rmsnorm(const facts& f)
{
    kernel_plan k = plan_kept_tokens(f, "rmsnorm", arguments_of("rmsnorm"), 1);
    finish(f, k, true, false);
    return k;
}

kernel_plan plan_expand(const facts& f)
{
    kernel_plan k = plan_chunks(f, "expand", arguments_of("expand"));
    finish(f, k, true);
    return k;
}

namespace {

kernel_plan plan_mixed_chunks(const facts& f, const std::string& family, const feeds& from)
{
    kernel_plan k = plan_chunks(f, family, arguments_of(family, from));
    // A lane holds its vectors of all streams and their coefficients: NVIDIA's has 128 registers for up to 4 of them.
    const std::int64_t lanes = f.n <= 4 ? 512 : 256;
    add(k, {{"layout", std::string(to_string(f.spec.options.layout))},
            {"resident", fmt::to_string(std::max<std::int64_t>(lanes / k.block, 1))},
            {"weight_align", fmt::to_string(weight_alignment_bytes(f.spec))}});
    finish(f, k, true);
    return k;
}

}  // namespace

kernel_plan plan_post(const facts& f, const feeds& from)
{
    kernel_plan k = plan_mixed_chunks(f, "post", from);
    if (f.units.has_overlap) k.may_overlap = overlap::with_any;
    return k;
}

kernel_plan plan_recompute(const facts& f) { return plan_mixed_chunks(f, "recompute", {}); }

namespace {

/// Lanes find a row's or a block's largest number in LDS, of which each has a float.
kernel_plan plan_apply_mix_fp8(const facts& f, const feeds& from)
{
    kernel_plan k = plan_tokens(f, "apply_mix_fp8", arguments_of("apply_mix_fp8", from));
    k.bindings["lds_floats"] = fmt::to_string(std::max<std::int64_t>(f.slices(), k.block));
    // Bytes of four channels are one word where every row begins with a word.
    const bool has_words = f.C % 4 == 0 && f.spec.alignment_bytes >= 4;
    const bool is_by_row = f.spec.layer_input_quant == jit::layer_input_quant::fp8_row;
    add(k, {{"has_norm", f.spec.norm_weight ? "true" : "false"},
            {"byte_align", has_words ? "4" : "1"},
            {"quant_block", is_by_row ? "0" : "128"}});
    finish(f, k, true);
    return k;
}

}  // namespace

kernel_plan plan_apply_mix(const facts& f, const feeds& from, bool is_of_layer)
{
    if (is_of_layer && f.quantises()) return plan_apply_mix_fp8(f, from);
    kernel_plan k = is_of_layer && f.spec.norm_weight
                        ? plan_kept_tokens(f, "apply_mix_norm", arguments_of("apply_mix_norm", from), 1)
                        : plan_chunks(f, "apply_mix", arguments_of("apply_mix", from));
    finish(f, k, true);
    return k;
}

kernel_plan plan_apply_post(const facts& f, const feeds& from)
{
    kernel_plan k = f.spec.norm_weight ? plan_tokens(f, "apply_post_norm", arguments_of("apply_post_norm", from))
                                       : plan_chunks(f, "apply_post", arguments_of("apply_post", from));
    add_post(f, k);
    finish(f, k, true);
    return k;
}

namespace {

/// LDS of a layer's token: whole slices of all streams.
std::int64_t layer_stage_bytes(const facts& f) { return f.slices() * f.slice * f.n * size_of(f.spec.dtype); }

/// How many tokens of a layer are on their way to a work-group's LDS; below 2 it is not worth it.
std::int64_t layer_stages(const facts& f, std::int64_t resident)
{
    return std::min<std::int64_t>(lds_of_coming / (resident * layer_stage_bytes(f)), 6);
}

void add_layer_options(const facts& f, kernel_plan& k, bool is_dynamic)
{
    if (is_dynamic && f.has_layer_ranks()) {  // which sum pieces of 64 channels
        k.bindings["slice"] = fmt::format("{}, {}", f.slice, f.project_slice);
        k.bindings["lds_floats"] = fmt::to_string(f.slices() * f.slice / 64);
    }
    add(k, {{"layout", std::string(to_string(f.spec.options.layout))},
            {"reference_rounding", f.spec.options.reference_rounding ? "true" : "false"}});
}

/// As many groups of `block` lanes as the registers of `lanes` lanes are for, each with two tokens in LDS at least.
std::int64_t layer_resident(const facts& f, std::int64_t block, std::int64_t lanes, std::int64_t most = 4)
{
    std::int64_t resident = std::clamp<std::int64_t>(lanes / block, 1, most);
    while (resident > 1 && layer_stages(f, resident) < 2) --resident;
    return resident;
}

/// Lanes of a multiprocessor that have 100 registers each, which are next to what a layer needs; with two vectors of a lane,
/// and the coefficients of all tokens in registers, 128.
std::int64_t layer_lanes(const facts& f, bool is_static) { return is_static && f.slice > 256 ? 512 : 640; }

/// A layer whose streams run ahead: `more` waves beside those that have a slice each.
kernel_plan plan_layer_ahead(const facts& f, const char* family, std::vector<argument> args, std::int32_t more,
                             bool is_dynamic, std::int64_t lanes)
{
    kernel_plan k = plan_tokens(f, family, std::move(args));
    set_block(k, static_cast<std::int32_t>((f.slices() + more) * f.wave));
    const std::int64_t resident = layer_resident(f, k.block, lanes, f.tuned.resident != 0 ? f.tuned.resident : 4);
    const std::int64_t stages = layer_stages(f, resident);
    k.lds_bytes = static_cast<std::int32_t>(stages * layer_stage_bytes(f));
    k.grid.groups_max = f.units.groups() * resident;
    k.may_overlap = overlap::with_own;
    add(k, {{"resident", fmt::to_string(resident)}, {"stages", fmt::to_string(stages)}});
    add_layer_options(f, k, is_dynamic);
    return k;
}

bool has_layer_ahead(const facts& f)
{
    const bool is_vectors = row_alignment_bytes(f.spec) == 16 && f.n <= 4 && f.slices() <= 16;
    return f.units.has_overlap && is_vectors && layer_stages(f, 1) >= 2;
}

}  // namespace

kernel_plan plan_layer(const facts& f, bool is_dynamic)
{
    if (has_layer_ahead(f)) {
        kernel_plan k = plan_layer_ahead(f, "layer_ahead", arguments_of("layer"), 0, is_dynamic, layer_lanes(f, false));
        finish(f, k, true);
        return k;
    }
    kernel_plan k = plan_kept_tokens(f, "layer", arguments_of("layer"), f.n);
    add_layer_options(f, k, is_dynamic);
    finish(f, k, true);
    return k;
}

namespace {

/// Waves of a work-group that have a token each, where that many fill its LDS: fewer could not hide what one waits for, and
/// more would leave a lane too few registers. 0: none, for that, or because a lane has several vectors of a slice, or since
/// a tuned number of groups is one of those that have a token at a time.
std::int64_t waves_with_tokens(const facts& f)
{
    if (f.tuned.resident != 0) return 0;
    const std::int64_t waves = lds_of_coming / layer_stage_bytes(f);
    return f.slice == f.wave * f.vector && waves >= 16 && waves <= 20 ? waves : 0;
}

}  // namespace

bool has_static_layer(const facts& f)
{
    return has_layer_ahead(f) &&
           (waves_with_tokens(f) > 0 || layer_resident(f, f.slices() * f.wave, layer_lanes(f, true)) > 1);
}

kernel_plan plan_static_layer(const facts& f)
{
    kernel_plan k =
        plan_layer_ahead(f, "static_layer_ahead", arguments_of("static_layer_ahead"), 0, false, layer_lanes(f, true));
    k.bindings["body"] = "static_layer_ahead";
    if (const std::int64_t waves = waves_with_tokens(f); waves > 0) {
        set_block(k, static_cast<std::int32_t>(waves * f.wave));
        k.lds_bytes = static_cast<std::int32_t>(waves * layer_stage_bytes(f));
        k.grid.groups_max = f.units.groups();
        k.bindings["body"] = "static_layer_by_waves";
        k.bindings["resident"] = k.bindings["stages"] = "1";
    }
    k.bindings.erase("lds_floats");  // the header knows
    k.bindings["maker_floats"] = fmt::to_string(f.wave / matrix_lanes(f) * balance_floats(f));
    k.may_overlap = overlap::with_any;
    add_sigmoids(f, k, true);
    add_sinkhorn(f, k.bindings);
    finish(f, k, true);
    return k;
}

bool has_dynamic_layer(const facts& f) { return has_layer_ahead(f) && f.n != 3; }

kernel_plan plan_dynamic_layer(const facts& f, const feeds& from)
{
    kernel_plan k = plan_layer_ahead(f, "dynamic_layer_ahead", arguments_of("dynamic_layer_ahead", from), 1, true,
                                     layer_lanes(f, false));
    k.bindings.erase("lds_floats");  // the header knows
    add_sigmoids(f, k, true);
    add_sinkhorn(f, k.bindings);
    k.bindings["rms_eps"] = real(f.spec.options.rms_eps);
    finish(f, k, true);
    return k;
}

kernel_plan plan_coefficients(const facts& f, const std::string& family, const feeds& from, std::int64_t rows)
{
    kernel_plan k = plan_matrices(f, family, arguments_of(family, from), balance_floats(f));
    add_sigmoids(f, k, family != "head_coefficients");
    add(k, {{"hidden_dim", fmt::to_string(f.C)}, {"rms_eps", real(f.spec.options.rms_eps)}});
    if (family == "head_coefficients") k.bindings["rows"] = fmt::to_string(rows);
    if (family == "coefficients" || family == "dynamic_coefficients") add_sinkhorn(f, k.bindings);
    if (family == "dynamic_coefficients") k.bindings["coefficients"] = fmt::to_string(f.m);
    finish(f, k, false);
    k.hidden_dim = f.C;
    return k;
}

kernel_plan plan_pre_mix(const facts& f, const feeds& from, bool waits_first)
{
    // Waves that add streams, a lane two vectors of a row of many, and those that balance matrices.
    const std::int64_t vectors = ceil_div(f.C, f.vector), turns = vectors > 256 ? ceil_div(vectors, 1024) * 2 : 1;
    const std::int64_t adders = round_up(ceil_div(vectors, turns), f.wave);
    // At least three tokens of a work-group are ahead of their use, and as many groups there as leave a lane 80 registers,
    // or more for lines of a matrix. A grid that fits an H200 at once.
    const std::int64_t registers = f.has_tiles ? 80 : f.n <= 4 ? 96 : 128, lanes = 65536 / registers;
    const std::int64_t lds_bytes = lds_of_coming, stage_bytes = adders * turns * f.n * 16;
    const std::int64_t resident =
        f.tuned.resident != 0 ? std::clamp<std::int64_t>(lds_bytes / stage_bytes, 1, f.tuned.resident)
                              : std::clamp<std::int64_t>(lds_bytes / (3 * stage_bytes), 1, lanes / (adders + f.wave));
    // Four tokens take a wave that balances longer than their streams take the others: a multiprocessor has up to four.
    const std::int64_t balancing = f.n <= 4 ? 1
                                            : std::clamp<std::int64_t>((lanes / resident - adders) / f.wave, 1,
                                                                       std::max<std::int64_t>(4 / resident, 1));
    kernel_plan k =
        start(f, "pre_mix", arguments_of("pre_mix", from), static_cast<std::int32_t>(adders + balancing * f.wave));
    const std::int64_t stages = std::clamp<std::int64_t>(lds_bytes / (resident * stage_bytes), 1, 6);
    k.lds_bytes = static_cast<std::int32_t>(stages * stage_bytes);
    k.grid.groups_max = f.units.groups() * resident;
    add(k, {{"resident", fmt::to_string(resident)},
            {"stages", fmt::to_string(stages)},
            {"balancing", fmt::to_string(balancing)},
            {"waits_first", waits_first ? "true" : "false"}});
    add(k, rows_of(f, f.vector));
    add_sigmoids(f, k, true);
    add_sinkhorn(f, k.bindings);
    k.bindings["rms_eps"] = real(f.spec.options.rms_eps);
    k.may_overlap = waits_first ? overlap::with_any : overlap::with_own;
    finish(f, k, true);
    return k;
}

kernel_plan plan_static_coefficients(const facts& f, const feeds& from)
{
    kernel_plan k = plan_matrices(f, "static_coefficients", arguments_of("static_coefficients", from), balance_floats(f));
    k.grid.ignores_tokens = true;
    add_sigmoids(f, k, true);
    add_sinkhorn(f, k.bindings);
    finish(f, k, false);
    return k;
}

}  // namespace mhc::codegen
