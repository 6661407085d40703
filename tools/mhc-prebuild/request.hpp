// tools/mhc-prebuild/request.hpp -- what to build, from flags over MHC_ variables over AITER's bare names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/prebuild.hpp>

namespace mhc::tools {

/// Flags as given; empty ones were not.
struct prebuild_flags {
    std::string archs, level, operators, shapes, jobs;
};

/// What `--operators` asked for.
struct operator_choice {
    jit::operations chosen;
    std::vector<std::string> not_yet;  ///< "tune": kinds that have no kernels yet
};

struct prebuild_request {
    std::string archs;  ///< not parsed yet: at level 0 it is not looked at
    int level = 2;
    int jobs = 0;  ///< 0: from CPUs and memory
    std::vector<jit::prebuild_item> items;
    std::vector<std::string> not_yet;
};

/// Fails with exit code 2, naming the flag or variable, its value and what is allowed.
prebuild_request resolve_request(const prebuild_flags& flags);

/// "forward", "backward", "tune", "all" or operators' names, separated by commas.
operator_choice parse_operators(std::string_view text);

/// A shapes file: a spec a line, `hidden_dim=4096 n_streams=4 dtype=bf16 [OPTION=VALUE ...] [operators=pre_fwd,post_fwd]`,
/// `#` begins a comment. `operators` where a line names none. Fails with exit code 2, naming file and line.
std::vector<jit::prebuild_item> read_shapes(const std::string& path, jit::operations operators);

}  // namespace mhc::tools
