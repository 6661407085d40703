// mhc/jit/tuning.hpp -- choices that make an operator faster and never change its bits, measured (mhc-tune) and kept in
// tables.
//
// A table is a CSV file. Its first line names the columns: target, operator, n_streams, hidden_dim and dtype, which a line
// must have; the choices, by the names of `tuning`, of which an empty or missing one is the plan's own; us and default_us,
// what was measured. `#` begins a comment. The library has a table of its own; that of the user, `tuned_path`, is over it,
// and the last of several lines for the same counts. An engine reads both once, when it is made; a strict engine, and one
// without the user database, reads the library's alone, since that is what prebuilt kernels are made by.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>

namespace mhc::jit {

struct engine_options;

/// Choices of the plan of one operator. 0: the plan's own. What a kernel has no use for it does not look at.
struct tuning {
    /// Work-items of a work-group whose lanes share rows of channels (post, apply_mix, expand, a norm, a layer): a multiple
    /// of the target's wave, up to 512; 1 on host.
    std::int32_t block = 0;
    /// Vectors of a row (16 bytes; 16 channels on host) that a lane of post, apply_mix or expand takes one after the other,
    /// 1 to 4096: its work-group's share of a row is block * vectors vectors.
    std::int32_t vectors = 0;
    /// Work-groups of such a kernel at most, 1 to 65536; beyond, each takes several tokens.
    std::int32_t groups = 0;
    /// Work-groups that a multiprocessor has at once of the kernel that makes coefficients and layer_input, 1 to 8, as far
    /// as its LDS allows.
    std::int32_t resident = 0;

    bool operator==(const tuning&) const = default;
};

struct tuning_choice {
    std::string_view name;
    std::int32_t tuning::*value;
    std::int32_t max;
};
inline constexpr std::array tuning_choices = {
    tuning_choice{"block", &tuning::block, 512}, tuning_choice{"vectors", &tuning::vectors, 4096},
    tuning_choice{"groups", &tuning::groups, 65536}, tuning_choice{"resident", &tuning::resident, 8}};

/// One line of a table.
struct tuned_row {
    std::string target;  ///< the processor alone, such as "gfx942" or "sm_90", or "host"
    operation op{};      ///< no gradient: they have no choices
    std::int32_t n_streams = 0;
    std::int64_t hidden_dim = 0;
    mhc::jit::dtype dtype{};
    tuning choices;
    double us = 0, default_us = 0;  ///< a call, so chosen and as the plan would; 0: not said
};

struct tuned_lines {
    std::vector<tuned_row> rows;
    /// A line of text for each line that counts for nothing: "line 3: block = '48': allowed is ...".
    std::vector<std::string> problems;
};

/// Reads a table; every good line is a row.
tuned_lines parse_tuned(std::string_view csv);
/// The table of these rows, with its head.
std::string format_tuned(const std::vector<tuned_row>& rows);

/// The library's own table.
const std::vector<tuned_row>& shipped_tuned();
/// The user's: mhc_tuned.csv in the folder of the user database.
std::string tuned_path(const engine_options& options);
/// The user's rows; none where there is no such file. Errors: bad_spec: it cannot be read, or may be changed by others.
result<tuned_lines> user_tuned(const engine_options& options);
/// Adds rows to the user's table, in the place of those of the same target, operator, n_streams, hidden_dim and dtype.
/// Engines that are there already do not see them. Errors: bad_spec: a table that cannot be read or written, or has a line
/// that is none.
result<void> store_tuned(const engine_options& options, const std::vector<tuned_row>& rows);

/// What a table calls a target of an engine: "host", or the processor of "gfx942:sramecc+:xnack-". Errors:
/// unsupported_target.
result<std::string> tuned_target(std::string_view target);

/// What may be worth measuring for an operator on a target: at most 16, each with a plan of its own, the first `tuning{}`.
/// Errors: bad_spec, unsupported_target.
result<std::vector<tuning>> tuning_candidates(operation op, const layer_spec& spec, std::string_view target);

/// "block=128 vectors=2"; "default" where every choice is the plan's own.
std::string to_text(const tuning& choices);

}  // namespace mhc::jit
