// codegen/plan_floor.cpp -- the floor kernel: an operator's memory traffic and nothing else.
#include <fmt/format.h>

#include "codegen/arguments.hpp"
#include "codegen/plan.hpp"

namespace mhc::codegen {

jit::result<kernel_plan> plan_floor(std::int64_t rows_in, std::int64_t rows_out, std::int64_t hidden_dim, jit::dtype type,
                                    const target& on)
{
    constexpr std::int64_t rows_max = 64;
    const auto bad = [&](const char* field, std::int64_t value) {
        return jit::failure{jit::errc::bad_spec, fmt::format("{} = {}: allowed is 1 to {}", field, value, rows_max)};
    };
    if (rows_in < 1 || rows_in > rows_max) return bad("rows_in", rows_in);
    if (rows_out < 1 || rows_out > rows_max) return bad("rows_out", rows_out);

    // Tokens, chunks and lanes as `expand` shares them: what differs from an operator is then its arithmetic alone.
    jit::layer_spec spec;
    spec.hidden_dim = hidden_dim;
    spec.dtype = type;
    auto planned = plan(spec, on, jit::operation::expand_fwd);
    if (!planned) return planned.error();
    kernel_plan k = std::move(planned->kernels.front());

    k.family = "floor";
    k.args = arguments_of(k.family);
    k.argument_bytes = lay_out(k.args);
    k.bindings["params"] = parameters(k.args, spec);
    k.bindings.erase("n_streams");
    k.n_streams = 0;
    k.bindings["rows_in"] = fmt::to_string(rows_in);
    k.bindings["rows_out"] = fmt::to_string(rows_out);
    k.symbol_base = fmt::format("mhc_floor_{}to{}_c{}_{}", rows_in, rows_out, hidden_dim, k.dtype);
    return k;
}

}  // namespace mhc::codegen
