// tools/mhc-eval/list.hpp -- what mhc-eval can run: operators, their tensors and options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mhc::tools {

/// Settings that are mhc-eval's own, beside those of a spec.
inline const std::vector<std::string_view> stride_settings = {"token_stride", "stream_stride"};
inline const std::vector<std::string_view> own_settings = {"token_stride", "stream_stride", "splits"};

std::string operators_text();
std::string operators_json();  ///< one object, with a line end

}  // namespace mhc::tools
