// tests/unit/cache_store_test.cpp -- what the user store keeps, finds, counts and gives up.
#include <atomic>
#include <thread>

#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

TEST_CASE("cache: a row comes back as it was stored")
{
    const temporary_directory dir;
    const std::int64_t now = start;
    code_row stored = row(1);
    stored.vgpr = 1, stored.agpr = 2, stored.sgpr = 3, stored.lds = 4, stored.scratch = 5, stored.max_wg = 6,
    stored.wave = 7;
    stored.compile_ms = 8;
    stored.pinned = true;
    stored.bytes += std::string("\0\0 zeros inside", 15);
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(stored, false));
    const auto found = open_store(dir.path(), nullptr, &now)->find(query(stored));
    REQUIRE(found);
    CHECK(found->key == stored.key);
    CHECK(found->key_nofp == stored.key_nofp);
    CHECK(found->key_json == stored.key_json);
    CHECK(found->family == stored.family);
    CHECK(found->target == stored.target);
    CHECK(found->hidden_dim == stored.hidden_dim);
    CHECK(found->n_streams == stored.n_streams);
    CHECK(found->dtype == stored.dtype);
    CHECK(found->symbol == stored.symbol);
    CHECK(found->bytes == stored.bytes);
    CHECK(found->compiler.fingerprint == stored.compiler.fingerprint);
    CHECK(found->compiler.descr == stored.compiler.descr);
    const std::vector<std::int64_t> numbers{found->vgpr,    found->agpr,   found->sgpr, found->lds,
                                            found->scratch, found->max_wg, found->wave, found->compile_ms};
    CHECK(numbers == std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(found->created == start);
    CHECK(found->last_used == start);
    CHECK(found->uses == 0);
    CHECK(found->pinned);
}

TEST_CASE("cache: bytes are compressed where that shortens them, and equal bytes are stored once")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    code_row first = row(1), second = row(2), third = row(3, 1, 5000), empty = row(4);
    first.bytes = second.bytes = std::string(100'000, 'a');
    empty.bytes.clear();
    REQUIRE(store->insert(first, false));
    const std::int64_t alone = store->count().object_bytes;
    CHECK(alone < 1000);
    REQUIRE(store->insert(second, false));
    CHECK(store->count().object_bytes == alone);
    REQUIRE(store->insert(third, false));
    CHECK(store->count().object_bytes == alone + 5000);
    REQUIRE(store->insert(empty, false));
    CHECK(store->count().objects == 4);
    for (const code_row& each : {first, second, third, empty}) {
        const auto found = store->find(query(each));
        REQUIRE(found);
        CHECK(found->bytes == each.bytes);
    }
}

TEST_CASE("cache: a row is replaced only if asked")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    code_row first = row(1), second = row(1);
    second.bytes = noise(7, 500);
    REQUIRE(store->insert(first, false));
    CHECK(store->insert(second, false));
    CHECK(found_bytes(*store, query(first)) == first.bytes);
    CHECK(store->count().object_bytes == 1000);
    CHECK(store->insert(second, true));
    CHECK(found_bytes(*store, query(first)) == second.bytes);
    CHECK(store->count().objects == 1);
    CHECK(store->count().object_bytes == 500);
}

TEST_CASE("cache: rows are listed without bytes, in an order that does not depend on when they came")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    code_row other = row(9);
    other.target = "gfx1100";
    for (const code_row& each : {row(3), row(1), other, row(2)}) REQUIRE(store->insert(each, false));
    const auto rows = open_store(dir.path())->list();
    REQUIRE(rows.size() == 4);
    CHECK(rows[0].target == "gfx1100");
    CHECK(rows[1].hidden_dim == 1);
    CHECK(rows[2].hidden_dim == 2);
    CHECK(rows[3].hidden_dim == 3);
    CHECK(rows[3].bytes.empty());
    CHECK(rows[3].compiler.fingerprint == compiler(1).fingerprint);
}

TEST_CASE("cache: with any toolchain the newest row of the same text is taken, the exact one before it")
{
    const temporary_directory dir;
    std::int64_t now = start;
    const auto store = open_store(dir.path(), nullptr, &now);
    REQUIRE(store->insert(row(1, 1), false));
    ++now;
    REQUIRE(store->insert(row(1, 3), false));
    now -= 2;
    REQUIRE(store->insert(row(1, 2), false));
    const code_row absent = row(1, 4);
    CHECK_FALSE(store->find(query(absent, false)));
    const auto newest = store->find(query(absent, true));
    REQUIRE(newest);
    CHECK(newest->compiler.fingerprint == compiler(3).fingerprint);
    CHECK(found_compiler(*store, query(row(1, 1), true)) == compiler(1).descr);

    SUBCASE("a row of another text under the same hash is no hit, and stays")
    {
        code_query other = query(absent, true);
        other.key_nofp_json = R"({"family":"post_fwd","number":2})";
        CHECK_FALSE(store->find(other));
        CHECK(store->count().objects == 3);
    }
    SUBCASE("a damaged row is passed over for the next newest")
    {
        raw(store->path(),
            "UPDATE code_blob SET data = zeroblob(length(data)) WHERE sha256 ="
            " (SELECT blob_sha FROM code_object ORDER BY created DESC LIMIT 1)");
        CHECK(found_compiler(*store, query(absent, true)) == compiler(1).descr);
        CHECK(store->count().objects == 2);
    }
}

