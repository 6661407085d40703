// cache/rows.hpp -- code objects as rows: written, looked up, verified, listed, removed, in any database of ours.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cache/code_store.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {

/// The id of the toolchain's row, made if needed.
std::int64_t put_toolchain(sqlite::connection& db, const toolchain& compiler, std::int64_t now);

/// Adds the row unless its key is taken. True: it was added.
bool put_row(sqlite::connection& db, const code_row& row, std::int64_t now);

/// A row that must not be served, and why.
struct bad_row {
    digest key{};
    const char* kind = "";  ///< as in the table of events
    std::string why;
    enum class remedy {
        none,  ///< it may be the right answer to another query
        remove_row,
        remove_bytes,  ///< the row, its blob, and every row that shares the blob
    } fix = remedy::none;
};

/// Whether a clear-text key, which may be anyone's, is `wanted` when its toolchain is taken out.
bool is_text_without_toolchain(const std::string& key_json, const std::string& wanted);

struct lookup {
    std::optional<code_row> found;
    std::vector<bad_row> bad;
};

/// The row that answers the query, verified; rows met on the way that are damaged are named, those in `skipped` passed over.
lookup look_up(sqlite::connection& db, const code_query& query, const std::set<digest>& skipped);

std::vector<code_row> list_rows(sqlite::connection& db);
std::vector<code_row> nearest_rows(sqlite::connection& db, const code_row& like);
std::vector<std::string> damaged_rows(sqlite::connection& db);

/// Removes a row and the blob that no other row needs any more; returns the bytes that the blob held.
std::int64_t remove_row(sqlite::connection& db, const digest& key);

/// Removes a row, its blob, and every row that shares the blob: the bytes themselves are no good.
void remove_row_and_bytes(sqlite::connection& db, const digest& key);

code_store::counts count_rows(sqlite::connection& db, std::int64_t now);
std::int64_t stored_bytes(sqlite::connection& db);

}  // namespace mhc::cache
