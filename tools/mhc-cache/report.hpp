// tools/mhc-cache/report.hpp -- a database's state, its objects and what is wrong with them, as text and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <mhc/jit/cache.hpp>

namespace mhc::tools {

/// A value as the tool prints it, bytes that are no UTF-8 replaced.
std::string dump(const nlohmann::ordered_json& value);

/// In local time.
std::string time_text(std::int64_t seconds);

std::string info_text(const jit::cache_info& info);
std::string info_json(const jit::cache_info& info);
std::string list_text(const std::vector<jit::stored_object>& objects);
std::string list_json(const std::vector<jit::stored_object>& objects);
std::string object_text(const jit::stored_object& object);
std::string object_json(const jit::stored_object& object);
std::string verify_text(const jit::verify_report& report);
std::string verify_json(const jit::verify_report& report);

}  // namespace mhc::tools
