// cache/user_store_upkeep.cpp -- what is in the user database, what has happened to it, and how it is kept small.
#include <algorithm>

#include "cache/eviction.hpp"
#include "cache/schema.hpp"
#include "cache/user_store_impl.hpp"

namespace mhc::cache {

std::int64_t user_store::bytes_allowed()
{
    const std::int64_t directory_max = database_.file().bytes_max();
    return directory_max > 0 ? std::min<std::int64_t>(bytes_max_, directory_max) : bytes_max_.load();
}

void user_store::make_room()
{
    std::int64_t evicted = 0;
    write([&] { evicted = evict_to(db(), stored_bytes(db()) / 4 * 3, now(), uses_.keys()); });
    evicted_ += static_cast<std::uint64_t>(evicted);
    shrink();
}

void user_store::shrink()
{
    try {
        db().execute("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (const sqlite::error& e) {
        // What came before is committed all the same.
        if (e.kind() == sqlite::fault::corrupt) throw;
        database_.events().add_fault("shrinking", e.kind(), e.what());
    }
}

std::vector<code_row> user_store::list()
{
    return guarded("listing", std::vector<code_row>{}, [&] { return list_rows(db()); });
}

std::vector<code_row> user_store::nearest(const code_row& like)
{
    return guarded("looking for the nearest", std::vector<code_row>{}, [&] { return nearest_rows(db(), like); });
}

code_store::counts user_store::count()
{
    return guarded("counting", counts{}, [&] {
        counts result = count_rows(db(), now());
        result.file_bytes = database_.file().file_bytes();
        return result;
    });
}

code_store::tally user_store::counted()
{
    return database_.locked([&] {
        return tally{.writes = database_.writes(),
                     .bad_rows = bad_rows_,
                     .corrupt = static_cast<std::uint64_t>(database_.file().set_aside()),
                     .evicted = evicted_,
                     .faults = database_.events().faults()};
    });
}

std::vector<code_store::event> user_store::events()
{
    return guarded("reading events", std::vector<event>{}, [&] { return read_events(db()); });
}

std::int64_t user_store::remove(const std::vector<digest>& keys)
{
    return guarded("removing rows", std::int64_t{-1}, [&] {
        std::int64_t rows = 0;
        write([&] {
            const std::int64_t before = db().integer("SELECT count(*) FROM code_object");
            for (const digest& key : keys) remove_row(db(), key);
            rows = before - db().integer("SELECT count(*) FROM code_object");
        });
        shrink();
        return rows;
    });
}

std::int64_t user_store::clear()
{
    return guarded("clearing", std::int64_t{-1}, [&] {
        std::int64_t rows = 0;
        write([&] {
            rows = db().integer("SELECT count(*) FROM code_object");
            db().execute("DELETE FROM code_object; DELETE FROM code_blob; DELETE FROM compile_failure");
        });
        skipped_.clear();
        own_.clear();
        is_full_ = false;
        shrink();
        return rows;
    });
}

std::vector<std::string> user_store::damaged()
{
    return guarded("checking", std::vector<std::string>{}, [&] { return damaged_rows(db()); });
}

}  // namespace mhc::cache
