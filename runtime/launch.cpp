// runtime/launch.cpp -- argument blocks and launches.
#include "runtime/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace mhc::runtime {

using codegen::slot;

namespace {

// The longest argument block of a family is some 200 bytes; tests/unit checks them all.
constexpr std::size_t argument_bytes_max = 256;

/// One chunk of tokens; what all tokens share is made by the first.
jit::result<void> enqueue_chunk(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, bool is_first,
                                void* stream)
{
    alignas(16) std::array<unsigned char, argument_bytes_max> block;
    bool follows_its_own = false;  // the kernel before it in the stream is this operator's too
    for (std::size_t i = 0; i < op.kernels.size(); ++i) {
        const codegen::kernel_plan& plan = op.plan.kernels[i];
        if (values[static_cast<std::size_t>(plan.only_if)] == 0 && (tokens > 0 || plan.only_if != slot::tokens)) continue;
        if (tokens == 0 && !plan.runs_without_tokens) continue;
        if (!is_first && plan.grid.ignores_tokens) continue;
        const std::int64_t groups = plan.grid.groups(tokens);
        values[static_cast<std::size_t>(slot::groups)] = static_cast<std::uint64_t>(groups);
        for (const codegen::argument& arg : plan.args) {
            std::uint64_t value = values[static_cast<std::size_t>(arg.what)];
            // Without tokens there need be no workspace, and then there is no place in it.
            if (arg.what != slot::workspace || value != 0)
                value += static_cast<std::uint64_t>(arg.bytes_per_token * tokens + arg.bytes_fixed);
            // Little-endian: a 4-byte value is the first half of the word. Either is one store; any other size were a call.
            unsigned char* const at = block.data() + arg.offset;
            if (arg.size == sizeof value)
                std::memcpy(at, &value, sizeof value);
            else
                std::memcpy(at, &value, sizeof(std::uint32_t));
        }
        const loaded_kernel& code = *op.kernels[i]->code;
        const launch_extras extras{plan.lds_bytes, plan.may_overlap && follows_its_own};
        auto ok = extras.lds_bytes > 0 || extras.may_start_early
                      ? code.launch_with(extras, groups, plan.block, block.data(), plan.argument_bytes, stream)
                      : code.launch(groups, plan.block, block.data(), plan.argument_bytes, stream);
        if (!ok) return ok;
        follows_its_own = true;
    }
    return {};
}

/// Moves the values `tokens` tokens on.
void advance(const codegen::operator_plan& plan, codegen::slot_values& values, std::int64_t tokens)
{
    for (const codegen::token_step& step : plan.steps) {
        const std::int64_t stride =
            step.stride == slot::tokens ? 1 : static_cast<std::int64_t>(values[static_cast<std::size_t>(step.stride)]);
        values[static_cast<std::size_t>(step.what)] += static_cast<std::uint64_t>(tokens * step.bytes * stride);
    }
}

}  // namespace

jit::failure not_made(jit::operation op)
{
    return {jit::errc::launch_failed,
            fmt::format("{}: the layer was made without it; name it in the spec's `wanted`", to_string(op))};
}

jit::result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, void* stream)
{
    const std::int64_t chunk = op.plan.chunk_tokens(tokens);
    // The GPU alone knows how many tokens are valid, and counts them from the first of all.
    if (chunk == tokens || values[static_cast<std::size_t>(slot::num_valid_tokens)] != 0)
        return enqueue_chunk(op, values, tokens, true, stream);
    for (std::int64_t first = 0; first < tokens; first += chunk) {
        const std::int64_t some = std::min(chunk, tokens - first);
        values[static_cast<std::size_t>(slot::tokens)] = static_cast<std::uint64_t>(some);
        if (auto ok = enqueue_chunk(op, values, some, first == 0, stream); !ok) return ok;
        advance(op.plan, values, some);
    }
    return {};
}

}  // namespace mhc::runtime
