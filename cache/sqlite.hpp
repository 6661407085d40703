// cache/sqlite.hpp -- a connection, a statement and a transaction of SQLite, and the faults that callers tell apart.
//
// Inside cache/ a fault is an exception; the stores catch it, so that none leaves the folder.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cache/code_store.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace mhc::cache::sqlite {

enum class fault { busy, full, io, read_only, corrupt, cannot_open, other };
static_assert(static_cast<std::size_t>(fault::other) + 1 == std::tuple_size_v<fault_counts>);
const char* name_of(fault kind);

class error : public std::runtime_error {
public:
    error(fault kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
    fault kind() const { return kind_; }

private:
    fault kind_;
};

enum class access {
    read_write,
    read_only,
    immutable,  ///< no locks, no journal, no write-ahead log: for files that nobody writes
};

/// One open database. Not thread-safe, and not to be used, nor even closed, in a forked child.
class connection {
public:
    /// The file must exist, and no part of its path may be a symbolic link.
    connection(const std::string& path, access how);
    static connection in_memory();
    /// A database that lies in memory, which it reads and does not change.
    static connection over(std::string_view bytes);
    std::string to_bytes() const;
    ~connection();
    connection(connection&& other) noexcept;
    connection& operator=(connection&& other) noexcept;

    /// Statements without parameters, separated by semicolons.
    void execute(const char* sql);
    std::int64_t integer(const char* sql);
    std::int64_t changes() const;
    void set_busy_timeout_ms(int timeout_ms);
    /// Another file, or none, stands where this one was opened.
    bool has_moved() const;
    /// The first 100 bytes as they lie on disk (fewer at its end). Reads past the locks, but through SQLite: any other
    /// open and close of the file would drop the locks that this process holds on it.
    std::string raw_header() const;
    /// Forgets the handle without touching the file.
    void leak() noexcept { handle_ = nullptr; }

private:
    friend class statement;
    connection() = default;
    [[noreturn]] void fail(int code, std::string_view doing) const;

    sqlite3* handle_ = nullptr;
};

/// Bytes that are no text.
struct blob {
    std::string_view bytes;
};

/// One prepared statement with its parameters, in order, already bound.
class statement {
public:
    template <class... Values>
    statement(connection& db, const char* sql, const Values&... values) : statement(db, sql, unbound{})
    {
        int index = 0;
        (bind(++index, values), ...);
    }
    ~statement();
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;

    /// True: a row is there.
    bool step();

    std::int64_t integer(int column) const;
    std::string text(int column) const;
    std::string bytes(int column) const;
    digest hash(int column) const;
    bool is_null(int column) const;

private:
    struct unbound {};
    statement(connection& db, const char* sql, unbound);
    void bind(int index, std::int64_t value);
    void bind(int index, int value) { bind(index, std::int64_t{value}); }
    void bind(int index, bool value) { bind(index, std::int64_t{value}); }
    void bind(int index, std::string_view text);
    void bind(int index, const blob& value);
    void bind(int index, const digest& value);
    void check(int code) const;

    connection& db_;
    sqlite3_stmt* handle_ = nullptr;
};

/// Runs a statement to its end; returns how many rows it changed.
template <class... Values>
std::int64_t run(connection& db, const char* sql, const Values&... values)
{
    statement s(db, sql, values...);
    while (s.step()) {
    }
    return db.changes();
}

/// A write transaction: waits longer than a read does, and is rolled back unless committed.
class transaction {
public:
    explicit transaction(connection& db);
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit();

private:
    connection& db_;
    bool is_open_ = false;
};

}  // namespace mhc::cache::sqlite
