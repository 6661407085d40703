// tests/fault/worker_faults_test.cpp -- what an engine makes of compilers that end badly: an error, a log, a memory of it.
#include <sqlite3.h>

#include <ctime>

#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

struct worker_fault {
    const char* how;
    std::size_t tries;
    int kind;  ///< as failure_row has it
    std::int64_t remembered_s;
    const char* said;  ///< in the error's message
};

constexpr std::int64_t minutes_10 = 600, hours_24 = 86400;

constexpr worker_fault faults[] = {
    {"abort", 2, 2, minutes_10, "LLVM ERROR: planted"},
    {"segfault", 2, 2, minutes_10, "signal 11"},
    {"loop", 1, 1, minutes_10, "no answer within 1 s"},
    {"eat_memory", 2, 3, minutes_10, "out of memory"},
    {"killed", 2, 3, minutes_10, "signal 9"},
    {"garbage", 2, 2, minutes_10, "not one of this protocol"},
    {"short", 2, 2, minutes_10, "worker"},
    {"huge", 2, 2, minutes_10, "longer than any reply"},
    {"no_code", 2, 2, minutes_10, "makes no sense"},
    {"compile_error", 1, 0, hours_24, "planted error in the source"},
};

}  // namespace

TEST_CASE("worker faults: each is contained, reported, tried again as often as it may help, and remembered for its time")
{
    load_look_alike();
    for (const worker_fault& fault : faults) {
        CAPTURE(fault.how);
        const temporary_directory dir;
        const std::string jobs = dir / "jobs", cache = dir / "cache";
        jit::engine_options options = planted_options(cache);
        options.timeout_s = 1;
        const environment_variable log("MHC_PLANTED_JOBS", jobs);
        std::string message;
        {
            const environment_variable how("MHC_PLANTED_HOW", fault.how);
            const std::int64_t before = std::time(nullptr);
            const auto engine = planted_engine(options);
            const auto layer = engine->layer(one_kernel(0));
            const std::int64_t after = std::time(nullptr);
            REQUIRE_FALSE(layer);
            message = layer.error().message;
            CHECK(layer.error().code == jit::errc::compile_failed);
            CHECK_MESSAGE(message.find(fault.said) != std::string::npos, message);
            CHECK(jobs_in(jobs) == fault.tries);
            CHECK(engine->stats().compile_failed == 1);
            const std::string db = cache + "/mhc_user.db";
            CHECK(raw(db, "SELECT count(*) FROM compile_failure") == 1);
            CHECK(raw(db, "SELECT kind FROM compile_failure") == fault.kind);
            const std::int64_t expires = raw(db, "SELECT expires FROM compile_failure");
            CHECK(expires >= before + fault.remembered_s);
            CHECK(expires <= after + fault.remembered_s);
        }
        // The compiler is well again. Until the time is over nobody asks it, and all hear what it said then.
        const auto again = planted_engine(options)->layer(one_kernel(0));
        REQUIRE_FALSE(again);
        CHECK(again.error().message == message);
        CHECK(jobs_in(jobs) == fault.tries);
        raw(cache + "/mhc_user.db", "UPDATE compile_failure SET expires = strftime('%s', 'now') - 1");
        CHECK(planted_engine(options)->layer(one_kernel(0)));
        CHECK(jobs_in(jobs) == fault.tries + 1);
    }
}

TEST_CASE("worker faults: MHC_REBUILD 2 forgets a failure")
{
    load_look_alike();
    const temporary_directory dir;
    {
        const environment_variable how("MHC_PLANTED_HOW", "compile_error");
        REQUIRE_FALSE(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)));
    }
    jit::engine_options options = planted_options(dir.path());
    options.rebuild = 2;
    CHECK(planted_engine(options)->layer(one_kernel(0)));
    CHECK(raw(dir / "mhc_user.db", "SELECT count(*) FROM compile_failure") == 0);
}

TEST_CASE("worker faults: an object of another kernel is refused before it is stored")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable how("MHC_PLANTED_HOW", "other_kernel");
    const auto engine = planted_engine(planted_options(dir.path()));
    const auto layer = engine->layer(one_kernel(0));
    REQUIRE_FALSE(layer);
    CHECK(layer.error().code == jit::errc::compile_failed);
    CHECK(layer.error().message.find("the compiler's output is not usable") != std::string::npos);
    CHECK(engine->stats().compiled == 0);
    CHECK(open_store(dir.path())->count().objects == 0);
}

TEST_CASE("worker faults: one kernel that cannot be compiled does not keep the others from being stored")
{
    load_look_alike();
    const temporary_directory dir;
    {
        const environment_variable how("MHC_PLANTED_HOW", "abort_once");
        const environment_variable log("MHC_PLANTED_LOG", dir / "started");
        const auto engine = planted_engine(planted_options(dir / "cache"));
        CHECK(engine->layer(one_kernel(0)));
        CHECK(engine->layer(one_kernel(1)));
    }
    CHECK(open_store(dir / "cache")->count().objects == 2);
    CHECK(raw(dir / "cache/mhc_user.db", "SELECT count(*) FROM compile_failure") == 0);
}
