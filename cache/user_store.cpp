// cache/user_store.cpp -- the user database as a code store.
#include "cache/user_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include "cache/eviction.hpp"
#include "cache/failure_table.hpp"
#include "cache/guarded_database.hpp"
#include "cache/rows.hpp"
#include "cache/schema.hpp"
#include "cache/toolchain_table.hpp"

namespace mhc::cache {
namespace {

constexpr std::int64_t hour_s = 3600;
constexpr std::size_t own_bytes_max = std::size_t{64} << 20;
// So much is read in some 20 ms, once in a process that has compiled something, which took longer.
constexpr std::int64_t checked_bytes_max = std::int64_t{16} << 20;

bool is_whole(sqlite::connection& db)
{
    sqlite::statement s(db, "PRAGMA integrity_check(1)");
    return s.step() && s.text(0) == "ok";
}

class user_store final : public code_store {
public:
    user_store(const user_store_options& options, user_store_seams seams)
        : database_(options, std::move(seams)), read_only_(options.read_only), bytes_max_(options.bytes_max)
    {
    }
    ~user_store() override;
    bool open(std::string* why);

    std::string path() const override { return path_; }
    bool is_writable() const override { return is_writable_; }
    std::optional<code_row> find(const code_query& query) override;
    bool insert(const code_row& row, bool replace) override;
    void set_aside(const digest& key, std::string_view why) override;
    std::optional<failure_row> find_failure(const digest& key) override;
    void insert_failure(const failure_row& row) override;
    void forget_failure(const digest& key) override;
    std::vector<toolchain> known_toolchains() override;
    void remember_toolchain(const toolchain& compiler, const std::vector<toolchain_file>& files) override;
    std::vector<code_row> list() override;
    std::vector<code_row> nearest(const code_row& like) override;
    counts count() override;
    std::int64_t remove(const std::vector<digest>& keys) override;
    std::int64_t clear() override;
    std::vector<std::string> damaged() override;
    void set_bytes_max(std::int64_t bytes) override { bytes_max_ = bytes; }

private:
    template <class Result, class Body>
    Result guarded(const char* doing, Result otherwise, const Body& body) noexcept;
    template <class Body>
    void write(const Body& body);
    void store(const code_row& row, bool replace);
    void store_own_again();
    void check_once();
    void make_room();
    void shrink();
    std::int64_t evict_above_cap();
    void take_out(const bad_row& bad);
    void note_use(const code_row& row);

    sqlite::connection& db() { return database_.connection(); }
    std::int64_t now() { return database_.file().now(); }

