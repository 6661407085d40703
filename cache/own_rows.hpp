// cache/own_rows.hpp -- what this process stored, for when the database turns out to be damaged.
//
// What was compiled before a page was found to be damaged goes with the file: it is stored in the next one, so that no key
// is compiled twice on account of one damage.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/code_store.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {

class own_rows {
public:
    /// Keeps the row, while there is room.
    void keep(const code_row& row);
    void clear();
    bool is_empty() const { return rows_.empty(); }
    /// In a write transaction.
    void store_in(sqlite::connection& db, std::int64_t now) const;

private:
    std::vector<code_row> rows_;
    std::size_t bytes_ = 0;
};

}  // namespace mhc::cache
