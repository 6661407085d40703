// cache/user_database.hpp -- the file mhc_user.db: found, trusted, made, opened, and moved out of the way when it is no
// good.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "cache/event_queue.hpp"
#include "cache/sqlite.hpp"
#include "cache/trust.hpp"
#include "cache/user_directory.hpp"

namespace mhc::cache {

/// What the world does, where a test has it do something else.
struct user_store_seams {
    std::function<std::int64_t()> now;  ///< seconds since 1970
    std::function<bool(const std::string& dir)> is_local = is_on_local_filesystem;
    std::function<bool(const std::string& dir)> can_map_shared = maps_shared;
    std::function<std::vector<node_local_directory>()> other_directories = node_local_directories;
    std::function<void(sqlite::connection&)> after_open = [](sqlite::connection&) {};

    user_store_seams();
};

class user_database {
public:
    user_database(const user_store_options& options, user_store_seams seams, event_queue& events);

    /// Opens the database, making it if need be. False: `why`. Never throws for what is wrong with the file.
    bool open(std::string* why);
    void close() { connection_.reset(); }
    void leak();
    /// Moves a database that turned out to be corrupt aside, unless another process has, and opens what is there then.
    bool recover(std::string* why);

    /// How often that was done.
    int recoveries() const { return recoveries_; }

    /// How many databases were moved aside as corrupt, when opened or later.
    int set_aside() const { return set_aside_; }

    bool is_open() const { return connection_.has_value(); }
    bool is_writable() const { return is_writable_; }
    bool has_moved() const { return connection_->has_moved(); }
    sqlite::connection& connection() { return *connection_; }
    const std::string& path() const { return path_; }
    /// What the directory allows; 0: as much as wanted.
    std::int64_t bytes_max() const { return bytes_max_; }
    std::int64_t file_bytes() const;
    std::uint64_t inode() const { return inode_; }
    std::int64_t now() const { return seams_.now(); }

private:
    enum class outcome { opened, again, failed };

    std::optional<trusted_directory> choose_directory(std::string* why);
    outcome try_open(const trusted_directory& dir, std::string* why);
    outcome make(const trusted_directory& dir, std::string* why);
    outcome open_to_write(const trusted_directory& dir, std::string* why);
    outcome open_to_read(const trusted_directory& dir, std::string* why);
    outcome set_corrupt_aside(const std::string& dir, ino_t inode, const std::string& what, std::string* why);
    void note_corrupt(const std::string& what);
    void choose_journal(const std::string& dir);

    std::string wanted_dir_;
    bool read_only_;
    user_store_seams seams_;
    event_queue& events_;
    std::string path_;
    std::int64_t bytes_max_ = 0;
    bool is_writable_ = false, has_told_of_directory_ = false;
    ino_t inode_ = 0;
    int recoveries_ = 0, set_aside_ = 0;
    std::string untold_;  ///< of the last of these, for the events of the next database
    std::optional<sqlite::connection> connection_;
};

}  // namespace mhc::cache
