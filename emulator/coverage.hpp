// emulator/coverage.hpp -- which instructions were executed, for tests: off unless MHC_EMULATOR_COVERAGE names a folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emulator/operation.hpp"

namespace mhc::emulator {

/// What of a printed instruction decides how it is executed: the name with its encoding, and which kinds of modifiers it
/// has: "v_add_f32_dpp row_shr bound_ctrl", "v_fma_f32 neg abs". Numbers of registers and constants are not in it. Two for
/// a dual issue.
std::vector<std::string> forms_of(std::string_view text);

/// Puts a recorder before the handler of every operation, where a folder is named.
void watch(program& code);

/// Writes the forms of `code` that a launch executed for the first time in this process, a line each with the processor,
/// to a file of this process's in the folder.
void keep_coverage(std::string_view processor, const program& code);
/// The same of one line that a test executed.
void keep_coverage(std::string_view processor, std::string_view text);

}  // namespace mhc::emulator
