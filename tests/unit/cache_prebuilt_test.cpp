// tests/unit/cache_prebuilt_test.cpp -- databases that ship with a program: made alike, believed only as they were made.
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

std::vector<code_row> some_rows()
{
    std::vector<code_row> rows;
    for (int i = 1; i <= 20; ++i) rows.push_back(row(i, 1 + i % 3));
    rows[3].bytes = rows[4].bytes;
    rows[5].bytes = std::string(3000, 'z');
    return rows;
}

void make(const std::string& file, const std::vector<code_row>& rows = some_rows())
{
    std::string why;
    REQUIRE_MESSAGE(write_prebuilt_database(file, rows, &why), why);
}

std::string refusal(const std::string& file)
{
    std::string why;
    CHECK_FALSE(open_prebuilt_store(file, {}, &why));
    return why;
}

void spoil(const std::string& file, const std::string& sql)
{
    REQUIRE(chmod(file.c_str(), 0644) == 0);
    raw(file, sql);
}

}  // namespace

TEST_CASE("cache: equal rows give a prebuilt database of equal bytes")
{
    const temporary_directory dir;
    std::vector<code_row> rows = some_rows();
    make(dir / "a.db", rows);
    std::reverse(rows.begin(), rows.end());
    for (code_row& each : rows) each.created = each.last_used = each.uses = start, each.compile_ms = 77;
    make(dir / "b.db", rows);
    CHECK(contents(dir / "a.db") == contents(dir / "b.db"));
    CHECK(mode_of(dir / "a.db") == 0444);
    rows[0].symbol += 'x';
    make(dir / "b.db", rows);
    CHECK(contents(dir / "a.db") != contents(dir / "b.db"));
    CHECK(names_in(dir.path(), "").size() == 2);
}

TEST_CASE("cache: a prebuilt database serves its rows, and nothing is written to it or beside it")
{
    const temporary_directory dir;
    const std::string file = dir / "mhc_gfx90a:sramecc+:xnack-.db";
    make(file);
    const std::string before = contents(file);
    const auto store = open_prebuilt_store(file, {}, nullptr);
    REQUIRE(store);
    CHECK(store->path() == file);
    CHECK_FALSE(store->is_writable());
    for (const code_row& each : some_rows()) {
        const auto found = store->find(query(each));
        REQUIRE(found);
        CHECK(found->bytes == each.bytes);
        CHECK(found->symbol == each.symbol);
        CHECK(found->compiler.descr == each.compiler.descr);
        CHECK(found->created == 0);
    }
    CHECK(store->list().size() == 20);
    CHECK(store->damaged().empty());
    CHECK(store->count().objects == 20);
    CHECK(store->count().file_bytes == static_cast<std::int64_t>(before.size()));
    CHECK_FALSE(store->insert(row(99), false));
    CHECK(store->clear() == -1);
    CHECK(in_child([&] { return store->find(query(row(1, 2))) ? 0 : 1; }) == 0);
    CHECK(contents(file) == before);
    CHECK(names_in(dir.path(), "").size() == 1);
}

TEST_CASE("cache: a prebuilt row made by another compiler is found only where any will do")
{
    const temporary_directory dir;
    make(dir / "mhc_gfx942.db");
    const auto store = open_prebuilt_store(dir / "mhc_gfx942.db", {}, nullptr);
    const code_row wanted = row(1, 9);
    CHECK_FALSE(store->find(query(wanted, false)));
    const auto found = store->find(query(wanted, true));
    REQUIRE(found);
    CHECK(found->bytes == row(1, 2).bytes);
    CHECK(found->compiler.fingerprint == compiler(2).fingerprint);
    code_query other_text = query(wanted, true);
    other_text.key_nofp_json += ' ';
    CHECK_FALSE(store->find(other_text));
}

TEST_CASE("cache: a prebuilt database must be the one of its manifest")
{
    const temporary_directory dir;
    const std::string file = dir / "mhc_gfx942:xnack+.db", manifest = dir / "mhc_gfx942:xnack+.json";
    make(file);
    const std::string right = to_hex(sha256(contents(file)));
    overwrite(manifest, R"({"target": "gfx942:xnack+", "database_sha256": ")" + right + "\"}");
    REQUIRE(open_prebuilt_store(file, {}, nullptr));
    SUBCASE("another hash")
    {
        overwrite(manifest, R"({"database_sha256": ")" + std::string(64, '0') + "\"}");
        CHECK(refusal(file).find(right) != std::string::npos);
    }
    SUBCASE("another database")
    {
        spoil(file, "UPDATE code_object SET symbol = 'other'");
        CHECK(refusal(file).find("its manifest says " + right) != std::string::npos);
    }
    SUBCASE("no hash")
    {
        overwrite(manifest, R"({"target": "gfx942"})");
        CHECK(refusal(file).find("has no database_sha256") != std::string::npos);
    }
    SUBCASE("a hash that is no text")
    {
        overwrite(manifest, R"({"database_sha256": 1})");
        CHECK(refusal(file).find("has no database_sha256") != std::string::npos);
    }
    SUBCASE("no JSON")
    {
        overwrite(manifest, "");
        CHECK(refusal(file).find("has no database_sha256") != std::string::npos);
    }
    SUBCASE("a manifest that others may write")
    {
        REQUIRE(chmod(manifest.c_str(), 0666) == 0);
        CHECK(refusal(file).find("chmod go-w") != std::string::npos);
    }
}

