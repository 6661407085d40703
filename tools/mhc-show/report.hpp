// tools/mhc-show/report.hpp -- an operator's launches as a table for people and as JSON for other loaders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <mhc/jit/describe.hpp>

namespace mhc::tools {

/// What was asked, beside what was found.
struct shown_operator {
    jit::operation op = jit::operation::pre_fwd;
    jit::layer_spec spec;
    std::int64_t tokens = 0;
    jit::operator_description description;
    // One a launch, or empty when not asked for.
    std::vector<std::string> files;  ///< where --extract put the code object
    std::vector<std::string> assembly;
    bool has_source = false;  ///< print the sources too
};

std::string report_text(const shown_operator& shown);
std::string report_json(const shown_operator& shown);  ///< one object, with a line end

/// What this machine can compile for and run on.
std::string toolchains_text(const jit::engine_options& options);
std::string toolchains_json(const jit::engine_options& options);

/// Every operator by target: which shapes have a plan, what limits them, and what has run. The text is docs/SUPPORT.md.
std::string support_text(const jit::engine_options& options);
std::string support_json(const jit::engine_options& options);

}  // namespace mhc::tools
