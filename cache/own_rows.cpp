// cache/own_rows.cpp -- rows in memory, with a limit.
#include "cache/own_rows.hpp"

#include "cache/rows.hpp"

namespace mhc::cache {
namespace {

constexpr std::size_t bytes_max = std::size_t{64} << 20;

}  // namespace

void own_rows::keep(const code_row& row)
{
    if (bytes_ + row.bytes.size() > bytes_max) return;
    bytes_ += row.bytes.size();
    rows_.push_back(row);
}

void own_rows::clear()
{
    rows_.clear();
    bytes_ = 0;
}

void own_rows::store_in(sqlite::connection& db, std::int64_t now) const
{
    for (const code_row& row : rows_) put_row(db, row, now);
}

}  // namespace mhc::cache
