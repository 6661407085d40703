// tools/mhc-bench/traffic.hpp -- the bytes an operator cannot avoid, and the floor kernel that moves as many.
#pragma once

#include <cstdint>

#include <mhc/jit/spec.hpp>

namespace mhc::tools {

/// The minimum traffic of an operator in one pass: every input read once, every output written once.
struct traffic {
    std::int64_t per_token = 0;              ///< bytes
    std::int64_t once = 0;                   ///< bytes of the parameters that all tokens share
    std::int64_t rows_in = 0, rows_out = 0;  ///< of C channels a token; 0: an operator on coefficients alone

    std::int64_t bytes(std::int64_t tokens) const { return tokens * per_token + once; }
};
traffic traffic_of(jit::operation op, const jit::layer_spec& spec);

/// The floor kernel to hold beside an operator: tokens of rows_in and rows_out rows of hidden_dim channels.
struct floor_shape {
    std::int64_t rows_in = 1, rows_out = 1, hidden_dim = 1;
    jit::dtype type = jit::dtype::fp32;
    std::int64_t tokens = 1;

    std::int64_t bytes() const { return tokens * (rows_in + rows_out) * hidden_dim * jit::size_of(type); }
};
floor_shape floor_of(jit::operation op, const jit::layer_spec& spec, std::int64_t tokens);

}  // namespace mhc::tools
