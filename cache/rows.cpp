// cache/rows.cpp -- the statements over code_object, code_blob and toolchain.
#include "cache/rows.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cache/blob_codec.hpp"

namespace mhc::cache {
namespace {

using sqlite::run;
using sqlite::statement;

// The columns before the blob are those of `list_sql`, so that one function reads both.
constexpr const char* row_sql =
    "SELECT o.key, o.key_nofp, o.key_json, o.family, o.arch, o.hidden_dim, o.n_streams, o.dtype, o.symbol, o.vgpr, o.agpr,"
    " o.sgpr, o.lds, o.scratch, o.max_wg, o.wave, o.compile_ms, o.created, o.last_used, o.uses, o.pinned, t.fingerprint,"
    " t.descr, o.blob_sha, b.codec, b.raw_size, b.data"
    " FROM code_object o LEFT JOIN toolchain t ON t.tc_id = o.tc_id LEFT JOIN code_blob b ON b.sha256 = o.blob_sha"
    " WHERE o.key = ?1";

constexpr const char* list_sql =
    "SELECT o.key, o.key_nofp, o.key_json, o.family, o.arch, o.hidden_dim, o.n_streams, o.dtype, o.symbol, o.vgpr, o.agpr,"
    " o.sgpr, o.lds, o.scratch, o.max_wg, o.wave, o.compile_ms, o.created, o.last_used, o.uses, o.pinned, t.fingerprint,"
    " t.descr, o.blob_sha, b.codec, b.raw_size"
    " FROM code_object o LEFT JOIN toolchain t ON t.tc_id = o.tc_id LEFT JOIN code_blob b ON b.sha256 = o.blob_sha"
    " ORDER BY o.arch, o.family, o.hidden_dim, o.n_streams, o.dtype, o.key";

constexpr const char* put_sql =
    "INSERT INTO code_object(key, key_json, key_nofp, family, arch, hidden_dim, n_streams, dtype, tc_id, blob_sha, symbol,"
    " vgpr, agpr, sgpr, lds, scratch, max_wg, wave, compile_ms, created, last_used, uses, pinned)"
    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?20, 0, ?21)"
    " ON CONFLICT(key) DO NOTHING";

code_row read_row(const statement& s)
{
    code_row row;
    row.key = s.hash(0);
    row.key_nofp = s.hash(1);
    row.key_json = s.text(2);
    row.family = s.text(3);
    row.target = s.text(4);
    row.hidden_dim = s.integer(5);
    row.n_streams = static_cast<std::int32_t>(s.integer(6));
    row.dtype = s.text(7);
    row.symbol = s.text(8);
    row.vgpr = s.integer(9);
    row.agpr = s.integer(10);
    row.sgpr = s.integer(11);
    row.lds = s.integer(12);
    row.scratch = s.integer(13);
    row.max_wg = s.integer(14);
    row.wave = s.integer(15);
    row.compile_ms = s.integer(16);
    row.created = s.integer(17);
    row.last_used = s.integer(18);
    row.uses = s.integer(19);
    row.pinned = s.integer(20) != 0;
    row.compiler = {s.hash(21), s.text(22)};
    row.byte_count = s.integer(25);
    return row;
}

/// Fills row.bytes from the blob's columns; says what is wrong with them, or nothing.
std::string read_bytes(const statement& s, code_row& row)
{
    if (s.is_null(24)) return "its blob is missing";
    auto bytes = unpack(s.integer(24), s.integer(25), s.bytes(26));
    if (!bytes) return "its blob cannot be unpacked";
    if (sha256(*bytes) != s.hash(23)) return "its blob does not match its SHA-256";
    row.bytes = *std::move(bytes);
    return {};
}

/// True when the search is over: the row is found.
bool try_row(sqlite::connection& db, const digest& key, const code_query& query, bool is_exact, lookup& result)
{
    statement s(db, row_sql, key);
    if (!s.step()) return false;
    code_row row = read_row(s);
    const bool has_text =
        is_exact ? row.key_json == query.key_json : is_text_without_toolchain(row.key_json, query.key_nofp_json);
    if (!has_text) {
        result.bad.push_back({key, "collision_or_tamper", "its clear-text key is another one",
                              is_exact ? bad_row::remedy::remove_row : bad_row::remedy::none});
        return false;
    }
    if (std::string damage = read_bytes(s, row); !damage.empty()) {
        result.bad.push_back({key, "quarantine", std::move(damage), bad_row::remedy::remove_bytes});
        return false;
    }
    result.found = std::move(row);
    return true;
}

}  // namespace

bool is_text_without_toolchain(const std::string& key_json, const std::string& wanted)
{
    auto fields = nlohmann::json::parse(key_json, nullptr, false);
    if (!fields.is_object()) return false;
    fields.erase("toolchain");
    return fields.dump() == wanted;
}

std::int64_t put_toolchain(sqlite::connection& db, const toolchain& compiler, std::int64_t now)
{
    run(db,
        "INSERT INTO toolchain(fingerprint, descr, first_seen, last_seen) VALUES(?1, ?2, ?3, ?3)"
        " ON CONFLICT(fingerprint) DO UPDATE SET last_seen = excluded.last_seen",
        compiler.fingerprint, compiler.descr, now);
    statement s(db, "SELECT tc_id FROM toolchain WHERE fingerprint = ?1", compiler.fingerprint);
    s.step();
    return s.integer(0);
}