TEST_CASE("cache: a row of another clear-text key is a miss and makes way for the right one")
{
    const temporary_directory dir;
    log_recorder log;
    const auto store = open_store(dir.path(), &log);
    code_row wrong = row(1);
    wrong.key_json += ' ';
    REQUIRE(store->insert(wrong, false));
    CHECK_FALSE(store->find(query(row(1))));
    CHECK(log.warnings() == 1);
    CHECK(raw(store->path(), "SELECT count(*) FROM event WHERE kind = 'collision_or_tamper'") == 1);
    REQUIRE(store->insert(row(1), false));
    CHECK(found_bytes(*store, query(row(1))) == row(1).bytes);
}

TEST_CASE("cache: a row whose bytes changed is a miss, is removed with its blob, and can be stored again")
{
    const temporary_directory dir;
    log_recorder log;
    const auto store = open_store(dir.path(), &log);
    code_row stored = row(1);
    const char* damage = "";
    SUBCASE("a bit of a blob as it is")
    {
        damage = "UPDATE code_blob SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE rowid = 1";
    }
    SUBCASE("a bit of a compressed blob")
    {
        stored.bytes = std::string(5000, 'x') + "y";
        damage = "UPDATE code_blob SET data = CAST(substr(data, 1, length(data) - 1) || x'ff' AS BLOB) WHERE rowid = 1";
    }
    SUBCASE("its length") { damage = "UPDATE code_blob SET raw_size = raw_size + 1 WHERE rowid = 1"; }
    SUBCASE("its length, past all memory") { damage = "UPDATE code_blob SET raw_size = 1 << 60, codec = 1 WHERE rowid = 1"; }
    SUBCASE("its codec") { damage = "UPDATE code_blob SET codec = 2 WHERE rowid = 1"; }
    SUBCASE("its name") { damage = "UPDATE code_object SET blob_sha = zeroblob(32) WHERE hidden_dim = 1"; }
    REQUIRE(store->insert(stored, false));
    REQUIRE(store->insert(row(2), false));
    CHECK(store->damaged().empty());
    raw(store->path(), damage);
    REQUIRE(store->damaged().size() == 1);
    CHECK(store->damaged()[0].rfind(to_hex(stored.key) + ": ", 0) == 0);
    CHECK_FALSE(store->find(query(stored)));
    CHECK(log.warnings() == 1);
    CHECK(store->count().objects == 1);
    CHECK(store->damaged().empty());
    CHECK(raw(store->path(), "SELECT count(*) FROM event WHERE kind = 'quarantine'") == 1);
    REQUIRE(store->insert(stored, false));
    CHECK(found_bytes(*store, query(stored)) == stored.bytes);
    CHECK(store->find(query(row(2))));
}

TEST_CASE("cache: a damaged blob is mended when a row of the same bytes is stored")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    code_row other = row(2);
    other.bytes = row(1).bytes;
    REQUIRE(store->insert(row(1), false));
    raw(store->path(), "UPDATE code_blob SET data = zeroblob(length(data))");
    REQUIRE(store->insert(other, false));
    CHECK(found_bytes(*store, query(row(1))) == row(1).bytes);
}

TEST_CASE("cache: a row set aside is gone until it is stored again")
{
    const temporary_directory dir;
    log_recorder log;
    const auto store = open_store(dir.path(), &log);
    REQUIRE(store->insert(row(1), false));
    store->set_aside(row(1).key, "the loader refused it");
    CHECK_FALSE(store->find(query(row(1))));
    CHECK(store->count().objects == 0);
    CHECK(store->count().object_bytes == 0);
    REQUIRE(log.warnings() == 1);
    CHECK(log.lines[0].second.find("the loader refused it") != std::string::npos);
    CHECK(raw(store->path(), "SELECT count(*) FROM event WHERE detail LIKE '%the loader refused it'") == 1);
    REQUIRE(store->insert(row(1), false));
    CHECK(store->find(query(row(1))));
}

TEST_CASE("cache: a store opened for reading serves rows and changes nothing")
{
    const temporary_directory dir;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    REQUIRE(open_store(dir.path())->insert(row(2), false));
    raw(dir / "mhc_user.db", "UPDATE code_blob SET data = zeroblob(length(data)) WHERE rowid = 1");
    const std::string before = contents(dir / "mhc_user.db");
    {
        log_recorder log;
        user_store_options options{dir.path(), true, 1 << 20, log.sink()};
        const auto store = open_user_store(options, nullptr);
        REQUIRE(store);
        CHECK_FALSE(store->is_writable());
        CHECK_FALSE(store->find(query(row(1))));
        CHECK_FALSE(store->find(query(row(1))));
        CHECK(log.warnings() == 1);
        CHECK(store->find(query(row(2))));
        store->set_aside(row(2).key, "the loader refused it");
        CHECK_FALSE(store->find(query(row(2))));
        CHECK(log.warnings() == 2);
        CHECK_FALSE(store->insert(row(3), false));
        store->insert_failure({row(3).key, 0, "log", start});
        store->forget_failure(row(3).key);
        CHECK(log.warnings() == 2);
        CHECK(store->clear() == -1);
    }
    CHECK(contents(dir / "mhc_user.db") == before);
}

