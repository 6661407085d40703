// tests/unit/engine_test.cpp -- the engine's caches and failures, by exact counters, on the real worker and `host`.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <sqlite3.h>

#include <mhc/jit.hpp>

#include "tests/unit/host_engine.hpp"

using namespace mhc::jit;
using mhc::testing::host_options;

namespace {

layer_spec small()
{
    layer_spec s;
    s.hidden_dim = 64;
    s.n_streams = 2;
    s.wanted = {operation::expand_fwd, operation::apply_mix_fwd};
    return s;
}

void execute(const std::string& file, const char* sql)
{
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(db);
}

}  // namespace

TEST_CASE("engine: a spec is compiled once, whoever asks again")
{
    const mhc::test::temporary_directory dir;
    auto first = engine::create(host_options(dir)).value();
    REQUIRE(layer(small(), *first));
    CHECK(first->stats().compiled == 2);

    SUBCASE("the same engine answers from its table of known layers")
    {
        REQUIRE(layer(small(), *first));
        CHECK(first->stats().compiled == 2);
        CHECK(first->stats().known_layer == 1);
    }
    SUBCASE("another spec with one of the kernels finds it in memory")
    {
        layer_spec one = small();
        one.wanted = {operation::expand_fwd};
        const auto made = layer(one, *first);
        REQUIRE(made);
        CHECK(first->stats().compiled == 2);
        CHECK(first->stats().l1_hit == 1);
    }
    SUBCASE("the next engine answers from disk, and starts no compiler")
    {
        auto next = engine::create(host_options(dir)).value();
        const auto made = layer(small(), *next);
        REQUIRE(made);
        CHECK(next->stats().compiled == 0);
        CHECK(next->stats().l2_hit == 2);
        for (const kernel_info& k : made->kernels()) {
            CHECK(k.from == origin::user);
            CHECK(k.compiler.starts_with("clang "));
        }
    }
    SUBCASE("a damaged object is dropped and compiled again, once")
    {
        first.reset();
        execute(dir.path() + "/mhc_user.db", "UPDATE code_blob SET data = zeroblob(length(data))");
        auto next = engine::create(host_options(dir)).value();
        REQUIRE(layer(small(), *next));
        CHECK(next->stats().compiled == 2);
        CHECK(next->stats().missed == 2);
        CHECK(next->stats().set_aside == 2);
        CHECK(next->stats().corrupt == 0);
        CHECK(next->stats().code_bytes > 0);
        auto third = engine::create(host_options(dir)).value();
        REQUIRE(layer(small(), *third));
        CHECK(third->stats().compiled == 0);
        CHECK(third->stats().missed == 0);
        CHECK(third->stats().database_writes == 0);
    }
    SUBCASE("rebuild ignores what is stored, replaces it, and does so once a key")
    {
        engine_options o = host_options(dir);
        o.rebuild = 1;
        auto next = engine::create(o).value();
        REQUIRE(layer(small(), *next));
        CHECK(next->stats().compiled == 2);
        CHECK(next->stats().l2_hit == 0);
    }
    SUBCASE("a read-only engine uses what is stored and adds nothing")
    {
        engine_options o = host_options(dir);
        o.read_only = true;
        auto next = engine::create(o).value();
        layer_spec more = small();
        more.wanted = operations{operation::expand_fwd, operation::post_fwd};
        REQUIRE(layer(more, *next));
        CHECK(next->stats().l2_hit == 1);
        CHECK(next->stats().compiled == 1);
        auto third = engine::create(host_options(dir)).value();
        REQUIRE(layer(more, *third));
        CHECK(third->stats().compiled == 1);
    }
}

TEST_CASE("engine: many threads asking for one spec compile it once")
{
    const mhc::test::temporary_directory dir;
    auto made = engine::create(host_options(dir)).value();
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { good += layer(small(), *made) ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    CHECK(good == 8);
    CHECK(made->stats().compiled == 2);
}

TEST_CASE("engine: without any writable place the layer is made all the same")
{
    engine_options o;
    o.target = "host";
    o.cache_dir = "/proc/nowhere";
    o.level = log_level::off;
    auto made = engine::create(o).value();
    REQUIRE(layer(small(), *made));
    CHECK(made->stats().compiled == 2);
    CHECK(made->cache_path().empty());
}

TEST_CASE("engine: strict mode compiles nothing and names the key")
{
    const mhc::test::temporary_directory dir;
    engine_options o = host_options(dir);
    o.strict = true;
    auto strict = engine::create(o).value();
    const auto miss = layer(small(), *strict);
    REQUIRE_FALSE(miss);
    CHECK(miss.error().code == errc::not_prebuilt);
    CHECK(miss.error().message.find("mhc-prebuild") != std::string::npos);
    CHECK(strict->stats().compiled == 0);

    REQUIRE(layer(small(), *engine::create(host_options(dir)).value()));
    CHECK(layer(small(), *engine::create(o).value()));
}

TEST_CASE("engine: targets that cannot be run are refused naming why, or replaced when that is allowed")
{
    engine_options o;
    o.level = log_level::off;
    o.target = "gfx942";
    const auto refused = engine::create(o);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::unsupported_target);
    CHECK(refused.error().message.find("gfx942") != std::string::npos);
    o.allow_fallback = true;
    CHECK(engine::create(o).value()->target() == "host");
    o.target = "gfx12345";
    const auto unknown = engine::create(o);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().message.find("gfx1201") != std::string::npos);
}

