// codegen/tuning.hpp -- tuned choices: which there are for an operator, which are allowed, and a table of them. Pure.
#pragma once

#include <vector>

#include <mhc/jit/tuning.hpp>

#include "codegen/target.hpp"

namespace mhc::codegen {

/// Errors: bad_spec, naming the choice, its value and what is allowed.
jit::result<void> check_tuning(const jit::tuning& choices, const target& on);

/// Gradients have no choices: the order of their sums is that of their kernels.
bool is_gradient(jit::operation op) noexcept;

/// As jit::tuning_candidates.
jit::result<std::vector<jit::tuning>> candidates(const jit::layer_spec& spec, const target& on, jit::operation op);

/// What tables call a target: its processor, or "host".
std::string tuned_name(const target& on);

/// codegen/tuned.csv.
std::string_view shipped_tuning();

/// Rows of one target, of which a later one is over an earlier one of the same operator and shape.
class tuned_table {
public:
    tuned_table() = default;
    explicit tuned_table(const target& on) : target_(tuned_name(on)) {}

    void add(const std::vector<jit::tuned_row>& rows);
    /// The plan's own choices where there is no such row.
    jit::tuning find(jit::operation op, const jit::layer_spec& spec) const;

private:
    std::string target_;
    std::vector<jit::tuned_row> rows_;
};

}  // namespace mhc::codegen
