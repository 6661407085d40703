// cache/user_database.cpp -- from a directory's name to an open connection.
#include "cache/user_database.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cache/maintenance_lock.hpp"
#include "cache/schema.hpp"
#include "cache/set_aside_files.hpp"

namespace mhc::cache {
namespace {

constexpr const char* file_name = "/mhc_user.db";

// Each round either ends or has changed what the next one finds; more rounds mean that somebody undoes our work.
constexpr int rounds_max = 4;

constexpr int set_up_timeout_ms = 2000;
constexpr int read_timeout_ms = 200;

constexpr const char* settings =
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA mmap_size = 0;"
    "PRAGMA cell_size_check = ON;"
    "PRAGMA foreign_keys = ON;"
    "PRAGMA temp_store = MEMORY;";

std::int64_t size_of(const std::string& path)
{
    struct stat seen {};
    return stat(path.c_str(), &seen) == 0 ? seen.st_size : 0;
}

}  // namespace

user_store_seams::user_store_seams()
    : now([] {
          using namespace std::chrono;
          return std::int64_t{duration_cast<seconds>(system_clock::now().time_since_epoch()).count()};
      })
{
}

user_database::user_database(const user_store_options& options, user_store_seams seams, event_queue& events)
    : wanted_dir_(options.dir), read_only_(options.read_only), seams_(std::move(seams)), events_(events)
{
}

void user_database::leak()
{
    if (connection_) connection_->leak();
    connection_.reset();
}

std::int64_t user_database::file_bytes() const { return size_of(path_) + size_of(path_ + "-wal"); }

bool user_database_is_there(const std::string& dir)
{
    const auto is_absent = [](const std::string& path) {
        struct stat seen {};
        return lstat(path.c_str(), &seen) != 0 && (errno == ENOENT || errno == ENOTDIR);
    };
    if (!is_absent(dir + file_name)) return true;
    if (is_absent(dir) || is_on_local_filesystem(dir)) return false;
    const std::vector<node_local_directory> others = node_local_directories();
    return std::any_of(others.begin(), others.end(),
                       [&](const node_local_directory& other) { return !is_absent(other.path + file_name); });
}

std::optional<trusted_directory> user_database::choose_directory(std::string* why)
{
    bytes_max_ = 0;
    const auto wanted = trust_directory(wanted_dir_, !read_only_, why);
    if (!wanted || seams_.is_local(wanted->path)) return wanted;
    std::string all_why = fmt::format("{} is on a network filesystem", wanted->path);
    for (const node_local_directory& other : seams_.other_directories()) {
        std::string other_why = fmt::format("{} is on a network filesystem too", other.path);
        const auto dir = trust_directory(other.path, !read_only_, &other_why);
        if (dir && seams_.is_local(dir->path)) {
            bytes_max_ = other.bytes_max;
            if (!std::exchange(has_told_of_directory_, true))
                events_.add(severity::warning, fmt::format("cache: {}; using {}", all_why, dir->path));
            return dir;
        }
        all_why += "; " + other_why;
    }
    *why = std::move(all_why);
    return std::nullopt;
}

bool user_database::open(std::string* why)
{
    connection_.reset();
    is_writable_ = false;
    const auto dir = choose_directory(why);
    if (!dir) return false;
    path_ = dir->path + file_name;
    for (int round = 0; round < rounds_max; ++round) {
        outcome result = outcome::failed;
        try {
            result = try_open(*dir, why);
        } catch (const sqlite::error& e) {
            *why = e.what();
        }
        if (result == outcome::opened) return true;
        connection_.reset();
        if (result == outcome::failed) return false;
    }
    *why = path_ + " keeps changing";
    return false;
}

user_database::outcome user_database::try_open(const trusted_directory& dir, std::string* why)
{
    const file_seen seen = look_at_file(path_, why);
    if (seen.trust == file_trust::refused) return outcome::failed;
    const bool may_make = !read_only_ && dir.is_writable;
    if (seen.trust == file_trust::absent) return may_make ? make(dir, why) : outcome::failed;
    const bool may_write = may_make && seen.is_writable;
    inode_ = seen.inode;
    const file_identity identity = identify(sqlite::connection(path_, sqlite::access::read_only).raw_header());
    switch (identity.is) {
        case file_identity::kind::foreign:
            *why = fmt::format("{} is a database of another program; it is left alone", path_);
            return outcome::failed;
        case file_identity::kind::not_a_database:
            *why = fmt::format("{} is not a database", path_);
            return may_write ? set_corrupt_aside(dir.path, seen.inode, "not a database", why) : outcome::failed;
        case file_identity::kind::empty:
            *why = fmt::format("{} is empty", path_);
            return may_write ? make(dir, why) : outcome::failed;
        case file_identity::kind::ours:
            break;
    }
    if (identity.version > schema_version) {
        events_.add(severity::info, fmt::format("cache: {} has the newer version {}: not written", path_, identity.version));
        return open_to_read(dir, why);
    }
    if (identity.version < schema_version) {
        *why = fmt::format("{} has the older version {}", path_, identity.version);
        if (!may_write) return outcome::failed;
        const maintenance_lock lock(dir.path);
        move_database(path_, seen.inode, fmt::format("{}/mhc_user.v{}.db", dir.path, identity.version));
        return outcome::again;
    }
    return may_write ? open_to_write(dir, why) : open_to_read(dir, why);
}

user_database::outcome user_database::make(const trusted_directory& dir, std::string* why)
{
    const maintenance_lock lock(dir.path);
    const file_seen seen = look_at_file(path_, why);
    // Another process may have been first.
    if (seen.trust == file_trust::refused || seen.size > 0) return outcome::again;
    // Under another name until it is whole: SQLite's first write to an empty file does not yet say whose it is, and whoever
    // looks at that moment, or after a crash at that moment, would take it for another program's.
    const std::string unfinished = fmt::format("{}.new-{}", path_, getpid());
    unlink(unfinished.c_str());
    if (!make_private_file(unfinished, why)) return outcome::failed;
    try {
        sqlite::connection db(unfinished, sqlite::access::read_write);
        create_schema(db);
        note_file(db, look_at_file(unfinished, why).inode);
    } catch (const sqlite::error&) {
        unlink(unfinished.c_str());
        throw;
    }
    if (std::rename(unfinished.c_str(), path_.c_str()) == 0) return outcome::again;
    *why = fmt::format("cannot make {}: {}", path_, std::strerror(errno));
    unlink(unfinished.c_str());
    return outcome::failed;
}

user_database::outcome user_database::open_to_write(const trusted_directory& dir, std::string* why)
{
    try {
        sqlite::connection& db = connection_.emplace(path_, sqlite::access::read_write);
        db.set_busy_timeout_ms(set_up_timeout_ms);
        db.execute(settings);
        if (!columns_fit(db)) throw sqlite::error(sqlite::fault::corrupt, "the tables are not ours");
        choose_journal(dir.path);
        db.set_busy_timeout_ms(read_timeout_ms);
        if (!untold_.empty()) note_corrupt(std::exchange(untold_, {}));
        seams_.after_open(db);
    } catch (const sqlite::error& e) {
        connection_.reset();
        if (e.kind() == sqlite::fault::corrupt) return set_corrupt_aside(dir.path, inode_, e.what(), why);
        throw;
    }
    // The file may have been moved between the look at it and its opening.
    if (connection_->has_moved()) return outcome::again;
    is_writable_ = true;
    return outcome::opened;
}

void user_database::note_corrupt(const std::string& what)
{
    try {
        sqlite::transaction writing(*connection_);
        record_event(*connection_, seams_.now(), "corrupt", what);
        writing.commit();
    } catch (const sqlite::error& e) {
        // For want of a note nothing is refused.
        if (e.kind() == sqlite::fault::corrupt) throw;
    }
}

user_database::outcome user_database::open_to_read(const trusted_directory& dir, std::string* why)
{
    // A write-ahead log cannot be read without the shared file beside it, which a read-only directory cannot be given.
    const bool is_still = !dir.is_writable && size_of(path_ + "-wal") == 0;
    sqlite::connection& db = connection_.emplace(path_, is_still ? sqlite::access::immutable : sqlite::access::read_only);
    if (!columns_fit(db)) return *why = fmt::format("{} lacks columns", path_), outcome::failed;
    return outcome::opened;
}

void user_database::choose_journal(const std::string& dir)
{
    sqlite::connection& db = *connection_;
    const char* wanted = seams_.can_map_shared(dir) ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = TRUNCATE";
    try {
        db.execute(wanted);
    } catch (const sqlite::error& e) {
        // Another process is using the file in its present mode, which will do.
        if (e.kind() != sqlite::fault::busy) throw;
    }
}

user_database::outcome user_database::set_corrupt_aside(const std::string& dir, ino_t inode, const std::string& what,
                                                        std::string* why)
{
    const maintenance_lock lock(dir);
    const std::string aside = name_for_corrupt(path_, seams_.now());
    if (move_database(path_, inode, aside)) {
        events_.add(severity::warning, fmt::format("cache: {} is damaged ({}): moved to {}", path_, what, aside));
        keep_newest_corrupt(path_, 2);
        ++set_aside_;
        untold_ = fmt::format("moved to {}: {}", aside, what);
    }
    *why = what;
    return outcome::again;
}

bool user_database::recover(std::string* why)
{
    if (!is_writable_) return *why = path_ + " is damaged and may not be written", false;
    connection_.reset();
    try {
        set_corrupt_aside(path_.substr(0, path_.rfind('/')), inode_, "found while in use", why);
    } catch (const sqlite::error& e) {
        return *why = e.what(), false;
    }
    ++recoveries_;
    return open(why);
}

}  // namespace mhc::cache
