// tools/mhc-bench/operand_sets.cpp -- allocates and fills an operator's tensors.
#include "tools/mhc-bench/operand_sets.hpp"

#include <cmath>

#include <fmt/format.h>

#include "tools/common/npy.hpp"
#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

/// Linux promises a process memory that it has not and ends it on first use, so what cannot be is refused before.
void check_host_memory(const jit::device& on, std::int64_t bytes, const bench_case& what)
{
    const std::int64_t limit = physical_memory_bytes() / 4 * 3;
    if (on.id() == "host" && bytes > limit)
        fail_usage(
            fmt::format("{} with {} tokens and hidden_dim {} needs {}: at most {} of this machine's memory is used; "
                        "use fewer tokens",
                        jit::to_string(what.op), what.tokens, what.spec.hidden_dim, bytes_text(bytes), bytes_text(limit)));
}

std::int64_t bytes_of(const operand& one, const jit::layer_spec& spec)
{
    return element_count(one.shape).value() * element_bytes_of(one, spec);
}

/// Contents as a model has them: a product of a row of weights and a row of streams is near 1, and a sum of squares is what
/// that of a row of streams would be.
distribution distribution_of(const operand& one, const jit::layer_spec& spec)
{
    const auto row = static_cast<float>(spec.n_streams * spec.hidden_dim);
    if (one.name == "sqsum") return {row, 0.1F * row};
    if (one.type == "weight" && one.shape.size() > 1) return {0.0F, 1.0F / std::sqrt(row)};
    return {};
}

}  // namespace

operand_sets::operand_sets(bench_target& on, const bench_case& what, const jit::compiled_layer& layer, random_source& random,
                           std::int64_t sets)
    : spec_(what.spec), problem_(problem_of(what.op, what.spec, what.tokens)), by_set_(static_cast<std::size_t>(sets))
{
    const std::int64_t workspace_bytes = layer.workspace_bytes(what.op, what.tokens);
    std::int64_t bytes = workspace_bytes;
    for (const operand& one : problem_.operands) bytes += bytes_of(one, what.spec) * (one.has_tokens ? sets : 1);
    check_host_memory(*on.device, bytes, what);

    for (const operand& one : problem_.operands)
        for (std::size_t set = 0; set < by_set_.size(); ++set) {
            const bool is_shared = !one.has_tokens && set > 0;
            by_set_[set][one.name] = is_shared ? by_set_[0][one.name] : make(*on.device, one, what.spec, random);
        }
    buffers_.emplace_back(*on.device, workspace_bytes);
    workspace_ = buffers_.back().get();
}

std::vector<jit::memory_range> operand_sets::shared() const
{
    std::vector<jit::memory_range> made;
    for (const operand& one : problem_.operands)
        if (!one.has_tokens) made.push_back({by_set_[0].at(one.name), static_cast<std::size_t>(bytes_of(one, spec_))});
    return made;
}

void operand_sets::call(const jit::compiled_layer& layer, std::size_t set, void* stream) const
{
    invoke(layer, problem_, by_set_[set], workspace_, {}, stream).value();
}

void* operand_sets::make(jit::device& on, const operand& one, const jit::layer_spec& spec, random_source& random)
{
    buffers_.emplace_back(on, bytes_of(one, spec));
    if (one.type == "fp8") return buffers_.back().get();  // an output
    random.fill(on, buffers_.back().get(), element_count(one.shape).value(), type_of(one, spec), distribution_of(one, spec));
    return buffers_.back().get();
}

}  // namespace mhc::tools
