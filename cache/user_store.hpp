// cache/user_store.hpp -- the user database as a code store, with what a test may replace.
#pragma once

#include "cache/code_store.hpp"
#include "cache/user_database.hpp"

namespace mhc::cache {

std::unique_ptr<code_store> open_user_store(const user_store_options& options, user_store_seams seams, std::string* why);

}  // namespace mhc::cache