TEST_CASE("cache: a prebuilt database that is not to be trusted is refused")
{
    const temporary_directory dir;
    const std::string file = dir / "mhc_gfx942.db";
    make(file);
    REQUIRE(open_prebuilt_store(file, {}, nullptr));
    REQUIRE(chmod(file.c_str(), 0644) == 0);
    SUBCASE("absent") { CHECK(refusal(dir / "mhc_gfx90a.db").find("is not there") != std::string::npos); }
    SUBCASE("empty")
    {
        overwrite(file, "");
        CHECK(refusal(file).find("is empty") != std::string::npos);
    }
    SUBCASE("garbage")
    {
        overwrite(file, noise(1, 9000));
        CHECK(refusal(file).find("is not a database") != std::string::npos);
    }
    SUBCASE("of another program")
    {
        raw(file, "PRAGMA application_id = 1");
        CHECK(refusal(file).find("of another program") != std::string::npos);
    }
    SUBCASE("of an older version")
    {
        raw(file, "PRAGMA user_version = 0");
        CHECK(refusal(file).find("has version 0") != std::string::npos);
    }
    SUBCASE("writable by others")
    {
        REQUIRE(chmod(file.c_str(), 0666) == 0);
        CHECK(refusal(file).find("chmod go-w") != std::string::npos);
    }
    SUBCASE("in a directory writable by others")
    {
        REQUIRE(chmod(dir.path().c_str(), 0777) == 0);
        CHECK(refusal(file).find("chmod go-w") != std::string::npos);
    }
    SUBCASE("behind a link")
    {
        REQUIRE(symlink(file.c_str(), (dir / "link.db").c_str()) == 0);
        CHECK(refusal(dir / "link.db").find("is a symbolic link") != std::string::npos);
    }
}

TEST_CASE("cache: a prebuilt row that is damaged or set aside is skipped by this process, and stays where it is")
{
    const temporary_directory dir;
    const std::string file = dir / "mhc_gfx942.db";
    make(file);
    spoil(file,
          "UPDATE code_blob SET data = zeroblob(length(data)) WHERE sha256 ="
          " (SELECT blob_sha FROM code_object WHERE hidden_dim = 1)");
    const std::string before = contents(file);
    log_recorder log;
    const auto store = open_prebuilt_store(file, log.sink(), nullptr);
    REQUIRE(store);
    const code_row bad = row(1, 2), good = row(2, 3);
    CHECK_FALSE(store->find(query(bad)));
    CHECK_FALSE(store->find(query(bad, true)));
    CHECK(log.warnings() == 1);
    CHECK(store->damaged().size() == 1);
    REQUIRE(store->find(query(good)));
    store->set_aside(good.key, "the loader refused it");
    CHECK_FALSE(store->find(query(good)));
    CHECK_FALSE(store->find(query(row(2, 9), true)));
    CHECK(log.warnings() == 2);
    CHECK(contents(file) == before);
    CHECK(open_prebuilt_store(file, {}, nullptr)->find(query(good)));
}

TEST_CASE("cache: a prebuilt database may lie behind any name")
{
    const temporary_directory dir;
    const std::string odd = dir / "50% of? what#";
    REQUIRE(mkdir(odd.c_str(), 0700) == 0);
    make(odd + "/mhc_host:x86-64-v3.db");
    const auto store = open_prebuilt_store(odd + "/mhc_host:x86-64-v3.db", {}, nullptr);
    REQUIRE(store);
    CHECK(store->find(query(row(1, 2))));
}

TEST_CASE("cache: a prebuilt database that cannot be written says why and leaves nothing behind")
{
    const temporary_directory dir;
    std::string why;
    CHECK_FALSE(write_prebuilt_database(dir / "absent/mhc_gfx942.db", some_rows(), &why));
    CHECK_FALSE(why.empty());
    REQUIRE(mkdir((dir / "mhc_gfx942.db").c_str(), 0700) == 0);
    why.clear();
    CHECK_FALSE(write_prebuilt_database(dir / "mhc_gfx942.db", some_rows(), &why));
    CHECK(why.find("cannot put in place") != std::string::npos);
    CHECK(names_in(dir.path(), "").size() == 1);
}
