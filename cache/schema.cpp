// cache/schema.cpp -- the tables, as text.
#include "cache/schema.hpp"

namespace mhc::cache {
namespace {

constexpr const char* tables = R"(
PRAGMA application_id = 0x6D484331;
PRAGMA user_version = 1;
CREATE TABLE meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE toolchain(
  tc_id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL UNIQUE CHECK(length(fingerprint)=32),
  descr TEXT NOT NULL,                       -- JSON: backend, version, files with build-ids
  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL) STRICT;
CREATE TABLE code_blob(                      -- content addressed: identical objects stored once
  sha256 BLOB PRIMARY KEY NOT NULL CHECK(length(sha256)=32), codec INTEGER NOT NULL,      -- 0 raw, 1 zstd
  raw_size INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE TABLE code_object(
  key BLOB PRIMARY KEY CHECK(length(key)=32), key_json TEXT NOT NULL,                     -- full clear-text key
  key_nofp BLOB NOT NULL CHECK(length(key_nofp)=32),                                      -- same hash without the toolchain
  family TEXT NOT NULL, arch TEXT NOT NULL, hidden_dim INTEGER NOT NULL, n_streams INTEGER NOT NULL, dtype TEXT NOT NULL,
  tc_id INTEGER NOT NULL REFERENCES toolchain,
  blob_sha BLOB NOT NULL REFERENCES code_blob(sha256), symbol TEXT NOT NULL,
  vgpr INTEGER, agpr INTEGER, sgpr INTEGER, lds INTEGER, scratch INTEGER, max_wg INTEGER, wave INTEGER,
  compile_ms INTEGER NOT NULL, created INTEGER NOT NULL, last_used INTEGER NOT NULL,
  uses INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID, STRICT;
CREATE INDEX co_nofp ON code_object(key_nofp);
CREATE INDEX co_lru  ON code_object(pinned, last_used);
CREATE INDEX co_shape ON code_object(arch, hidden_dim, n_streams, family);
CREATE INDEX co_blob ON code_object(blob_sha);
CREATE TABLE toolchain_file(                 -- a compiler's file as last seen; two compilers may share one
  path TEXT NOT NULL, dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  tc_id INTEGER NOT NULL REFERENCES toolchain,
  PRIMARY KEY(path, dev, ino, size, mtime_ns, tc_id)) WITHOUT ROWID, STRICT;
CREATE TABLE compile_failure(                -- transient kinds (timeout, signal, out of memory) expire fast
  key BLOB PRIMARY KEY, kind INTEGER NOT NULL, log TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE event(id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, detail TEXT) STRICT;    -- ring of 1000
INSERT INTO meta VALUES('created_by', 'mhc-jit');
)";

constexpr const char* columns[] = {
    "SELECT tc_id, fingerprint, descr, first_seen, last_seen FROM toolchain",
    "SELECT sha256, codec, raw_size, data FROM code_blob",
    "SELECT key, key_json, key_nofp, family, arch, hidden_dim, n_streams, dtype, tc_id, blob_sha, symbol, vgpr, agpr, sgpr, "
    "lds, scratch, max_wg, wave, compile_ms, created, last_used, uses, pinned FROM code_object",
    "SELECT path, dev, ino, size, mtime_ns, tc_id FROM toolchain_file",
    "SELECT key, kind, log, at, expires FROM compile_failure",
};

std::uint32_t big_endian(const std::string& bytes, std::size_t at)
{
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
}

}  // namespace

file_identity identify(const std::string& header)
{
    // Offsets of https://www.sqlite.org/fileformat2.html, section 1.3.
    using namespace std::string_view_literals;
    if (header.empty()) return {file_identity::kind::empty, 0};
    if (header.size() < 100 || header.compare(0, 16, "SQLite format 3\0"sv) != 0)
        return {file_identity::kind::not_a_database, 0};
    if (big_endian(header, 68) != application_id) return {file_identity::kind::foreign, 0};
    return {file_identity::kind::ours, static_cast<std::int32_t>(big_endian(header, 60))};
}

void create_schema(sqlite::connection& db)
{
    // Takes effect only before the first table, and not inside a transaction.
    db.execute("PRAGMA auto_vacuum = INCREMENTAL");
    sqlite::transaction writing(db);
    db.execute(tables);
    writing.commit();
}

bool columns_fit(sqlite::connection& db)
{
    try {
        for (const char* sql : columns) sqlite::statement probe(db, sql);
        return true;
    } catch (const sqlite::error& e) {
        // What is wrong with the file or its locks is no answer to the question.
        if (e.kind() != sqlite::fault::other) throw;
        return false;
    }
}

bool is_whole(sqlite::connection& db)
{
    sqlite::statement s(db, "PRAGMA integrity_check(1)");
    return s.step() && s.text(0) == "ok";
}

bool is_copy(sqlite::connection& db, std::uint64_t inode)
{
    sqlite::statement s(db, "SELECT v FROM meta WHERE k = 'inode'");
    return !s.step() || s.text(0) != std::to_string(inode);
}

void note_file(sqlite::connection& db, std::uint64_t inode)
{
    sqlite::run(db, "INSERT INTO meta VALUES('inode', ?1) ON CONFLICT(k) DO UPDATE SET v = ?1", std::to_string(inode));
}

std::int64_t bytes_in_pages(sqlite::connection& db)
{
    return db.integer("PRAGMA page_count") * db.integer("PRAGMA page_size");
}

void record_event(sqlite::connection& db, std::int64_t now, const char* kind, const std::string& detail)
{
    sqlite::run(db, "INSERT INTO event(at, kind, detail) VALUES(?1, ?2, ?3)", now, std::string_view(kind), detail);
    sqlite::run(db, "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - 1000");
}

std::vector<code_store::event> read_events(sqlite::connection& db)
{
    std::vector<code_store::event> events;
    for (sqlite::statement s(db, "SELECT at, kind, detail FROM event ORDER BY id"); s.step();)
        events.push_back({s.integer(0), s.text(1), s.text(2)});
    return events;
}

}  // namespace mhc::cache