    guarded_database database_;
    const bool read_only_;  ///< as asked for: what is not stored then is no fault
    std::string path_;
    std::atomic<std::int64_t> bytes_max_;
    std::atomic<bool> is_writable_ = false;
    // Under the mutex of database_.
    bool is_full_ = false;
    std::set<digest> skipped_;   ///< rows that are no good and could not be removed
    std::set<digest> used_;      ///< rows found or stored by this process: not evicted
    std::vector<code_row> own_;  ///< what this process stored, for when the database turns out to be damaged
    std::size_t own_bytes_ = 0;
    int recoveries_seen_ = 0;
    bool is_checked_ = false;             ///< as a whole, once a process
    std::vector<digest> unwritten_uses_;  ///< rows whose last_used is to be written when something is written anyway
};

template <class Result, class Body>
Result user_store::guarded(const char* doing, Result otherwise, const Body& body) noexcept
{
    return database_.guarded(doing, std::move(otherwise), [&] {
        store_own_again();
        Result result = body();
        is_writable_ = database_.file().is_writable() && !is_full_;
        return result;
    });
}

template <class Body>
void user_store::write(const Body& body)
{
    database_.write([&] {
        for (const digest& key : unwritten_uses_)
            sqlite::run(db(), "UPDATE code_object SET last_used = ?1, uses = uses + 1 WHERE key = ?2", now(), key);
        body();
    });
    unwritten_uses_.clear();
}

user_store::~user_store()
{
    if (unwritten_uses_.empty() || !is_writable_) return;
    guarded("closing", true, [&] {
        write([] {});
        return true;
    });
}

bool user_store::open(std::string* why)
{
    if (!database_.open(why)) return false;
    path_ = database_.file().path();
    is_writable_ = database_.file().is_writable();
    return true;
}

std::optional<code_row> user_store::find(const code_query& query)
{
    return guarded("looking up", std::optional<code_row>{}, [&] {
        lookup result = look_up(db(), query, skipped_);
        for (const bad_row& bad : result.bad) take_out(bad);
        if (result.found) note_use(*result.found);
        return std::move(result.found);
    });
}

void user_store::note_use(const code_row& row)
{
    if (!used_.insert(row.key).second || !is_writable_) return;
    // A time in the future was written by a clock that was wrong.
    const bool is_recent = row.last_used <= now() && now() - row.last_used < hour_s;
    if (!is_recent) unwritten_uses_.push_back(row.key);
}

void user_store::take_out(const bad_row& bad)
{
    database_.events().add(severity::warning, fmt::format("cache: row {} of {} is not served ({}): {}", to_hex(bad.key),
                                                          path_, bad.kind, bad.why));
    if (bad.fix == bad_row::remedy::none) return;
    skipped_.insert(bad.key);
    if (!database_.file().is_writable()) return;
    // Where bytes have changed, others may have.
    if (bad.fix == bad_row::remedy::remove_bytes) check_once();
    try {
        write([&] {
            if (bad.fix == bad_row::remedy::remove_bytes) {
                remove_row_and_bytes(db(), bad.key);
            } else {
                remove_row(db(), bad.key);
            }
            record_event(db(), now(), bad.kind, to_hex(bad.key) + ": " + bad.why);
        });
        skipped_.erase(bad.key);
    } catch (const sqlite::error& e) {
        if (e.kind() == sqlite::fault::corrupt) throw;
        database_.events().add_fault("removing a bad row", e.kind(), e.what());
    }
}

bool user_store::insert(const code_row& row, bool replace)
{
    return guarded("storing", false, [&] {
        if (is_full_ || read_only_) return false;
        try {
            store(row, replace);
            return true;
        } catch (const sqlite::error& e) {
            if (e.kind() != sqlite::fault::full) throw;
            database_.events().add_fault("storing", e.kind(), e.what());
        }
        try {
            make_room();
            store(row, replace);
            return true;
        } catch (const sqlite::error& e) {
            if (e.kind() != sqlite::fault::full) throw;
            is_full_ = true;
            database_.events().add(severity::warning, fmt::format("cache: no room for {}: nothing more is stored", path_));
            return false;
        }
    });
}

/// Damage found only after something was compiled anew and stored would cost that a second time.
void user_store::check_once()
{
    if (!std::exchange(is_checked_, true) && !is_whole(db()))
        throw sqlite::error(sqlite::fault::corrupt, "it fails its integrity check");
}

void user_store::store(const code_row& row, bool replace)
{
    if (database_.file().file_bytes() <= checked_bytes_max) check_once();
    std::int64_t evicted = 0;
    write([&] {
        // A row that could not be removed when it was found to be bad must not stand in the way of its successor.
        if (replace || skipped_.count(row.key) != 0) remove_row(db(), row.key);
        put_row(db(), row, now());
        used_.insert(row.key);
        evicted = evict_above_cap();
    });
    skipped_.erase(row.key);
    if (own_bytes_ + row.bytes.size() <= own_bytes_max) {
        own_bytes_ += row.bytes.size();
        own_.push_back(row);
    }
    if (evicted > 0) shrink();
}

/// What was compiled before a page was found to be damaged went with the file: it is stored in the next one, so that no
/// key is compiled twice on account of one damage.
void user_store::store_own_again()
{
    const int recoveries = database_.file().recoveries();
    if (std::exchange(recoveries_seen_, recoveries) == recoveries || own_.empty()) return;
    write([&] {
        for (const code_row& row : own_) put_row(db(), row, now());
    });
}

std::int64_t user_store::evict_above_cap()
{
    const std::int64_t directory_max = database_.file().bytes_max();
    const std::int64_t allowed = directory_max > 0 ? std::min<std::int64_t>(bytes_max_, directory_max) : bytes_max_.load();
    // The file is never smaller than what it holds, and its size costs nothing to ask for.
    if (db().integer("PRAGMA page_count") * db().integer("PRAGMA page_size") <= allowed || stored_bytes(db()) <= allowed)
        return 0;
    const std::int64_t rows = evict_to(db(), allowed / 5 * 4, now(), used_);
    if (rows > 0) {
        record_event(db(), now(), "evict", fmt::format("{} rows over {} bytes", rows, allowed));
        database_.events().add(severity::info, fmt::format("cache: {} rows evicted from {}", rows, path_));
    }
    return rows;
}

void user_store::make_room()
{
    write([&] { evict_to(db(), stored_bytes(db()) / 4 * 3, now(), used_); });
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

void user_store::set_aside(const digest& key, std::string_view why)
{
    guarded("setting aside", true, [&] {
        // The bytes are what was stored: whether they serve another row is for whoever asks for that one.
        take_out({key, "quarantine", std::string(why), bad_row::remedy::remove_row});
        return true;
    });
}

std::optional<failure_row> user_store::find_failure(const digest& key)
{
    return guarded("looking up a failure", std::optional<failure_row>{}, [&] { return read_failure(db(), key, now()); });
}

void user_store::insert_failure(const failure_row& row)
{
    guarded("storing a failure", true, [&] {
        if (is_full_ || read_only_) return false;
        write([&] { put_failure(db(), row, now()); });
        return true;
    });
}

void user_store::forget_failure(const digest& key)
{
    guarded("forgetting a failure", true, [&] {
        if (read_only_) return false;
        write([&] { remove_failure(db(), key); });
        return true;
    });
}

std::vector<toolchain> user_store::known_toolchains()
{
    return guarded("looking up toolchains", std::vector<toolchain>{}, [&] { return unchanged_toolchains(db()); });
}

void user_store::remember_toolchain(const toolchain& compiler, const std::vector<toolchain_file>& files)
{
    guarded("storing a toolchain", true, [&] {
        if (is_full_ || read_only_) return false;
        write([&] { put_toolchain_files(db(), compiler, files, now()); });
        return true;
    });
}

std::vector<code_row> user_store::nearest(const code_row& like)
{
    return guarded("looking for the nearest", std::vector<code_row>{}, [&] { return nearest_rows(db(), like); });
}

std::vector<code_row> user_store::list()
{
    return guarded("listing", std::vector<code_row>{}, [&] { return list_rows(db()); });
}

code_store::counts user_store::count()
{
    return guarded("counting", counts{}, [&] {
        counts result = count_rows(db(), now());
        result.file_bytes = database_.file().file_bytes();
        return result;
    });
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
        own_bytes_ = 0;
        is_full_ = false;
        shrink();
        return rows;
    });
}

std::vector<std::string> user_store::damaged()
{
    return guarded("checking", std::vector<std::string>{}, [&] { return damaged_rows(db()); });
}

}  // namespace

std::unique_ptr<code_store> open_user_store(const user_store_options& options, user_store_seams seams, std::string* why)
{
    std::string ignored;
    if (why == nullptr) why = &ignored;
    try {
        auto store = std::make_unique<user_store>(options, std::move(seams));
        if (store->open(why)) return store;
    } catch (const std::exception& e) {
        *why = e.what();
    }
    return nullptr;
}

std::unique_ptr<code_store> open_user_store(const user_store_options& options, std::string* why)
{
    return open_user_store(options, user_store_seams{}, why);
}

}  // namespace mhc::cache
