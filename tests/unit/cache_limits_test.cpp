// tests/unit/cache_limits_test.cpp -- what the user store does about too many bytes, a full disk, a lock held by another.
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

constexpr std::size_t row_bytes = 100'000;

std::vector<std::int64_t> numbers_in(code_store& store)
{
    std::vector<std::int64_t> numbers;
    for (const code_row& each : store.list()) numbers.push_back(each.hidden_dim);
    return numbers;
}

/// Ten rows of equal size, number 1 the least recently used.
void fill(const std::string& dir, std::int64_t* now, int pinned = 0)
{
    for (int i = 1; i <= 10; ++i, ++*now) {
        code_row each = row(i, 1, row_bytes);
        each.pinned = i == pinned;
        REQUIRE(open_store(dir, nullptr, now)->insert(each, false));
    }
}

/// A store whose file cannot grow beyond what `pragma` allows.
std::unique_ptr<code_store> open_limited(const std::string& dir, const char* pragma, log_recorder* log)
{
    user_store_options options;
    options.dir = dir;
    options.log = log->sink();
    user_store_seams seams;
    seams.after_open = [pragma](sqlite::connection& db) { db.execute(pragma); };
    return open_user_store(options, std::move(seams), nullptr);
}

}  // namespace

TEST_CASE("cache: above the cap the least recently used rows go until four fifths of it are left")
{
    const temporary_directory dir;
    std::int64_t now = start;
    std::vector<std::int64_t> left;
    SUBCASE("the oldest")
    {
        fill(dir.path(), &now);
        const auto store = open_store(dir.path(), nullptr, &now);
        store->set_bytes_max(10 * row_bytes);
        REQUIRE(store->insert(row(11, 1, row_bytes), false));
        left = numbers_in(*store);
        CHECK(left == std::vector<std::int64_t>{4, 5, 6, 7, 8, 9, 10, 11});
        CHECK(store->count().object_bytes == 8 * row_bytes);
        CHECK(store->find(query(row(11, 1, row_bytes))));
        CHECK(raw(store->path(), "PRAGMA freelist_count") == 0);
        CHECK(raw(store->path(), "SELECT count(*) FROM event WHERE kind = 'evict'") == 1);
    }
    SUBCASE("but no pinned one, and none that this process has used")
    {
        fill(dir.path(), &now, 1);
        const auto store = open_store(dir.path(), nullptr, &now);
        store->set_bytes_max(10 * row_bytes);
        REQUIRE(store->find(query(row(2, 1, row_bytes))));
        REQUIRE(store->insert(row(11, 1, row_bytes), false));
        left = numbers_in(*store);
        CHECK(left == std::vector<std::int64_t>{1, 2, 6, 7, 8, 9, 10, 11});
    }
    SUBCASE("a row from the future counts as used now, no later")
    {
        fill(dir.path(), &now);
        // With all in the future the keys decide, and the first of them goes, however far in the future it is.
        raw(dir / "mhc_user.db",
            "UPDATE code_object SET last_used = 1700009999 + (key = (SELECT min(key) FROM code_object))");
        now = start + 100;
        const auto store = open_store(dir.path(), nullptr, &now);
        store->set_bytes_max(10 * row_bytes);
        REQUIRE(store->insert(row(11, 1, row_bytes), false));
        std::vector<std::pair<digest, std::int64_t>> keys;
        for (int i = 1; i <= 10; ++i) keys.emplace_back(row(i, 1, row_bytes).key, i);
        std::sort(keys.begin(), keys.end());
        std::vector<std::int64_t> expected{11};
        for (std::size_t i = 3; i < keys.size(); ++i) expected.push_back(keys[i].second);
        std::sort(expected.begin(), expected.end());
        CHECK(numbers_in(*store) == expected);
    }
    SUBCASE("nothing goes while the cap is kept")
    {
        fill(dir.path(), &now);
        const auto store = open_store(dir.path(), nullptr, &now);
        store->set_bytes_max(11 * row_bytes);
        REQUIRE(store->insert(row(11, 1, row_bytes), false));
        CHECK(store->count().objects == 11);
    }
}

TEST_CASE("cache: bytes that two rows share go with the second")
{
    const temporary_directory dir;
    std::int64_t now = start;
    code_row twin = row(1, 2, row_bytes);
    twin.bytes = row(1, 1, row_bytes).bytes;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(1, 1, row_bytes), false));
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(twin, false));
    ++now;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(2, 1, row_bytes), false));
    const auto store = open_store(dir.path(), nullptr, &now);
    store->set_bytes_max(2 * row_bytes + row_bytes / 2);
    REQUIRE(store->insert(row(3, 1, row_bytes), false));
    CHECK(numbers_in(*store) == std::vector<std::int64_t>{2, 3});
    CHECK(store->count().object_bytes == 2 * row_bytes);
}

TEST_CASE("cache: on a full disk a quarter of the rows makes room")
{
    const temporary_directory dir;
    std::int64_t now = start;
    fill(dir.path(), &now);
    log_recorder log;
    const auto store = open_limited(dir.path(), "PRAGMA max_page_count = 1", &log);
    CHECK(store->insert(row(11, 1, row_bytes), false));
    CHECK(numbers_in(*store) == std::vector<std::int64_t>{4, 5, 6, 7, 8, 9, 10, 11});
    CHECK(store->is_writable());
    CHECK(log.warnings() == 1);
}

TEST_CASE("cache: on a disk that stays full nothing more is stored, and what is there is served")
{
    const temporary_directory dir;
    std::int64_t now = start;
    fill(dir.path(), &now);
    log_recorder log;
    const auto store = open_limited(dir.path(), "PRAGMA max_page_count = 1", &log);
    for (int i = 1; i <= 10; ++i) REQUIRE(store->find(query(row(i, 1, row_bytes))));
    CHECK_FALSE(store->insert(row(11, 1, row_bytes), false));
    CHECK_FALSE(store->is_writable());
    CHECK(log.warnings() == 2);
    CHECK_FALSE(store->insert(row(12, 1, row_bytes), false));
    CHECK(log.warnings() == 2);
    CHECK(store->count().objects == 10);
    CHECK(found_bytes(*store, query(row(1, 1, row_bytes))) == row(1, 1, row_bytes).bytes);
    CHECK(store->clear() == 10);
    CHECK(store->insert(row(12, 1, row_bytes), false));
    CHECK(store->is_writable());
}

TEST_CASE("cache: a limit on file size is a full disk")
{
    const temporary_directory dir;
    std::int64_t now = start;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(1), false));
    const int result = in_child([&] {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{50'000, 50'000};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
        log_recorder log;
        const auto store = open_store(dir.path(), &log, &now);
        if (!store) return 2;
        if (!store->find(query(row(1)))) return 3;
        if (store->insert(row(2, 1, row_bytes), false)) return 4;
        if (store->is_writable()) return 5;
        if (!store->find(query(row(1)))) return 6;
        return log.warnings() == 2 ? 0 : 7;
    });
    CHECK(result == 0);
    CHECK(open_store(dir.path())->count().objects == 1);
}

TEST_CASE("cache: while another process writes, a store is not done and a lookup is served")
{
    const temporary_directory dir;
    log_recorder log;
    const auto store = open_store(dir.path(), &log);
    REQUIRE(store->insert(row(1), false));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(store->path().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK_FALSE(store->insert(row(2), false));
    CHECK(log.warnings() == 1);
    CHECK(store->find(query(row(1))));
    CHECK(store->is_writable());
    sqlite3_close(other);
    CHECK(store->insert(row(2), false));
    CHECK(log.warnings() == 1);
}
