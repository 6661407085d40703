// tests/support/contains.hpp -- whether a message says what it should.
#pragma once

#include <string_view>

namespace mhc::test {

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace mhc::test
