// cache/database_bytes.hpp -- rows as a string of bytes that is a database, and back: for memory, sockets and MPI.
//
// A line that names the format and its version, the SHA-256 of what follows, a database of the schema.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/code_store.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {

/// A database of these rows, sorted by key, with zero times: equal rows give equal bytes.
sqlite::connection database_in_memory(const std::vector<code_row>& rows);

/// Empty: `why`.
std::string bytes_of_rows(const std::vector<code_row>& rows, std::string* why);

/// Gives each whole row to `take`, and each other row's key with what is wrong with it to `refuse`. The bytes may be
/// anyone's. False, with `why`, when they are no such database, of another version, or not what was written; some rows may
/// have been taken then only if the database lied about itself after its SHA-256 was right.
bool read_rows(std::string_view bytes, const std::function<void(code_row&&)>& take,
               const std::function<void(const digest&, const std::string&)>& refuse, std::string* why);

}  // namespace mhc::cache
