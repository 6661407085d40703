// tests/unit/cache_counts_test.cpp -- what a store counts, what it notes in the database, and uses that are written late.
#include "cache/key_lock.hpp"
#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

std::int64_t last_used(const std::string& dir) { return raw(dir + "/mhc_user.db", "SELECT last_used FROM code_object"); }

}  // namespace

TEST_CASE("cache: a store counts its writes, bad rows, faults and evictions")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    CHECK(store->counted().writes == 0);
    REQUIRE(store->insert(row(1), false));
    REQUIRE(store->insert(row(2), false));
    CHECK(store->counted().writes == 2);
    REQUIRE(store->find(query(row(1))));
    CHECK(store->counted().writes == 2);
    raw(store->path(), "UPDATE code_object SET key_json = 'other' WHERE hidden_dim = 1");
    CHECK_FALSE(store->find(query(row(1))));
    const code_store::tally counted = store->counted();
    CHECK(counted.bad_rows == 1);
    CHECK(counted.writes == 3);
    CHECK(counted.evicted == 0);
    CHECK(counted.corrupt == 0);
    CHECK(counted.faults == fault_counts{});
    store->set_bytes_max(1);
    REQUIRE(store->insert(row(3, 1, 100'000), false));
    CHECK(store->counted().evicted == 0);  // all rows are this process's
    const auto next = open_store(dir.path());
    next->set_bytes_max(1);
    REQUIRE(next->insert(row(4), false));
    CHECK(next->counted().evicted == 2);
}

TEST_CASE("cache: a database found damaged is counted, and the next one says what became of it")
{
    const temporary_directory dir;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    overwrite(dir / "mhc_user.db", std::string(5000, 'x'));
    const auto store = open_store(dir.path());
    REQUIRE(store);
    CHECK(store->counted().corrupt == 1);
    const auto events = store->events();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == "corrupt");
    CHECK(events[0].detail.find("mhc_user.db.corrupt-") != std::string::npos);
    CHECK(open_store(dir.path())->counted().corrupt == 0);
}

TEST_CASE("cache: a class of faults is counted apart from others")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    REQUIRE(store->insert(row(1), false));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(store->path().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK_FALSE(store->insert(row(2), false));
    sqlite3_close(other);
    CHECK(store->counted().faults == fault_counts{1, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("cache: uses are written when the store is flushed, once, by the process that had them")
{
    const temporary_directory dir;
    std::int64_t now = start;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(1), false));
    now += 2 * hour;
    const auto store = open_store(dir.path(), nullptr, &now);
    REQUIRE(store->find(query(row(1))));
    CHECK(last_used(dir.path()) == start);
    const int child = in_child([&] {
        store->flush();
        return store->counted().writes == 0 ? 0 : 1;
    });
    CHECK(child == 0);
    CHECK(last_used(dir.path()) == start);
    store->flush();
    CHECK(last_used(dir.path()) == now);
    store->flush();
    CHECK(store->counted().writes == 1);
    CHECK(store->list().front().uses == 1);
}

TEST_CASE("cache: a flush that cannot write says nothing, waits for nobody's log and loses nothing else")
{
    const temporary_directory dir;
    std::int64_t now = start;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(1), false));
    now += 2 * hour;
    log_recorder log;
    const auto store = open_store(dir.path(), &log, &now);
    REQUIRE(store->find(query(row(1))));
    overwrite(store->path(), std::string(8192, 'x'));
    store->flush();
    CHECK(log.lines.empty());
    std::filesystem::remove_all(dir.path());
    store->flush();
    CHECK(log.lines.empty());
}

TEST_CASE("cache: whether a user database is there is found out without making one")
{
    const temporary_directory dir;
    CHECK_FALSE(user_database_is_there(dir / "absent"));
    CHECK_FALSE(exists(dir / "absent"));
    CHECK_FALSE(user_database_is_there(dir.path()));
    REQUIRE(open_store(dir.path()));
    CHECK(user_database_is_there(dir.path()));
}