TEST_CASE("cache: a failure is remembered until it expires or is forgotten")
{
    const temporary_directory dir;
    std::int64_t now = start;
    const auto store = open_store(dir.path(), nullptr, &now);
    CHECK_FALSE(store->find_failure(row(1).key));
    store->insert_failure({row(1).key, 2, "signal 11", start + 600});
    store->insert_failure({row(2).key, 0, "no such type", start + 24 * hour});
    now = start + 599;
    const auto failure = store->find_failure(row(1).key);
    REQUIRE(failure);
    CHECK(failure->kind == 2);
    CHECK(failure->log == "signal 11");
    CHECK(failure->expires == start + 600);
    CHECK(store->count().failures == 2);
    now = start + 600;
    CHECK_FALSE(store->find_failure(row(1).key));
    CHECK(store->find_failure(row(2).key));
    CHECK(store->count().failures == 1);
    store->insert_failure({row(2).key, 1, "too slow", start + 700});
    CHECK(store->find_failure(row(2).key)->log == "too slow");
    CHECK(raw(store->path(), "SELECT count(*) FROM compile_failure") == 1);
    store->forget_failure(row(2).key);
    CHECK_FALSE(store->find_failure(row(2).key));
}

TEST_CASE("cache: a use is written with the next write or at the end, once, and never by a lookup")
{
    const temporary_directory dir;
    std::int64_t now = start;
    REQUIRE(open_store(dir.path(), nullptr, &now)->insert(row(1), false));
    const std::string used = "SELECT last_used FROM code_object WHERE hidden_dim = 1";
    const std::string uses = "SELECT uses FROM code_object WHERE hidden_dim = 1";
    const std::string path = dir / "mhc_user.db";
    SUBCASE("within the hour not at all")
    {
        now += hour - 1;
        REQUIRE(open_store(dir.path(), nullptr, &now)->find(query(row(1))));
        CHECK(raw(path, uses) == 0);
    }
    SUBCASE("with the next write")
    {
        now += hour;
        const auto store = open_store(dir.path(), nullptr, &now);
        REQUIRE(store->find(query(row(1))));
        REQUIRE(store->find(query(row(1))));
        CHECK(raw(path, used) == start);
        REQUIRE(store->insert(row(2), false));
        CHECK(raw(path, used) == start + hour);
        now += 2 * hour;
        REQUIRE(store->find(query(row(1))));
        REQUIRE(store->insert(row(3), false));
        CHECK(raw(path, used) == start + hour);
        CHECK(raw(path, uses) == 1);
    }
    SUBCASE("at the end")
    {
        now += hour;
        REQUIRE(open_store(dir.path(), nullptr, &now)->find(query(row(1))));
        CHECK(raw(path, used) == start + hour);
        CHECK(raw(path, uses) == 1);
    }
    SUBCASE("and a time in the future is put right")
    {
        now -= 10 * hour;
        REQUIRE(open_store(dir.path(), nullptr, &now)->find(query(row(1))));
        CHECK(raw(path, used) == start - 10 * hour);
    }
}

TEST_CASE("cache: clear removes rows and failures and says how many rows")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    for (int i = 1; i <= 3; ++i) REQUIRE(store->insert(row(i, 1, 50'000), false));
    store->insert_failure({row(9).key, 0, "log", INT64_MAX});
    CHECK(store->count().file_bytes > 150'000);
    CHECK(store->clear() == 3);
    const auto counts = store->count();
    CHECK(counts.objects == 0);
    CHECK(counts.object_bytes == 0);
    CHECK(counts.failures == 0);
    CHECK(counts.file_bytes < 150'000);
    CHECK_FALSE(store->find(query(row(1))));
    CHECK(store->clear() == 0);
    CHECK(store->insert(row(1), false));
}

TEST_CASE("cache: threads share a store")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    std::atomic<int> stored = 0, found = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 10; ++i) {
                stored += store->insert(row(t * 10 + i), false);
                found += store->find(query(row(t * 10 + i))).has_value();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(stored == 40);
    CHECK(found == 40);
    CHECK(store->count().objects == 40);
}

TEST_CASE("cache: a sink may call the store, fork, and throw")
{
    const temporary_directory dir;
    std::unique_ptr<code_store> store;
    int calls = 0;
    user_store_options options{dir.path(), false, 1 << 20, [&](severity, std::string_view) {
                                   ++calls;
                                   CHECK(store->count().objects == 0);
                                   CHECK(in_child([] { return 7; }) == 7);
                                   throw std::runtime_error("from the sink");
                               }};
    store = open_user_store(options, nullptr);
    REQUIRE(store);
    REQUIRE(store->insert(row(1), false));
    store->set_aside(row(1).key, "why not");
    CHECK(calls == 1);
    CHECK(store->insert(row(1), false));
}
