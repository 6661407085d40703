// cache/user_store.cpp -- the user database as a code store: rows go in and come out.
#include "cache/user_store.hpp"

#include <fmt/format.h>

#include <utility>

#include "cache/eviction.hpp"
#include "cache/failure_table.hpp"
#include "cache/schema.hpp"
#include "cache/toolchain_table.hpp"
#include "cache/user_store_impl.hpp"

namespace mhc::cache {
namespace {

// So much is read in some 20 ms, once in a process that has compiled something, which took longer. What is larger is read
// when it is a copy, once for all processes.
constexpr std::int64_t checked_bytes_max = std::int64_t{16} << 20;

}  // namespace

user_store::user_store(const user_store_options& options, user_store_seams seams)
    : database_(options, std::move(seams)), read_only_(options.read_only), bytes_max_(options.bytes_max)
{
}

user_store::~user_store()
{
    if (!uses_.has_unwritten() || !is_writable_) return;
    guarded("closing", true, [&] {
        write([] {});
        return true;
    });
}

void user_store::flush() noexcept
{
    database_.quietly_if_idle([&] { return uses_.has_unwritten() && is_writable_; }, [&] { write([] {}); });
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
        for (const bad_row& bad : result.bad) {
            // What answers another query is not bad.
            if (bad.fix != bad_row::remedy::none) ++bad_rows_;
            take_out(bad);
        }
        if (result.found) uses_.found(*result.found, now(), is_writable_);
        return std::move(result.found);
    });
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
    if (std::exchange(is_checked_, true)) return;
    if (!is_whole(db())) throw sqlite::error(sqlite::fault::corrupt, "it fails its integrity check");
    const std::uint64_t inode = database_.file().inode();
    if (is_copy(db(), inode)) write([&] { note_file(db(), inode); });
}

void user_store::store(const code_row& row, bool replace)
{
    if (!is_checked_ && (bytes_in_pages(db()) <= checked_bytes_max || is_copy(db(), database_.file().inode()))) check_once();
    std::int64_t evicted = 0;
    write([&] {
        // A row that could not be removed when it was found to be bad must not stand in the way of its successor.
        if (replace || skipped_.count(row.key) != 0) remove_row(db(), row.key);
        put_row(db(), row, now());
        uses_.stored(row.key);
        evicted = evict_above(db(), bytes_allowed(), now(), uses_.keys());
    });
    skipped_.erase(row.key);
    own_.keep(row);
    if (evicted == 0) return;
    evicted_ += static_cast<std::uint64_t>(evicted);
    database_.events().add(severity::info, fmt::format("cache: {} rows evicted from {}", evicted, path_));
    shrink();
}

void user_store::store_own_again()
{
    const int recoveries = database_.file().recoveries();
    if (std::exchange(recoveries_seen_, recoveries) == recoveries || own_.is_empty()) return;
    write([&] { own_.store_in(db(), now()); });
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
