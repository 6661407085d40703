// tests/unit/cache_recovery_test.cpp -- databases that are empty, damaged, of another program or of another version.
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

/// Works as a new database does.
void check_usable(const std::string& dir)
{
    const auto store = open_store(dir);
    REQUIRE(store);
    CHECK(store->insert(row(50), false));
    CHECK(found_bytes(*store, query(row(50))) == row(50).bytes);
}

}  // namespace

TEST_CASE("cache: an empty file is an empty database")
{
    const temporary_directory dir;
    overwrite(dir / "mhc_user.db", "");
    user_store_options options{dir.path(), true, 0, {}};
    CHECK_FALSE(open_user_store(options, nullptr));
    CHECK(std::filesystem::file_size(dir / "mhc_user.db") == 0);
    check_usable(dir.path());
    CHECK(names_in(dir.path(), "mhc_user.db.corrupt").empty());
}

TEST_CASE("cache: a file that is no database is set aside whole, and the two newest such are kept")
{
    const temporary_directory dir;
    std::int64_t now = start;
    const std::string path = dir / "mhc_user.db";
    for (int i = 1; i <= 3; ++i, ++now) {
        for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path + suffix);
        const std::string garbage = noise(static_cast<unsigned>(i), 5000);
        overwrite(path, garbage);
        log_recorder log;
        const auto store = open_store(dir.path(), &log, &now);
        REQUIRE(store);
        CHECK(store->count().objects == 0);
        CHECK(log.warnings() == 1);
        const std::string aside = fmt::format("{}.corrupt-{}-{}", path, now, getpid());
        CHECK(contents(aside) == garbage);
    }
    const auto kept = names_in(dir.path(), "mhc_user.db.corrupt");
    REQUIRE(kept.size() == 2);
    CHECK(kept[0] == fmt::format("mhc_user.db.corrupt-{}-{}", start + 1, getpid()));
    CHECK(kept[1] == fmt::format("mhc_user.db.corrupt-{}-{}", start + 2, getpid()));
    check_usable(dir.path());
}

TEST_CASE("cache: a file that is no database is left alone by who may not write")
{
    const temporary_directory dir;
    overwrite(dir / "mhc_user.db", "garbage");
    std::string why;
    CHECK_FALSE(open_user_store({dir.path(), true, 0, {}}, &why));
    CHECK(why.find("is not a database") != std::string::npos);
    CHECK(contents(dir / "mhc_user.db") == "garbage");
}

TEST_CASE("cache: a database cut short is set aside")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    for (int i = 0; i < 20; ++i) REQUIRE(open_store(dir.path())->insert(row(i), false));
    const auto size = std::filesystem::file_size(path);
    std::uintmax_t left = 0;
    SUBCASE("within its header") { left = 50; }
    SUBCASE("after its first page") { left = 4096; }
    SUBCASE("by half") { left = size / 2 + 1; }
    SUBCASE("by one page") { left = size - 4096; }
    std::filesystem::resize_file(path, left);
    log_recorder log;
    {
        const auto store = open_store(dir.path(), &log);
        REQUIRE(store);
        CHECK_FALSE(store->find(query(row(1))));
        CHECK(store->count().objects == 0);
    }
    CHECK(log.warnings() == 1);
    CHECK(names_in(dir.path(), "mhc_user.db.corrupt").size() == 1);
    check_usable(dir.path());
}

TEST_CASE("cache: a database that turns out to be damaged while in use is set aside, and the store goes on")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    for (int i = 0; i < 20; ++i) REQUIRE(open_store(dir.path())->insert(row(i), false));
    log_recorder log;
    const auto store = open_store(dir.path(), &log);
    REQUIRE(store->find(query(row(1))));
    // Another process's commit makes this one forget the pages it holds.
    raw(path, "INSERT INTO meta VALUES('test', ''); PRAGMA wal_checkpoint(TRUNCATE)");
    {
        std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
        const auto size = static_cast<std::size_t>(std::filesystem::file_size(path));
        file.seekp(4096);
        file << noise(1, size - 4096);
    }
    SUBCASE("by a lookup")
    {
        CHECK_FALSE(store->find(query(row(2))));
        CHECK(store->insert(row(2), false));
    }
    SUBCASE("by a write") { CHECK(store->insert(row(2), false)); }
    CHECK(found_bytes(*store, query(row(2))) == row(2).bytes);
    CHECK(store->count().objects == 1);
    CHECK(names_in(dir.path(), "mhc_user.db.corrupt").size() == 1);
    CHECK(log.warnings() == 2);
}

