// tests/fault/mutation.cpp -- the ways in which a database is spoiled.
#include "tests/fault/mutation.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <sqlite3.h>

namespace mhc::testing {
namespace {

constexpr std::size_t page = 4096;

std::size_t below(std::mt19937& random, std::size_t end) { return end == 0 ? 0 : random() % end; }

void execute(sqlite3* db, const std::string& sql)
{
    char* message = nullptr;
    if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message) == SQLITE_OK) return;
    const std::string error = message != nullptr ? message : "";
    sqlite3_free(message);
    throw std::runtime_error(sql + ": " + error);
}

std::string exchange(const char* table, const char* column, std::size_t one, std::size_t other)
{
    const auto row = [&](std::size_t at) {
        const char* const order = std::string(table) == "code_blob" ? "sha256" : "key";
        return fmt::format("(SELECT {0} FROM {1} ORDER BY {0} LIMIT 1 OFFSET {2})", order, table, at);
    };
    const char* const name = std::string(table) == "code_blob" ? "sha256" : "key";
    return fmt::format(
        "CREATE TEMP TABLE t AS SELECT {2} a, {3} b, (SELECT {1} FROM {0} WHERE {4} = {2}) v, (SELECT {1} FROM {0} WHERE "
        "{4} ="
        " {3}) w; UPDATE {0} SET {1} = (SELECT w FROM t) WHERE {4} = (SELECT a FROM t);"
        " UPDATE {0} SET {1} = (SELECT v FROM t) WHERE {4} = (SELECT b FROM t); DROP TABLE t",
        table, column, row(one), row(other), name);
}

}  // namespace

std::string spoil_bytes(std::string& bytes, std::mt19937& random)
{
    switch (below(random, 7)) {
        case 0: {
            const std::size_t bits = 1 + below(random, 8);
            for (std::size_t i = 0; i < bits; ++i)
                bytes[below(random, bytes.size())] ^= static_cast<char>(1 << below(random, 8));
            return fmt::format("{} bits flipped", bits);
        }
        case 1: {
            const std::size_t from = below(random, bytes.size()), size = 1 + below(random, page);
            for (std::size_t i = from; i < std::min(bytes.size(), from + size); ++i) bytes[i] = static_cast<char>(random());
            return fmt::format("{} bytes from {} made random", size, from);
        }
        case 2:
            bytes.resize(below(random, bytes.size()));
            return fmt::format("cut to {} bytes", bytes.size());
        case 3: {
            const std::size_t at = below(random, bytes.size() / page + 1) * page;
            for (std::size_t i = at; i < std::min(bytes.size(), at + page); ++i) bytes[i] = 0;
            return fmt::format("page at {} made zero", at);
        }
        case 4: {
            if (bytes.size() < 2 * page) return bytes.clear(), "emptied";
            const std::size_t one = below(random, bytes.size() / page), other = below(random, bytes.size() / page);
            std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(one * page),
                             bytes.begin() + static_cast<std::ptrdiff_t>((one + 1) * page),
                             bytes.begin() + static_cast<std::ptrdiff_t>(other * page));
            return fmt::format("pages {} and {} swapped", one, other);
        }
        case 5: {
            std::string more(1 + below(random, 2 * page), '\0');
            for (char& byte : more) byte = static_cast<char>(random());
            bytes += more;
            return fmt::format("{} bytes added", more.size());
        }
        default: {
            const std::size_t at = below(random, std::min<std::size_t>(bytes.size(), 100));
            bytes[at] = static_cast<char>(random());
            return fmt::format("byte {} of the header changed", at);
        }
    }
}

std::string spoil_rows(const std::string& file, std::mt19937& random)
{
    constexpr std::array<const char*, 9> columns{"key_json", "key_nofp", "symbol",    "blob_sha", "arch",
                                                 "family",   "created",  "last_used", "tc_id"};
    sqlite3* db = nullptr;
    if (sqlite3_open(file.c_str(), &db) != SQLITE_OK) throw std::runtime_error("cannot open " + file);
    const std::size_t one = below(random, 6), other = (one + 1 + below(random, 5)) % 6;
    const std::string blob = fmt::format("sha256 = (SELECT sha256 FROM code_blob ORDER BY sha256 LIMIT 1 OFFSET {})", one);
    std::string what, sql;
    switch (below(random, 7)) {
        case 0:
        case 1:
        case 2: {
            // Several columns at once come close to a row that is another's.
            const std::size_t first = below(random, columns.size()), count = 1 + below(random, 4);
            for (std::size_t i = 0; i < count; ++i) {
                const char* const column = columns[(first + i) % columns.size()];
                what += fmt::format("{} ", column);
                sql += exchange("code_object", column, one, other) + ';';
            }
            what += fmt::format("of rows {} and {} exchanged", one, other);
            break;
        }
        case 3:
            what = "bytes of two blobs exchanged";
            sql = exchange("code_blob", "data", one, other) + ';';
            if (below(random, 2) == 0)
                sql += exchange("code_blob", "raw_size", one, other) + ';' + exchange("code_blob", "codec", one, other);
            break;
        case 4:
            what = "a blob cut";
            sql = fmt::format("UPDATE code_blob SET data = substr(data, 1, {}) WHERE {}", below(random, 400), blob);
            break;
        case 5:
            what = "a blob's size or codec changed";
            sql = fmt::format("UPDATE code_blob SET {} = {} WHERE {}", below(random, 2) == 0 ? "raw_size" : "codec",
                              static_cast<std::int64_t>(random()) - 1000, blob);
            break;
        default:
            what = "a row without its blob, or a blob under another's name";
            sql = below(random, 2) == 0 ? "DELETE FROM code_blob WHERE " + blob
                                        : fmt::format("UPDATE code_blob SET sha256 = randomblob(32) WHERE {}", blob);
    }
    try {
        execute(db, "PRAGMA synchronous = OFF; BEGIN");
        execute(db, sql);
        execute(db, "COMMIT");
    } catch (...) {
        sqlite3_close(db);
        throw;
    }
    sqlite3_close(db);
    return what;
}

}  // namespace mhc::testing
