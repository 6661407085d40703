// tests/unit/cache_process_test.cpp -- several processes on one user database, and processes that end badly.
#include <array>

#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

/// One process waits until the other says so.
class gate {
public:
    gate() { REQUIRE(pipe(ends_.data()) == 0); }
    ~gate()
    {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    void open() const { (void)!::write(ends_[1], "x", 1); }
    void wait() const
    {
        char byte = 0;
        (void)!::read(ends_[0], &byte, 1);
    }

private:
    std::array<int, 2> ends_{};
};

}  // namespace

TEST_CASE("cache: two stores on one file see each other's rows")
{
    const temporary_directory dir;
    const auto one = open_store(dir.path()), two = open_store(dir.path());
    REQUIRE(one->insert(row(1), false));
    REQUIRE(two->insert(row(2), false));
    CHECK(one->find(query(row(2))));
    CHECK(two->find(query(row(1))));
    one->set_aside(row(1).key, "why not");
    CHECK_FALSE(two->find(query(row(1))));
}

TEST_CASE("cache: processes that make the database and store at the same time lose nothing")
{
    const temporary_directory dir;
    constexpr int processes = 4, own_rows = 10, shared_rows = 10;
    std::vector<pid_t> children;
    for (int p = 0; p < processes; ++p) {
        children.push_back(start_child([&] {
            log_recorder log;
            const auto store = open_store(dir.path(), &log);
            if (!store) return 1;
            for (int i = 0; i < own_rows; ++i) {
                if (!store->insert(row(100 * (p + 1) + i), false) || !store->insert(row(i), false)) return 2;
            }
            return log.lines.empty() ? 0 : 3;
        }));
    }
    for (const pid_t child : children) CHECK(result_of(child) == 0);
    const auto store = open_store(dir.path());
    CHECK(store->count().objects == processes * own_rows + shared_rows);
    CHECK(store->damaged().empty());
    CHECK(raw(store->path(), "SELECT count(*) FROM meta") == 2);
    CHECK(raw(store->path(), "SELECT count(*) FROM toolchain") == 1);
}

TEST_CASE("cache: processes that make the database at the same moment all get it")
{
    for (int round = 0; round < 10; ++round) {
        const temporary_directory dir;
        const gate all_are_there;
        std::vector<pid_t> children;
        for (int p = 0; p < 6; ++p) {
            children.push_back(start_child([&] {
                all_are_there.wait();
                const auto store = open_store(dir.path());
                return store && store->insert(row(p), false) ? 0 : 1;
            }));
        }
        for (std::size_t i = 0; i < children.size(); ++i) all_are_there.open();
        for (const pid_t child : children) CHECK(result_of(child) == 0);
        CHECK(open_store(dir.path())->count().objects == 6);
        CHECK(names_in(dir.path(), "") == std::vector<std::string>{"mhc.lock", "mhc_user.db"});
    }
}

TEST_CASE("cache: after a fork parent and child go on, whoever ends first")
{
    const temporary_directory dir;
    auto store = open_store(dir.path());
    REQUIRE(store->insert(row(1), false));
    const gate parent_is_done, child_has_stored;
    const pid_t child = start_child([&] {
        if (!store->find(query(row(1)))) return 1;
        if (!store->insert(row(2), false)) return 2;
        child_has_stored.open();
        parent_is_done.wait();
        // The parent has closed, and would have taken the log away from a child that only believes it holds locks.
        if (!store->insert(row(3), false)) return 3;
        return store->find(query(row(2))) ? 0 : 4;
    });
    child_has_stored.wait();
    CHECK(store->find(query(row(2))));
    CHECK(store->insert(row(4), false));
    store.reset();
    parent_is_done.open();
    CHECK(result_of(child) == 0);
    store = open_store(dir.path());
    CHECK(store->count().objects == 4);
    CHECK(raw(store->path(), "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
}

TEST_CASE("cache: a row is there whole after its process was killed, and what was not committed is not")
{
    const temporary_directory dir;
    const gate has_stored;
    const pid_t child = start_child([&] {
        const auto store = open_store(dir.path());
        if (!store || !store->insert(row(1), false)) return 1;
        sqlite3* db = nullptr;
        sqlite3_open(store->path().c_str(), &db);
        sqlite3_exec(db, "PRAGMA cache_spill = 1; PRAGMA cache_size = 1; BEGIN IMMEDIATE; DELETE FROM code_object", nullptr,
                     nullptr, nullptr);
        has_stored.open();
        pause();
        return 0;
    });
    has_stored.wait();
    REQUIRE(kill(child, SIGKILL) == 0);
    CHECK(result_of(child) == 256 + SIGKILL);
    const auto store = open_store(dir.path());
    REQUIRE(store);
    CHECK(found_bytes(*store, query(row(1))) == row(1).bytes);
    CHECK(store->insert(row(2), false));
}

TEST_CASE("cache: a database removed or replaced while open is noticed before the next write")
{
    const temporary_directory dir, elsewhere;
    const auto store = open_store(dir.path());
    REQUIRE(store->insert(row(1), false));
    const std::string path = store->path();
    SUBCASE("removed")
    {
        for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
        CHECK(store->insert(row(2), false));
        CHECK(open_store(dir.path())->count().objects == 1);
    }
    SUBCASE("removed with its directory")
    {
        std::filesystem::remove_all(dir.path());
        CHECK(store->insert(row(2), false));
        CHECK(open_store(dir.path())->count().objects == 1);
        CHECK(mode_of(dir.path()) == 0700);
    }
    SUBCASE("replaced")
    {
        REQUIRE(open_store(elsewhere.path())->insert(row(3), false));
        for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path + suffix);
        std::filesystem::rename(elsewhere / "mhc_user.db", path);
        CHECK(store->insert(row(2), false));
        CHECK(store->find(query(row(3))));
        CHECK_FALSE(store->find(query(row(1))));
        CHECK(open_store(dir.path())->count().objects == 2);
    }
    CHECK(found_bytes(*store, query(row(2))) == row(2).bytes);
}
