// cache/database_bytes.cpp -- databases that are never a file.
#include "cache/database_bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cache/rows.hpp"
#include "cache/schema.hpp"

namespace mhc::cache {
namespace {

constexpr std::string_view name = "mhc-jit objects ";
constexpr std::string_view version = "1\n";
constexpr std::size_t head_bytes = name.size() + version.size() + 32;

/// The database inside, or what is wrong with the bytes around it.
std::string_view database_in(std::string_view bytes, std::string* why)
{
    if (!bytes.starts_with(name)) return *why = "they are not what export_cache gave", std::string_view();
    const std::string_view after = bytes.substr(name.size());
    if (!after.starts_with(version)) {
        const std::size_t end = std::min({after.find('\n'), after.size(), std::size_t{20}});
        // Only digits are repeated: the rest may be anything.
        const std::string_view number = after.substr(0, after.find_first_not_of("0123456789"));
        *why = number.empty() || number.size() != end ? std::string("their version cannot be read")
                                                      : fmt::format("they have version {}; this library reads 1", number);
        return {};
    }
    if (bytes.size() <= head_bytes) return *why = "they are cut short", std::string_view();
    const std::string_view rest = bytes.substr(head_bytes);
    const digest is = sha256(rest);
    const std::string_view wanted = bytes.substr(name.size() + version.size(), is.size());
    if (!std::equal(is.begin(), is.end(), wanted.begin(),
                    [](unsigned char a, char b) { return a == static_cast<unsigned char>(b); }))
        return *why = "they are cut short or damaged: the SHA-256 does not match", std::string_view();
    return rest;
}

}  // namespace

sqlite::connection database_in_memory(const std::vector<code_row>& rows)
{
    std::vector<const code_row*> sorted;
    for (const code_row& row : rows) sorted.push_back(&row);
    std::sort(sorted.begin(), sorted.end(), [](const code_row* a, const code_row* b) {
        return std::tie(a->key, a->key_json, a->bytes) < std::tie(b->key, b->key_json, b->bytes);
    });
    sqlite::connection db = sqlite::connection::in_memory();
    create_schema(db);
    sqlite::transaction writing(db);
    for (const code_row* row : sorted) {
        code_row lasting = *row;
        lasting.compile_ms = 0;  // a fact about the machine that compiled
        put_row(db, lasting, 0);
    }
    writing.commit();
    return db;
}

std::string bytes_of_rows(const std::vector<code_row>& rows, std::string* why)
{
    try {
        const std::string database = database_in_memory(rows).to_bytes();
        const digest sha = sha256(database);
        std::string bytes(name);
        bytes += version;
        bytes.append(reinterpret_cast<const char*>(sha.data()), sha.size());
        return bytes += database;
    } catch (const std::exception& e) {
        return *why = e.what(), std::string();
    }
}

bool read_rows(std::string_view bytes, const std::function<void(code_row&&)>& take,
               const std::function<void(const digest&, const std::string&)>& refuse, std::string* why)
{
    const std::string_view database = database_in(bytes, why);
    if (database.empty()) return false;
    try {
        const file_identity identity = identify(std::string(database.substr(0, 100)));
        if (identity.is != file_identity::kind::ours) return *why = "they hold no database of this library", false;
        sqlite::connection db = sqlite::connection::over(database);
        db.execute("PRAGMA cell_size_check = ON");
        if (identity.version != schema_version || !columns_fit(db))
            return *why =
                       fmt::format("their database has version {}; this library reads {}", identity.version, schema_version),
                   false;
        if (!is_whole(db)) return *why = "their database fails its integrity check", false;
        for (const code_row& listed : list_rows(db)) {
            lookup found = look_up(db, {listed.key, listed.key_nofp, listed.key_json, {}, false}, {});
            if (found.found)
                take(std::move(*found.found));
            else
                refuse(listed.key, found.bad.empty() ? "it cannot be read" : found.bad.front().why);
        }
        return true;
    } catch (const std::exception& e) {
        return *why = e.what(), false;
    }
}

}  // namespace mhc::cache
