// runtime/launch.cpp -- argument blocks and launches.
#include "runtime/launch.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace mhc::runtime {

using codegen::slot;

namespace {

// The longest argument block of a family is some 200 bytes; tests/unit checks them all.
constexpr std::size_t argument_bytes_max = 256;

}  // namespace

jit::failure not_made(jit::operation op)
{
    return {jit::errc::launch_failed,
            fmt::format("{}: the layer was made without it; name it in the spec's `wanted`", to_string(op))};
}

jit::result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, void* stream)
{
    alignas(16) std::array<unsigned char, argument_bytes_max> block;
    bool follows_its_own = false;  // the kernel before it in the stream is this operator's too
    for (std::size_t i = 0; i < op.kernels.size(); ++i) {
        const codegen::kernel_plan& plan = op.plan.kernels[i];
        if (values[static_cast<std::size_t>(plan.only_if)] == 0 && (tokens > 0 || plan.only_if != slot::tokens)) continue;
        if (tokens == 0 && !plan.runs_without_tokens) continue;
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

}  // namespace mhc::runtime
