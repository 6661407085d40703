// runtime/nearest_key.hpp -- of the stored keys the one that differs least from a wanted one, and in what.
#pragma once

#include <string>
#include <vector>

#include <mhc/jit/cache.hpp>

#include "cache/code_store.hpp"

namespace mhc::runtime {

struct nearest_key {
    cache::digest key{};
    std::string symbol;  ///< empty: nothing of the kernel's family is stored
    std::vector<jit::miss_explanation::difference> differences;
};

/// `best`, or the row whose clear-text key differs from `wanted_json` in fewer fields. The compiler is a field of those keys
/// alone that name one.
nearest_key nearer_of(nearest_key best, const std::vector<cache::code_row>& rows, const std::string& wanted_json);

/// Such as "plan.channels (1280 stored, 1288 wanted) and 2 more": at most two fields, the ones that people choose first,
/// long values shortened.
std::string differences_text(const nearest_key& nearest);

}  // namespace mhc::runtime
