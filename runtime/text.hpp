// runtime/text.hpp -- of a message that may have a compiler's log behind it.
#pragma once

#include <string>

namespace mhc::runtime {

inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace mhc::runtime
