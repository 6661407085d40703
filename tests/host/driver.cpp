// tests/host/driver.cpp -- memory, launch, checks of stray writes, comparison, summary.
#include "tests/host/driver.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/host/launch.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/support/numeric.hpp"

namespace mhc::testing {
namespace {

using jit::dtype;
using jit::operation;

/// A quiet NaN of the type, twice for 16-bit types: memory that nothing was written to.
std::uint32_t poison(dtype type)
{
    switch (type) {
        case dtype::bf16:
            return 0x7FD57FD5U;
        case dtype::fp16:
            return 0x7E557E55U;
        case dtype::fp32:
            break;
    }
    return 0x7FD5A5A5U;
}

float element_at(const std::byte* from, dtype type)
{
    if (type == dtype::fp32) {
        float value = 0;
        std::memcpy(&value, from, sizeof(value));
        return value;
    }
    std::uint16_t bits = 0;
    std::memcpy(&bits, from, sizeof(bits));
    return type == dtype::bf16 ? reference::from_bf16(bits) : reference::from_fp16(bits);
}

/// The address a kernel may count on, exactly: not aligned to more.
std::int64_t offset_of(const operand& of, const operands& in, const jit::layer_spec& spec)
{
    static constexpr std::string_view always_f32[] = {
        "logits", "mix", "pre", "post", "rms", "scale", "base", "proj", "sqsum", "previous_pre", "num_valid_tokens"};
    const std::string_view name = of.name.starts_with("d_") ? std::string_view(of.name).substr(2) : of.name;
    const bool is_coefficient = std::find(std::begin(always_f32), std::end(always_f32), name) != std::end(always_f32) ||
                                name.starts_with("next_") || name.starts_with("h_") || name.starts_with("alpha_") ||
                                name.starts_with("b_");
    if (is_coefficient || forward_of(in.op) == operation::sinkhorn_fwd) return 4;
    return std::max<std::int64_t>(spec.alignment_bytes, jit::size_of(of.type));
}

}  // namespace

std::string environment(const char* name, const std::string& otherwise)
{
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : otherwise;
}

std::string case_filter() { return environment("MHC_TEST_CASE", ""); }

session& session::instance()
{
    static session the_one = [] {
#ifdef __GLIBC__
        // Memory that a case frees is kept for the next: a third of the time was the kernel's, clearing pages anew.
        mallopt(M_MMAP_MAX, 0);
        mallopt(M_TRIM_THRESHOLD, -1);
#endif
        session made;
        jit::engine_options options = jit::engine_options::from_environment().value();
        options.target = environment("MHC_TEST_TARGET", "host");
        options.cache_dir = environment("MHC_JIT_DIR", MHC_TEST_CACHE_DIR);
        made.engine = jit::engine::create(std::move(options)).value();
        made.target = made.engine->target();
        made.device = std::make_unique<testing::device>(jit::device::open(made.target).value());
        return made;
    }();
    return the_one;
}

std::vector<std::uint16_t> narrowed(const std::vector<float>& values, dtype type)
{
    std::vector<std::uint16_t> bits(values.size());
    const auto narrow = type == dtype::bf16 ? reference::bf16_bits : reference::fp16_bits;
    std::transform(values.begin(), values.end(), bits.begin(), narrow);
    return bits;
}

jit::compiled_layer session::layer(const jit::layer_spec& spec) { return engine->layer(spec).value(); }

launch_memory::launch_memory(session& on, const jit::compiled_layer& layer, const operands& of)
    : session_(on), layer_(layer), operands_(of), workspace_bytes_(layer.workspace_bytes(of.op, of.tokens))
{
    for (const operand& each : of.list) {
        const std::int64_t offset = offset_of(each, of, layer.spec());
        const std::uint32_t fill = each.is_fp8 ? 0xFFFFFFFFU : poison(each.type);
        std::unique_ptr<guarded_array>& array = arrays_[each.name];
        if (each.values.empty()) {
            array = std::make_unique<guarded_array>(*on.device, each.place.extent() * each.element_bytes(), offset, fill);
        } else if (each.type == dtype::fp32) {
            array = std::make_unique<guarded_array>(*on.device, std::as_bytes(std::span(each.values)), offset,
                                                    poison(each.type));
        } else {
            const std::vector<std::uint16_t> bits = narrowed(each.values, each.type);
            array = std::make_unique<guarded_array>(*on.device, std::as_bytes(std::span(bits)), offset, poison(each.type));
        }
    }
    if (workspace_bytes_ > 0)
        arrays_["workspace"] = std::make_unique<guarded_array>(*on.device, workspace_bytes_, 16, 0xFFFFFFFFU);
}

void* launch_memory::pointer(std::string_view name) const
{
    const auto found = arrays_.find(name);
    return found == arrays_.end() ? nullptr : found->second->pointer();
}

jit::result<void> launch_memory::launch() const { return launch_with(operands_, "", nullptr); }

jit::result<void> launch_memory::launch_with(const operands& changed, std::string_view name, void* replacement) const
{
    const auto choose = [&](std::string_view asked) { return asked == name ? replacement : pointer(asked); };
    return testing::launch(layer_, changed, choose, session_.device->stream());  // whoever reads memory waits
}

std::vector<float> launch_memory::output(const operand& of, std::vector<std::string>& problems) const
{
    const guarded_array& array = *arrays_.find(of.name)->second;
    std::vector<std::byte> all = array.read_all();
    const std::int64_t element_bytes = of.element_bytes();
    std::vector<float> dense;
    dense.reserve(static_cast<std::size_t>(of.place.size()));

    // Each row is taken out and poisoned again; whatever else then differs from the poison was written where it must not be.
    const std::uint32_t fill = array.fill();
    for (std::int64_t t = 0; t < of.place.tokens; ++t) {
        for (std::int64_t i = 0; i < of.place.streams; ++i) {
            std::byte* row = all.data() + array.start() + of.place.row(t, i) * element_bytes;
            for (std::int64_t c = 0; c < of.place.width; ++c, row += element_bytes) {
                dense.push_back(of.is_fp8 ? static_cast<float>(reference::from_e4m3(static_cast<std::uint8_t>(*row)))
                                          : element_at(row, of.type));
                std::memcpy(row, &fill, static_cast<std::size_t>(element_bytes));
            }
        }
    }
    for (std::size_t at = 0; at + 4 <= all.size(); at += 4) {
        if (std::memcmp(all.data() + at, &fill, 4) == 0) continue;
        const std::int64_t element = (static_cast<std::int64_t>(at) - array.start()) / element_bytes;
        problems.push_back(fmt::format("{}: memory outside its rows was written, near element {} of {}", of.name, element,
                                       of.place.extent()));
        break;
    }
    return dense;
}

void launch_memory::check_inputs(std::vector<std::string>& problems) const
{
    for (const operand& of : operands_.list) {
        if (!of.is_output && !arrays_.find(of.name)->second->is_unchanged())
            problems.push_back(of.name + ": the input, or memory beside it, was written");
    }
    const auto found = arrays_.find("workspace");
    if (found == arrays_.end()) return;
    const guarded_array& workspace = *found->second;
    const std::vector<std::byte> all = workspace.read_all();
    const auto end = static_cast<std::size_t>(workspace.start() + workspace.bytes());
    for (std::size_t at = 0; at < all.size(); ++at) {
        if (at == static_cast<std::size_t>(workspace.start())) at = end;
        if (all[at] == std::byte{0xFF}) continue;
        problems.push_back(fmt::format("workspace: byte {} of {} was written",
                                       static_cast<std::int64_t>(at) - workspace.start(), workspace.bytes()));
        break;
    }
}

bool launch_memory::outputs_are_untouched() const
{
    return std::all_of(operands_.list.begin(), operands_.list.end(),
                       [&](const operand& of) { return !of.is_output || arrays_.find(of.name)->second->is_unchanged(); });
}

outcome run(session& on, const jit::compiled_layer& layer, const operands& of)
{
    const launch_memory memory(on, layer, of);
    outcome got;
    if (const jit::result<void> launched = memory.launch(); !launched) {
        got.problems.push_back(fmt::format("{}: {}", jit::to_string(launched.error().code), launched.error().message));
    }
    const operands written = valid_part(of);
    for (const operand& each : written.list) {
        if (each.is_output) got.outputs[each.name] = memory.output(each, got.problems);
    }
    memory.check_inputs(got.problems);
    return got;
}

outcome run(session& on, const jit::layer_spec& spec, const operands& of) { return run(on, on.layer(spec), of); }

namespace {

/// The sums over the splits of dense [T, S, width].
std::vector<float> added_splits(const std::vector<float>& values, const placement& place)
{
    std::vector<float> sums;
    sums.reserve(static_cast<std::size_t>(place.tokens * place.width));
    for (std::int64_t t = 0; t < place.tokens; ++t) {
        for (std::int64_t i = 0; i < place.width; ++i) {
            double sum = 0;
            for (std::int64_t s = 0; s < place.streams; ++s)
                sum += static_cast<double>(values[static_cast<std::size_t>((t * place.streams + s) * place.width + i)]);
            sums.push_back(static_cast<float>(sum));
        }
    }
    return sums;
}

/// The first split of dense [T, S, width]; the others must be like it.
std::vector<float> equal_splits(const std::vector<float>& values, const placement& place, const std::string& name,
                                std::vector<std::string>& problems)
{
    std::vector<float> first;
    bool differs = false;
    for (std::int64_t t = 0; t < place.tokens; ++t) {
        const auto of_token = values.begin() + t * place.streams * place.width;
        first.insert(first.end(), of_token, of_token + place.width);
        for (std::int64_t s = 1; s < place.streams; ++s)
            differs |= !std::equal(of_token, of_token + place.width, of_token + s * place.width,
                                   [](float a, float b) { return std::bit_cast<int>(a) == std::bit_cast<int>(b); });
    }
    if (differs) problems.push_back(name + " differs between splits");
    return first;
}

}  // namespace

namespace {

/// What stored fp8 numbers stand for: times their row's or block's scale.
std::vector<float> dequantised(std::vector<float> stored, const std::vector<float>& scales, std::int64_t width,
                               jit::layer_input_quant quant)
{
    const std::int64_t block = quant == jit::layer_input_quant::fp8_row ? width : 128, blocks = (width + block - 1) / block;
    for (std::size_t i = 0; i < stored.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        stored[i] *= scales[static_cast<std::size_t>(at / width * blocks + at % width / block)];
    }
    return stored;
}

}  // namespace

agreement compare_with_reference(const jit::layer_spec& spec, const operands& of, const outcome& got)
{
    agreement found;
    found.problems = got.problems;
    for (const auto& [name, expected] : expected_of(spec, of, got)) {
        placement place = of.at(name).place;
        const bool is_split = of.op == operation::pre_project_fwd;
        std::vector<float> out = got.outputs.at(name);
        if (is_split) out = added_splits(out, place);
        if (name == "d_proj" || name == "d_sqsum") out = equal_splits(out, place, name, found.problems);
        if (place.streams == of.splits && (is_split || name == "d_proj" || name == "d_sqsum")) place.streams = 1;
        const bool is_fp8 = of.at(name).is_fp8;
        if (is_fp8) out = dequantised(out, got.outputs.at("layer_input_scale"), place.width, spec.layer_input_quant);
        const comparison compared = compare(
            out, expected, is_fp8 ? of_quantised(bounds_of(of.op, "layer_input_scale", spec)) : bounds_of(of.op, name, spec),
            {{"t", place.tokens}, {"i", place.streams}, {"c", place.width}});
        found.norm_ratio = std::max(found.norm_ratio, compared.norm_ratio);
        found.element_ratio = std::max(found.element_ratio, compared.element_ratio);
        found.elements += static_cast<std::int64_t>(out.size());
        if (!compared.passed) found.problems.push_back(name + compared.message);
    }
    return found;
}

namespace {

/// post_fwd's result on the operands of post_pre_bwd or post_head_bwd, which make it again.
std::vector<float> residual_of(session& on, const test_case& of, operands made)
{
    std::erase_if(made.list, [](const operand& each) {
        return each.name != "y" && each.name != "bias" && each.name != "x" && each.name != "post" && each.name != "mix" &&
               each.name != "num_valid_tokens";
    });
    const std::int64_t n = of.spec.n_streams, C = of.spec.hidden_dim;
    made.op = operation::post_fwd;
    made.out_strides = {n * C, C};
    made.list.push_back({.name = "out",
                         .type = of.spec.dtype,
                         .is_output = true,
                         .is_per_token = true,
                         .is_streams = true,
                         .place = {made.tokens, n, C, n * C, C},
                         .values = {}});
    jit::layer_spec spec = of.spec;
    spec.wanted = jit::operations{operation::post_fwd};
    spec.norm_weight = spec.fn_norm_weight = false;
    spec.fn_order = jit::fn_order::fn;
    return run(on, spec, made).outputs.at("out");
}

}  // namespace

agreement check_case(session& on, const test_case& of)
{
    const operands made = make_operands(of);
    outcome got = run(on, of.spec, made);
    if (of.op == operation::post_pre_bwd || of.op == operation::post_head_bwd)
        got.outputs["out"] = residual_of(on, of, made);
    agreement found = compare_with_reference(of.spec, valid_part(made), got);
    for (std::string& problem : found.problems) problem = fmt::format("MHC_TEST_CASE='{}': {}", of.name, problem);
    return found;
}

}  // namespace mhc::testing
