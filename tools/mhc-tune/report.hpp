// tools/mhc-tune/report.hpp -- what was measured, as a table for people and as JSON.
#pragma once

#include <string>
#include <vector>

#include "tools/mhc-tune/tune.hpp"

namespace mhc::tools {

struct tune_report {
    std::string date, command, target, device;
    std::string table;  ///< the user's, where winners are stored
    bool stores = true;
    std::vector<tune_result> results;
    int imported = 0, exported = 0;  ///< lines
};

std::string tune_json(const tune_report& report);  ///< one object, with a line end
std::string tune_text(const tune_report& report);

}  // namespace mhc::tools
