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
    SUBCASE("behind a link that leads nowhere")
    {
        REQUIRE(symlink((dir / "gone.db").c_str(), (dir / "link.db").c_str()) == 0);
        CHECK(refusal(dir / "link.db").find("gone.db is not there") != std::string::npos);
    }
    SUBCASE("behind links without an end")
    {
        REQUIRE(symlink("link.db", (dir / "link.db").c_str()) == 0);
        CHECK(refusal(dir / "link.db").find("too long a chain") != std::string::npos);
    }
    SUBCASE("writable by others, behind a link")
    {
        REQUIRE(chmod(file.c_str(), 0666) == 0);
        REQUIRE(symlink(file.c_str(), (dir / "link.db").c_str()) == 0);
        CHECK(refusal(dir / "link.db").find("chmod go-w") != std::string::npos);
    }
    SUBCASE("behind a link whose next one lies in a directory writable by others")
    {
        const std::string open_to_all = dir / "open";
        REQUIRE(mkdir(open_to_all.c_str(), 0700) == 0);
        REQUIRE(symlink(file.c_str(), (open_to_all + "/next.db").c_str()) == 0);
        REQUIRE(symlink("open/next.db", (dir / "link.db").c_str()) == 0);
        REQUIRE(open_prebuilt_store(dir / "link.db", {}, nullptr));
        REQUIRE(chmod(open_to_all.c_str(), 0777) == 0);
        CHECK(refusal(dir / "link.db").find("chmod go-w") != std::string::npos);
    }
    SUBCASE("behind a link of another user")
    {
        if (geteuid() != 0) return;  // only root can make one
        REQUIRE(symlink(file.c_str(), (dir / "link.db").c_str()) == 0);
        REQUIRE(lchown((dir / "link.db").c_str(), 65533, 65533) == 0);
        CHECK(refusal(dir / "link.db").find("symbolic link that belongs to uid 65533") != std::string::npos);
    }
}

TEST_CASE("cache: a prebuilt database may be linked from where it is looked for, alone or with its manifest")
{
    const temporary_directory store, dir;
    make(store / "mhc_gfx942.db");
    overwrite(store / "mhc_gfx942.json",
              "{\"database_sha256\": \"" + to_hex(sha256(contents(store / "mhc_gfx942.db"))) + "\"}");
    REQUIRE(symlink((store / "mhc_gfx942.db").c_str(), (dir / "mhc_gfx942.db").c_str()) == 0);
    std::string why;
    const auto opened = open_prebuilt_store(dir / "mhc_gfx942.db", {}, &why);
    REQUIRE_MESSAGE(opened, why);
    CHECK(opened->path() == store / "mhc_gfx942.db");
    CHECK(opened->find(query(row(1, 2))));
    // The manifest beside the database counts though nothing links it, and one that is beside the link counts first.
    overwrite(store / "mhc_gfx942.json", "{}");
    CHECK(refusal(dir / "mhc_gfx942.db").find("no database_sha256") != std::string::npos);
    overwrite(dir / "mhc_gfx942.json",
              "{\"database_sha256\": \"" + to_hex(sha256(contents(store / "mhc_gfx942.db"))) + "\"}");
    CHECK(open_prebuilt_store(dir / "mhc_gfx942.db", {}, nullptr));
}

TEST_CASE("cache: a database in this program's memory serves its rows")
{
    const temporary_directory dir;
    make(dir / "mhc_gfx942.db");
    const std::string bytes = contents(dir / "mhc_gfx942.db");
    std::string why;
    const auto store = open_embedded_store("mhc_gfx942.db", bytes, {}, &why);
    REQUIRE_MESSAGE(store, why);
    CHECK(store->path() == "mhc_gfx942.db");
    for (const code_row& each : some_rows()) CHECK(found_bytes(*store, query(each)) == each.bytes);
    CHECK(store->list().size() == 20);
    CHECK(store->count().file_bytes == static_cast<std::int64_t>(bytes.size()));
    CHECK(in_child([&] { return store->find(query(row(1, 2))) ? 0 : 1; }) == 0);
    CHECK(bytes == contents(dir / "mhc_gfx942.db"));

    std::string spoiled = bytes;
    for (std::size_t at = 100; at < spoiled.size(); at += 64) spoiled[at] = static_cast<char>(spoiled[at] + 1);
    if (const auto broken = open_embedded_store("spoiled", spoiled, {}, &why))
        for (const code_row& each : some_rows()) {
            const std::string found = found_bytes(*broken, query(each));
            CHECK((found == "absent" || found == each.bytes));
        }
    CHECK_FALSE(open_embedded_store("noise", noise(1, 9000), {}, &why));
    CHECK(why == "noise is not a database");
    CHECK_FALSE(open_embedded_store("nothing", "", {}, &why));
    CHECK(why == "nothing is empty");
}

TEST_CASE("cache: the nearest rows are of the family, and of the shape before others")
{
    const temporary_directory dir;
    std::vector<code_row> rows = some_rows();
    rows[7].family = "pre_fwd";
    make(dir / "mhc_gfx942.db", rows);
    const auto store = open_prebuilt_store(dir / "mhc_gfx942.db", {}, nullptr);
    REQUIRE(store);
    const std::vector<code_row> near = store->nearest(row(15, 9));
    REQUIRE(near.size() == 16);
    CHECK(near.front().key == rows[14].key);
    CHECK(near.front().key_json == rows[14].key_json);
    CHECK(near.front().symbol == rows[14].symbol);
    for (const code_row& each : near) CHECK(each.key != rows[7].key);
    code_row other = row(15);
    other.family = "none";
    CHECK(store->nearest(other).empty());
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
