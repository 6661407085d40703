// cache/sqlite.cpp -- the only file that includes sqlite3.h.
#include "cache/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

namespace mhc::cache::sqlite {
namespace {

constexpr int read_timeout_ms = 200;
constexpr int write_timeout_ms = 2000;

fault fault_of(int code)
{
    // To SQLite only ENOSPC is a full disk. A quota or a limit on file size is no different, and looks like this.
    if (code == SQLITE_IOERR_WRITE) return fault::full;
    switch (code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return fault::busy;
        case SQLITE_FULL:
            return fault::full;
        case SQLITE_IOERR:
            return fault::io;
        case SQLITE_READONLY:
            return fault::read_only;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return fault::corrupt;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return fault::cannot_open;
        default:
            return fault::other;
    }
}

std::string immutable_uri(const std::string& path)
{
    std::string uri = "file:";
    for (const char c : path) {
        if (c == '%' || c == '?' || c == '#') {
            uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        } else {
            uri += c;
        }
    }
    return uri + "?immutable=1&mode=ro";
}

}  // namespace

const char* name_of(fault kind)
{
    switch (kind) {
        case fault::busy:
            return "busy";
        case fault::full:
            return "full";
        case fault::io:
            return "io";
        case fault::read_only:
            return "read-only";
        case fault::corrupt:
            return "corrupt";
        case fault::cannot_open:
            return "cannot open";
        case fault::other:
            break;
    }
    return "other";
}

connection::connection(const std::string& path, access how)
{
    const bool is_immutable = how == access::immutable;
    const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW |
                      (how == access::read_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                      (is_immutable ? SQLITE_OPEN_URI : 0);
    const std::string name = is_immutable ? immutable_uri(path) : path;
    if (const int code = sqlite3_open_v2(name.c_str(), &handle_, flags, nullptr); code != SQLITE_OK) {
        const std::string message = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
        sqlite3_close(std::exchange(handle_, nullptr));
        throw error(fault_of(code), fmt::format("cannot open {}: {}", path, message));
    }
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    set_busy_timeout_ms(read_timeout_ms);
}

connection connection::in_memory()
{
    connection db;
    if (const int code = sqlite3_open_v2(":memory:", &db.handle_,
                                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
        code != SQLITE_OK)
        db.fail(code, "open a database in memory");
    return db;
}

connection connection::over(std::string_view bytes)
{
    connection db = in_memory();
    const auto size = static_cast<sqlite3_int64>(bytes.size());
    // SQLite's signature has no const; READONLY is its promise, and without FREEONCLOSE the bytes stay the caller's.
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    if (const int code = sqlite3_deserialize(db.handle_, "main", data, size, size, SQLITE_DESERIALIZE_READONLY);
        code != SQLITE_OK)
        db.fail(code, "open a database in this program");
    sqlite3_db_config(db.handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db.handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    return db;
}

std::string connection::to_bytes() const
{
    sqlite3_int64 size = 0;
    unsigned char* const bytes = sqlite3_serialize(handle_, "main", &size, 0);
    if (bytes == nullptr) throw error(fault::other, "no memory for a database");
    std::string copy(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    sqlite3_free(bytes);
    return copy;
}

connection::~connection() { sqlite3_close(handle_); }

connection::connection(connection&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

connection& connection::operator=(connection&& other) noexcept
{
    std::swap(handle_, other.handle_);
    return *this;
}

void connection::fail(int code, std::string_view doing) const
{
    throw error(fault_of(code), fmt::format("{}: {} ({})", doing, sqlite3_errmsg(handle_), code));
}

void connection::execute(const char* sql)
{
    if (const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK) fail(code, sql);
}

std::int64_t connection::integer(const char* sql)
{
    statement s(*this, sql);
    return s.step() ? s.integer(0) : 0;
}

std::int64_t connection::changes() const { return sqlite3_changes64(handle_); }

void connection::set_busy_timeout_ms(int timeout_ms) { sqlite3_busy_timeout(handle_, timeout_ms); }

bool connection::has_moved() const
{
    int moved = 0;
    return sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

std::string connection::raw_header() const
{
    sqlite3_file* file = nullptr;
    if (sqlite3_file_control(handle_, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || file == nullptr ||
        file->pMethods == nullptr)
        throw error(fault::cannot_open, "the database has no file");
    sqlite3_int64 size = 0;
    if (const int code = file->pMethods->xFileSize(file, &size); code != SQLITE_OK) fail(code, "size of the database");
    if (size == 0) return {};
    std::string header(static_cast<std::size_t>(std::min<sqlite3_int64>(size, 100)), '\0');
    const int code = file->pMethods->xRead(file, header.data(), static_cast<int>(header.size()), 0);
    if (code != SQLITE_OK) fail(code, "header of the database");
    return header;
}

statement::statement(connection& db, const char* sql, unbound) : db_(db)
{
    if (const int code = sqlite3_prepare_v2(db.handle_, sql, -1, &handle_, nullptr); code != SQLITE_OK) db.fail(code, sql);
}

statement::~statement() { sqlite3_finalize(handle_); }

void statement::check(int code) const
{
    if (code != SQLITE_OK) db_.fail(code, sqlite3_sql(handle_));
}

void statement::bind(int index, std::int64_t value) { check(sqlite3_bind_int64(handle_, index, value)); }

void statement::bind(int index, std::string_view text)
{
    check(sqlite3_bind_text64(handle_, index, text.data() != nullptr ? text.data() : "", text.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
}

void statement::bind(int index, const blob& value)
{
    check(value.bytes.empty()
              ? sqlite3_bind_zeroblob(handle_, index, 0)
              : sqlite3_bind_blob64(handle_, index, value.bytes.data(), value.bytes.size(), SQLITE_TRANSIENT));
}

void statement::bind(int index, const digest& value)
{
    check(sqlite3_bind_blob64(handle_, index, value.data(), value.size(), SQLITE_TRANSIENT));
}

bool statement::step()
{
    const int code = sqlite3_step(handle_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) db_.fail(code, sqlite3_sql(handle_));
    return false;
}

std::int64_t statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }

std::string statement::text(int column) const
{
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
    if (data == nullptr) return {};
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::string statement::bytes(int column) const
{
    const auto* data = static_cast<const char*>(sqlite3_column_blob(handle_, column));
    if (data == nullptr) return {};
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

digest statement::hash(int column) const
{
    digest value{};
    const std::string stored = bytes(column);
    if (stored.size() == value.size()) std::copy(stored.begin(), stored.end(), value.begin());
    return value;
}

bool statement::is_null(int column) const { return sqlite3_column_type(handle_, column) == SQLITE_NULL; }

transaction::transaction(connection& db) : db_(db)
{
    db_.set_busy_timeout_ms(write_timeout_ms);
    try {
        db_.execute("BEGIN IMMEDIATE");
        is_open_ = true;
    } catch (...) {
        db_.set_busy_timeout_ms(read_timeout_ms);
        throw;
    }
}

transaction::~transaction()
{
    if (is_open_) {
        try {
            db_.execute("ROLLBACK");
        } catch (const error&) {
            // SQLite has rolled back by itself, as it does when the disk is full.
            is_open_ = false;
        }
    }
    db_.set_busy_timeout_ms(read_timeout_ms);
}

void transaction::commit()
{
    db_.execute("COMMIT");
    is_open_ = false;
}

}  // namespace mhc::cache::sqlite
