// codegen/render.hpp -- a stub with its holes filled and its headers in place: the self-contained text a compiler sees.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/plan.hpp"

namespace mhc::codegen {

/// Fills `${name}` holes. Throws std::logic_error for a hole without a value, and for a value without a hole: both are bugs.
std::string fill(std::string_view text, const std::map<std::string, std::string>& bindings);

/// The complete source of a kernel called `symbol`: plan as a comment, headers in order, stub, and on `host` the entry that
/// unpacks the argument block.
std::string render(const kernel_plan& k, const target& on, std::string_view symbol);

/// The stub and the device headers it needs on `on`, each once, in the order of the source: what the key's digest covers.
std::vector<std::string_view> texts_of(const kernel_plan& k);

}  // namespace mhc::codegen