TEST_CASE("engine: a missing worker is one clear error, and stored kernels still load")
{
    const mhc::test::temporary_directory dir;
    REQUIRE(layer(small(), *engine::create(host_options(dir)).value()));
    engine_options o = host_options(dir);
    o.worker = "/nowhere/mhc-jitc";
    auto made = engine::create(o).value();
    CHECK(layer(small(), *made));
    CHECK(made->stats().l2_hit == 2);
    layer_spec other = small();
    other.hidden_dim = 65;
    const auto refused = layer(other, *made);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("/nowhere/mhc-jitc") != std::string::npos);
}

TEST_CASE("engine: log lines go to the sink at its level, which may change later")
{
    const mhc::test::temporary_directory dir;
    std::vector<std::string> lines;
    std::mutex mutex;
    engine_options o = host_options(dir);
    o.level = log_level::info;
    o.log = [&](log_level, std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    auto made = engine::create(o).value();
    REQUIRE(layer(small(), *made));
    const auto compiled_lines = [&] {
        return std::count_if(lines.begin(), lines.end(),
                             [](const std::string& l) { return l.starts_with("compiled mhc_"); });
    };
    CHECK(compiled_lines() == 2);
    made->set_log(log_level::off);
    layer_spec other = small();
    other.hidden_dim = 66;
    REQUIRE(layer(other, *made));
    CHECK(compiled_lines() == 2);
}

TEST_CASE("engine: kept sources are what was compiled")
{
    const mhc::test::temporary_directory dir;
    engine_options o = host_options(dir);
    o.keep_source = true;
    const auto made = layer(small(), *engine::create(o).value());
    REQUIRE(made);
    std::ifstream file(dir.path() + "/source/" + made->kernels().front().symbol + ".hip");
    std::string first_line;
    std::getline(file, first_line);
    CHECK(first_line.starts_with("// " + made->kernels().front().symbol));
}

TEST_CASE("environment: bad values are refused naming the variable")
{
    const auto check = [](const char* name, const char* value) {
        CAPTURE(name);
        setenv(name, value, 1);
        const auto options = engine_options::from_environment();
        unsetenv(name);
        REQUIRE_FALSE(options);
        CHECK(options.error().message.find(name) != std::string::npos);
        CHECK(options.error().message.find(value) != std::string::npos);
    };
    check("MHC_LOG_LEVEL", "loud");
    check("MHC_JIT_BACKEND", "nvcc");
    check("MHC_JIT_STRICT", "maybe");
    check("MHC_JIT_CACHE_MAX_MB", "-1");
    check("MHC_JIT_TIMEOUT_S", "soon");
    check("MHC_REBUILD", "3");
    check("MAX_JOBS", "many");
}

TEST_CASE("environment: an MHC_ name wins over the bare one, and AITER's directory counts only when asked for")
{
    setenv("MAX_JOBS", "3", 1);
    setenv("MHC_MAX_JOBS", "5", 1);
    setenv("AITER_JIT_DIR", "/tmp/aiter", 1);
    const char* saved = std::getenv("MHC_JIT_DIR");
    const std::string dir = saved == nullptr ? "" : saved;
    unsetenv("MHC_JIT_DIR");
    CHECK(engine_options::from_environment().value().jobs_max == 5);
    CHECK_FALSE(engine_options::from_environment().value().cache_dir);
    setenv("MHC_COMPAT", "1", 1);
    CHECK(engine_options::from_environment().value().cache_dir == "/tmp/aiter");
    for (const char* name : {"MAX_JOBS", "MHC_MAX_JOBS", "AITER_JIT_DIR", "MHC_COMPAT"}) unsetenv(name);
    if (!dir.empty()) setenv("MHC_JIT_DIR", dir.c_str(), 1);
}
