// runtime/launch.cpp -- argument blocks and launches.
#include "runtime/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace mhc::runtime {

using codegen::slot;

namespace {

using tensor_map = std::array<unsigned char, 128>;

std::int64_t value_of(const codegen::slot_values& values, slot what)
{
    return static_cast<std::int64_t>(values[static_cast<std::size_t>(what)]);
}

/// Makes the map of the kernel that does it all; false where there is none, or it is not for so few tokens or such strides.
bool make_map(const ready_operator& op, const codegen::slot_values& values, std::int64_t tokens, tensor_map& map)
{
    if (op.plan.one_pass_tokens == 0 || tokens < std::max<std::int64_t>(op.plan.one_pass_tokens, 1)) return false;
    for (std::size_t i = 0; i < op.kernels.size(); ++i) {
        const codegen::kernel_plan& k = op.plan.kernels[i];
        for (const codegen::argument& arg : k.args) {
            if (arg.element != codegen::element::tensor_map) continue;
            const streams_in_memory streams{.address = values[static_cast<std::size_t>(arg.what)],
                                            .tokens = tokens,
                                            .n_streams = k.map.rows,
                                            .hidden_dim = k.hidden_dim,
                                            .token_stride = value_of(values, slot::x_token_stride),
                                            .stream_stride = value_of(values, slot::x_stream_stride),
                                            .element_bytes = jit::size_of(k.map.type),
                                            .box_channels = k.map.box_channels,
                                            .box_tokens = k.map.box_tokens};
            return op.kernels[i]->code->write_map(streams, map.data());
        }
    }
    return false;
}

/// Beside what is ahead of it in the stream.
bool may_start_early(const codegen::kernel_plan& k, codegen::overlap ahead)
{
    return ahead != codegen::overlap::none && (k.may_overlap == codegen::overlap::with_any || k.may_overlap == ahead);
}

/// One chunk of tokens; what all tokens share is made by the first. `ahead`: what its first kernel may overlap.
jit::result<void> enqueue_chunk(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, bool is_first,
                                codegen::overlap ahead, void* stream)
{
    alignas(64) std::array<unsigned char, codegen::argument_bytes_max> block;
    alignas(64) tensor_map map;
    std::array<void*, codegen::arguments_max> places;  // of the arguments in the block
    const codegen::part_of part =
        make_map(op, values, tokens, map) ? codegen::part_of::one_pass : codegen::part_of::several_passes;
    for (std::size_t i = 0; i < op.kernels.size(); ++i) {
        const codegen::kernel_plan& plan = op.plan.kernels[i];
        if (values[static_cast<std::size_t>(plan.only_if)] == 0 && (tokens > 0 || plan.only_if != slot::tokens)) continue;
        if (tokens == 0 && !plan.runs_without_tokens) continue;
        if (!is_first && plan.grid.ignores_tokens) continue;
        if (plan.launches != codegen::part_of::all && plan.launches != part) continue;
        if (!plan.is_for(tokens)) continue;
        const std::int64_t groups = plan.grid.groups(tokens);
        values[static_cast<std::size_t>(slot::groups)] = static_cast<std::uint64_t>(groups);
        std::size_t place = 0;
        for (const codegen::argument& arg : plan.args) {
            std::uint64_t value = values[static_cast<std::size_t>(arg.what)];
            // Without tokens there need be no workspace, and then there is no place in it.
            if (arg.what != slot::workspace || value != 0)
                value += static_cast<std::uint64_t>(arg.bytes_per_token * tokens + arg.bytes_fixed);
            // Little-endian: a 4-byte value is the first half of the word. Either is one store; any other size were a call.
            unsigned char* const at = block.data() + arg.offset;
            places[place++] = at;
            if (arg.element == codegen::element::tensor_map)
                std::memcpy(at, map.data(), map.size());
            else if (arg.size == sizeof value)
                std::memcpy(at, &value, sizeof value);
            else
                std::memcpy(at, &value, sizeof(std::uint32_t));
        }
        const loaded_kernel& code = *op.kernels[i]->code;
        const launch_extras extras{plan.lds_bytes, may_start_early(plan, ahead), plan.cluster,
                                   plan.launches == codegen::part_of::one_pass ? places.data() : nullptr};
        auto ok = extras.lds_bytes > 0 || extras.may_start_early
                      ? code.launch_with(extras, groups, plan.block, block.data(), plan.argument_bytes, stream)
                      : code.launch(groups, plan.block, block.data(), plan.argument_bytes, stream);
        if (!ok) return ok;
        ahead = codegen::overlap::with_own;
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

jit::result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, bool may_overlap,
                          void* stream)
{
    const std::int64_t chunk = op.plan.chunk_tokens(tokens);
    // The kernel ahead may be what counts the valid tokens.
    const bool is_counted = values[static_cast<std::size_t>(slot::num_valid_tokens)] != 0;
    const codegen::overlap ahead = may_overlap && !is_counted ? codegen::overlap::with_any : codegen::overlap::none;
    // The GPU alone knows how many tokens are valid, and counts them from the first of all.
    if (chunk == tokens || is_counted) return enqueue_chunk(op, values, tokens, true, ahead, stream);
    for (std::int64_t first = 0; first < tokens; first += chunk) {
        const std::int64_t some = std::min(chunk, tokens - first);
        values[static_cast<std::size_t>(slot::tokens)] = static_cast<std::uint64_t>(some);
        const codegen::overlap before = first == 0 ? ahead : codegen::overlap::none;
        if (auto ok = enqueue_chunk(op, values, some, first == 0, before, stream); !ok) return ok;
        advance(op.plan, values, some);
    }
    return {};
}

}  // namespace mhc::runtime
