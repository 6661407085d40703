// runtime/cache_tools.hpp -- what the functions of mhc/jit/cache.hpp share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <mhc/jit/cache.hpp>

#include "cache/code_store.hpp"

namespace mhc::jit::cache_tools {

struct opened {
    std::unique_ptr<cache::code_store> store;
    std::string why;  ///< when there is none
};

std::string user_file(const engine_options& options);

/// The user database, not created by being looked at, or the file that was named.
opened open(const engine_options& options, const std::string& database, bool for_writing = false);

failure unusable(const engine_options& options, const std::string& database, const std::string& why);
stored_object as_object(const cache::code_row& row);
/// What is wrong with a whole row of another's database, or nothing: each column that is believed later follows from the
/// clear-text key, which its hash covers, or is checked against the bytes.
std::string objection(const cache::code_row& row);
std::optional<cache::code_row> row_of(cache::code_store& store, const stored_object& object);

}  // namespace mhc::jit::cache_tools
