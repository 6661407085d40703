// cache/row_uses.cpp -- a use is worth writing once a key and process, and once an hour.
#include "cache/row_uses.hpp"

#include <unistd.h>

namespace mhc::cache {
namespace {

constexpr std::int64_t hour_s = 3600;

}  // namespace

void row_uses::found(const code_row& row, std::int64_t now, bool is_writable)
{
    if (!used_.insert(row.key).second || !is_writable) return;
    // A time in the future was written by a clock that was wrong.
    const bool is_recent = row.last_used <= now && now - row.last_used < hour_s;
    if (is_recent) return;
    if (noted_by_ != getpid()) unwritten_.clear();
    noted_by_ = getpid();
    unwritten_.push_back(row.key);
}

bool row_uses::has_unwritten() const { return !unwritten_.empty() && noted_by_ == getpid(); }

void row_uses::write(sqlite::connection& db, std::int64_t now) const
{
    if (!has_unwritten()) return;
    for (const digest& key : unwritten_)
        sqlite::run(db, "UPDATE code_object SET last_used = ?1, uses = uses + 1 WHERE key = ?2", now, key);
}

}  // namespace mhc::cache
