// tools/mhc-bench/counted_report.hpp -- counts as JSON and as tables.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/mhc-bench/counting.hpp"

namespace mhc::tools {

/// Exact counts of the call, and the same divided by its tokens.
nlohmann::ordered_json counted_json(const counted_row& row);
std::string counted_text(const std::vector<counted_row>& rows);

}  // namespace mhc::tools