TEST_CASE("cache: a log left beside a database that was set aside is not played into the next one")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    const int result = in_child([&] {
        const auto store = open_store(dir.path());
        if (!store || !store->insert(row(1), false)) return 1;
        _exit(0);
    });
    REQUIRE(result == 0);
    REQUIRE(std::filesystem::file_size(path + "-wal") > 0);
    overwrite(path, noise(1, 20'000));
    const auto store = open_store(dir.path());
    REQUIRE(store);
    CHECK(store->count().objects == 0);
    CHECK(store->insert(row(2), false));
    CHECK(store->damaged().empty());
    CHECK(names_in(dir.path(), "mhc_user.db.corrupt").size() == 2);
}

TEST_CASE("cache: a database of another program is refused and not touched")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    std::string why;
    SUBCASE("of none in particular") { raw(path, "CREATE TABLE t(x); INSERT INTO t VALUES(1)"); }
    SUBCASE("with an id of its own") { raw(path, "PRAGMA application_id = 42; CREATE TABLE t(x)"); }
    SUBCASE("with a log") { raw(path, "PRAGMA journal_mode = WAL; CREATE TABLE t(x)"); }
    REQUIRE(chmod(path.c_str(), 0600) == 0);
    const std::string before = contents(path);
    CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
    CHECK(why.find("of another program") != std::string::npos);
    CHECK(contents(path) == before);
    CHECK(names_in(dir.path(), "").size() == 1);
}

TEST_CASE("cache: a database of a newer version is read if its columns are there, and never written")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    SUBCASE("they are")
    {
        raw(path, "ALTER TABLE code_object ADD COLUMN more INTEGER; PRAGMA user_version = 2");
        const std::string before = contents(path);
        {
            const auto store = open_store(dir.path());
            REQUIRE(store);
            CHECK_FALSE(store->is_writable());
            CHECK(found_bytes(*store, query(row(1))) == row(1).bytes);
            CHECK_FALSE(store->insert(row(2), false));
            CHECK(store->clear() == -1);
        }
        CHECK(contents(path) == before);
    }
    SUBCASE("one is not")
    {
        raw(path, "ALTER TABLE code_object RENAME COLUMN symbol TO entry; PRAGMA user_version = 2");
        const std::string before = contents(path);
        std::string why;
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("lacks columns") != std::string::npos);
        CHECK(contents(path) == before);
    }
}

TEST_CASE("cache: a database of an older version is renamed, and a new one made")
{
    const temporary_directory dir;
    const std::string path = dir / "mhc_user.db";
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    raw(path, "PRAGMA user_version = 0");
    CHECK_FALSE(open_user_store({dir.path(), true, 0, {}}, nullptr));
    const std::string before = contents(path);
    {
        const auto store = open_store(dir.path());
        REQUIRE(store);
        CHECK(store->count().objects == 0);
    }
    CHECK(contents(dir / "mhc_user.v0.db") == before);
    CHECK(raw(dir / "mhc_user.v0.db", "SELECT count(*) FROM code_object") == 1);
    check_usable(dir.path());
}

TEST_CASE("cache: a database of this version without its tables is set aside")
{
    const temporary_directory dir;
    REQUIRE(open_store(dir.path()));
    raw(dir / "mhc_user.db", "DROP TABLE event; DROP TABLE compile_failure");
    check_usable(dir.path());
    CHECK(names_in(dir.path(), "mhc_user.db.corrupt").size() == 1);
}

TEST_CASE("cache: the schema says what it is for")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    CHECK(raw(store->path(), "PRAGMA application_id") == 0x6D484331);
    CHECK(raw(store->path(), "PRAGMA user_version") == 1);
    CHECK(raw(store->path(), "PRAGMA auto_vacuum") == 2);
    CHECK(raw(store->path(), "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'") == 1);
    CHECK(raw(store->path(), "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND strict = 1") == 7);
}