bool put_row(sqlite::connection& db, const code_row& row, std::int64_t now)
{
    const std::int64_t tc_id = put_toolchain(db, row.compiler, now);
    const digest sha = sha256(row.bytes);
    const packed_blob packed = pack(row.bytes);
    // A blob that is there already is written again: should it be damaged, this mends it.
    run(db,
        "INSERT INTO code_blob(sha256, codec, raw_size, data) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(sha256)"
        " DO UPDATE SET codec = excluded.codec, raw_size = excluded.raw_size, data = excluded.data",
        sha, static_cast<int>(packed.codec), static_cast<std::int64_t>(row.bytes.size()), sqlite::blob{packed.data});
    const std::int64_t added = run(db, put_sql, row.key, row.key_json, row.key_nofp, row.family, row.target, row.hidden_dim,
                                   row.n_streams, row.dtype, tc_id, sha, row.symbol, row.vgpr, row.agpr, row.sgpr, row.lds,
                                   row.scratch, row.max_wg, row.wave, row.compile_ms, now, row.pinned);
    if (added == 0) {
        run(db, "DELETE FROM code_blob WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM code_object WHERE blob_sha = ?1)",
            sha);
    }
    return added != 0;
}

lookup look_up(sqlite::connection& db, const code_query& query, const std::set<digest>& skipped)
{
    lookup result;
    if (skipped.count(query.key) == 0 && try_row(db, query.key, query, true, result)) return result;
    if (!query.any_toolchain) return result;
    std::vector<digest> keys;
    for (statement s(db, "SELECT key FROM code_object WHERE key_nofp = ?1 ORDER BY created DESC, key", query.key_nofp);
         s.step();)
        keys.push_back(s.hash(0));
    for (const digest& key : keys) {
        if (key == query.key || skipped.count(key) != 0) continue;
        if (try_row(db, key, query, false, result)) break;
    }
    return result;
}

std::vector<code_row> list_rows(sqlite::connection& db)
{
    std::vector<code_row> rows;
    for (statement s(db, list_sql); s.step();) rows.push_back(read_row(s));
    return rows;
}

std::vector<code_row> nearest_rows(sqlite::connection& db, const code_row& like)
{
    std::vector<code_row> rows;
    statement s(db,
                "SELECT key, key_json, symbol FROM code_object WHERE family = ?1 ORDER BY (arch = ?2) + (hidden_dim = ?3)"
                " + (n_streams = ?4) + (dtype = ?5) DESC, created DESC, key LIMIT 16",
                like.family, like.target, like.hidden_dim, like.n_streams, like.dtype);
    while (s.step()) {
        code_row& row = rows.emplace_back();
        row.key = s.hash(0);
        row.key_json = s.text(1);
        row.symbol = s.text(2);
    }
    return rows;
}

std::vector<std::string> damaged_rows(sqlite::connection& db)
{
    std::vector<digest> keys;
    for (statement s(db, "SELECT key FROM code_object ORDER BY key"); s.step();) keys.push_back(s.hash(0));
    std::vector<std::string> lines;
    for (const digest& key : keys) {
        statement s(db, row_sql, key);
        if (!s.step()) continue;
        code_row row;
        if (const std::string damage = read_bytes(s, row); !damage.empty())
            lines.push_back(fmt::format("{}: {}", to_hex(key), damage));
    }
    return lines;
}

std::int64_t remove_row(sqlite::connection& db, const digest& key)
{
    digest sha{};
    std::int64_t size = 0;
    {
        statement s(db,
                    "SELECT o.blob_sha, length(b.data) FROM code_object o LEFT JOIN code_blob b ON b.sha256 = o.blob_sha"
                    " WHERE o.key = ?1",
                    key);
        if (!s.step()) return 0;
        sha = s.hash(0);
        size = s.integer(1);
    }
    run(db, "DELETE FROM code_object WHERE key = ?1", key);
    const std::int64_t freed = run(
        db, "DELETE FROM code_blob WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM code_object WHERE blob_sha = ?1)", sha);
    return freed != 0 ? size : 0;
}

void remove_row_and_bytes(sqlite::connection& db, const digest& key)
{
    digest sha{};
    {
        statement s(db, "SELECT blob_sha FROM code_object WHERE key = ?1", key);
        if (!s.step()) return;
        sha = s.hash(0);
    }
    run(db, "DELETE FROM code_object WHERE blob_sha = ?1", sha);
    run(db, "DELETE FROM code_blob WHERE sha256 = ?1", sha);
}

std::int64_t stored_bytes(sqlite::connection& db)
{
    return db.integer("SELECT coalesce(sum(length(data)), 0) FROM code_blob");
}

code_store::counts count_rows(sqlite::connection& db, std::int64_t now)
{
    code_store::counts counts;
    counts.objects = db.integer("SELECT count(*) FROM code_object");
    counts.object_bytes = stored_bytes(db);
    statement failures(db, "SELECT count(*) FROM compile_failure WHERE expires > ?1", now);
    if (failures.step()) counts.failures = failures.integer(0);
    return counts;
}

}  // namespace mhc::cache
