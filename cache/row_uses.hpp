// cache/row_uses.hpp -- which rows this process has used, and which of these uses the database does not know yet.
//
// A lookup never writes. A use is written with whatever is written next, else when the store is closed or the process ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <vector>

#include "cache/code_store.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {

class row_uses {
public:
    /// `is_writable`: whether the use can be written at all.
    void found(const code_row& row, std::int64_t now, bool is_writable);
    void stored(const digest& key) { used_.insert(key); }

    /// Rows found or stored by this process: not evicted.
    const std::set<digest>& keys() const { return used_; }

    bool has_unwritten() const;
    /// In a write transaction; `written` once that is committed.
    void write(sqlite::connection& db, std::int64_t now) const;
    void written() { unwritten_.clear(); }

private:
    std::set<digest> used_;
    std::vector<digest> unwritten_;
    pid_t noted_by_ = 0;  ///< a forked child leaves its parent's uses to its parent
};

}  // namespace mhc::cache
