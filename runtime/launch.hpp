// runtime/launch.hpp -- from an operator's arguments to its kernels' launches.
#pragma once

#include "runtime/launch_check.hpp"

namespace mhc::runtime {

/// Fills each kernel's argument block and launches it, in order. With no tokens only those that say so.
jit::result<void> enqueue(const ready_operator& op, codegen::slot_values& values, std::int64_t tokens, void* stream);

/// Error of a layer that was made without the operator.
jit::failure not_made(jit::operation op);

inline std::int64_t rows_of_fn(const jit::layer_spec& spec) { return std::int64_t{spec.n_streams} * (spec.n_streams + 2); }

/// `check` collects the operator's arguments; then its kernels are launched. Without tokens a forward has nothing to do; a
/// gradient still has the sums over no tokens.
template <class Layer, class Check>
jit::result<void> launch(const Layer& layer, jit::operation op, std::int64_t tokens, void* stream, Check check)
{
    const ready_operator* ready = layer.operators[static_cast<std::size_t>(op)].get();
    if (ready == nullptr) return not_made(op);
    launch_check arguments(layer, op, tokens);
    if (tokens != 0 || ready->plan.runs_without_tokens) check(arguments);
    if (!arguments.is_ok()) return arguments.why();
    if (tokens == 0 && !ready->plan.runs_without_tokens) return {};
    return enqueue(*ready, arguments.values(), tokens, stream);
}

}  // namespace mhc::runtime
