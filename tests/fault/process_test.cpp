// tests/fault/process_test.cpp -- engines in processes that fork, exit, take signals, or lack descriptors and folders.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <thread>

#include "tests/fake_hip/fixture.hpp"
#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

TEST_CASE("process: after a fork parent and child both find, compile and store")
{
    load_look_alike();
    const temporary_directory dir;
    const auto engine = planted_engine(planted_options(dir.path()));
    REQUIRE(engine->layer(one_kernel(0)));
    const pid_t child = start_child([&] {
        if (!engine->layer(one_kernel(0))) return 1;
        if (!engine->layer(one_kernel(1))) return 2;
        const auto own = planted_engine(planted_options(dir.path()));
        if (!own->layer(one_kernel(0)) || !own->layer(one_kernel(1))) return 3;
        return own->stats().l2_hit == 2 && engine->stats().compiled == 2 ? 0 : 4;
    });
    CHECK(engine->layer(one_kernel(2)));
    CHECK(result_of(child) == 0);
    CHECK(engine->layer(one_kernel(1)));
    CHECK(engine->stats().l2_hit == 1);
    CHECK(open_store(dir.path())->count().objects == 3);
}

TEST_CASE("process: forks while threads compile leave nobody stuck")
{
#if defined(__SANITIZE_THREAD__)
    // It aborts with "dup thread with used id", or reports the parent's thread as leaked by the child.
    MESSAGE("not run: GCC's TSan takes the threads of the parent, which a forked child does not have, for the child's own");
    return;
#endif
#if defined(__SANITIZE_ADDRESS__)
    // One run in five or so: a thread of the child waits in the sanitizer's allocator for a lock that a thread of the parent
    // had.
    MESSAGE(
        "not run: GCC's ASan does not hold its allocator's locks across a fork, and the child may wait for one for ever");
    return;
#endif
    load_look_alike();
    const temporary_directory dir;
    const environment_variable slow("MHC_PLANTED_MS", "20");
    const auto engine = planted_engine(planted_options(dir.path()));
    std::thread compiling([&] {
        for (int number = 0; number < 10; ++number) CHECK(engine->layer(one_kernel(number)));
    });
    for (int i = 0; i < 10; ++i) {
        const int result = in_child([&] {
            alarm(60);
            const auto own = planted_engine(planted_options(dir.path()));
            return own->layer(one_kernel(20 + i)) && own->stats().lock_timeout == 0 ? 0 : 1;
        });
        CHECK(result == 0);
    }
    compiling.join();
    CHECK(open_store(dir.path())->count().objects == 20);
}

TEST_CASE("process: what the default engine found is noted when the process ends, and nothing else is written")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable target("MHC_JIT_TARGET", "gfx942"), cache("MHC_JIT_DIR", dir.path()),
        worker("MHC_JIT_WORKER", MHC_PLANTED_WORKER);
    REQUIRE(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)));
    const std::string file = dir / "mhc_user.db";
    const auto find_and_exit = [&] {
        if (!jit::layer(one_kernel(0))) return 1;
        const jit::engine_stats stats = jit::default_engine().value()->stats();
        if (stats.l2_hit != 1 || stats.database_writes != 0) return 2;
        std::exit(0);
    };
    const std::int64_t recent = raw(file, "SELECT last_used FROM code_object");
    CHECK(in_child(find_and_exit) == 0);
    CHECK(raw(file, "SELECT uses FROM code_object") == 0);
    CHECK(raw(file, "SELECT last_used FROM code_object") == recent);
    raw(file, "UPDATE code_object SET last_used = 1");
    CHECK(in_child(find_and_exit) == 0);
    CHECK(raw(file, "SELECT uses FROM code_object") == 1);
    CHECK(raw(file, "SELECT last_used FROM code_object") >= recent);
}

TEST_CASE("process: it may exit while a thread compiles, and the key is free for the next")
{
    load_look_alike();
    const temporary_directory dir;
    {
        const environment_variable slow("MHC_PLANTED_MS", "2000");
        const int result = in_child([&]() -> int {
            alarm(60);
            auto* const engine = planted_engine(planted_options(dir.path())).release();
            std::thread([=] { (void)engine->layer(one_kernel(0)); }).detach();
            usleep(200'000);
            std::exit(0);
        });
        CHECK(result == 0);
    }
    const auto next = planted_engine(planted_options(dir.path()));
    REQUIRE(next->layer(one_kernel(0)));
    CHECK(next->stats().lock_timeout == 0);
    CHECK(next->stats().compiled == 1);
}

TEST_CASE("process: signals at every moment interrupt nothing")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable slow("MHC_PLANTED_MS", "20");
    const int result = in_child([&] {
        struct sigaction action {};
        action.sa_handler = [](int) {};
        sigaction(SIGALRM, &action, nullptr);  // without SA_RESTART
        const itimerval often{{0, 500}, {0, 500}};
        setitimer(ITIMER_REAL, &often, nullptr);
        const auto engine = planted_engine(planted_options(dir.path()));
        for (int number = 0; number < 10; ++number)
            if (!engine->layer(one_kernel(number))) return 1;
        const auto next = planted_engine(planted_options(dir.path()));
        for (int number = 0; number < 10; ++number)
            if (!next->layer(one_kernel(number))) return 2;
        const jit::engine_stats first = engine->stats(), second = next->stats();
        return first.compiled == 10 && first.store_failed == 0 && second.l2_hit == 10 ? 0 : 3;
    });
    CHECK(result == 0);
}

TEST_CASE("process: without file descriptors a cold layer is an error that says so, and later all is well")
{
    load_look_alike();
    const temporary_directory dir;
    const int result = in_child([&] {
        const auto engine = planted_engine(planted_options(dir.path()));
        if (!engine->layer(one_kernel(0))) return 1;
        // A worker is idle, and would do: a second engine has none.
        const auto second = planted_engine(planted_options(dir.path()));
        if (!second->layer(one_kernel(0))) return 2;
        const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(next);
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit none{static_cast<rlim_t>(next), limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        const auto refused = second->layer(one_kernel(1));
        const bool is_hit = engine->layer(one_kernel(0)).has_value();
        setrlimit(RLIMIT_NOFILE, &limit);
        if (refused) return 3;
        if (refused.error().message.find("EMFILE") == std::string::npos) return 4;
        if (!is_hit) return 5;
        return second->layer(one_kernel(1)) && second->stats().store_failed == 0 ? 0 : 6;
    });
    CHECK(result == 0);
    CHECK(open_store(dir.path())->count().objects == 2);
}

TEST_CASE("process: the working directory and TMPDIR are not needed")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable nowhere("TMPDIR", "/nowhere/at/all");
    const int result = in_child([&] {
        const std::string gone = dir / "gone";
        if (mkdir(gone.c_str(), 0700) != 0 || chdir(gone.c_str()) != 0 || rmdir(gone.c_str()) != 0) return 2;
        const auto engine = planted_engine(planted_options(dir.path()));
        return engine->layer(one_kernel(0)) && engine->stats().store_failed == 0 ? 0 : 1;
    });
    CHECK(result == 0);
}

TEST_CASE("process: a log that throws fails one request, and the next one is answered")
{
    load_look_alike();
    const temporary_directory dir;
    jit::engine_options options = planted_options(dir.path());
    options.level = jit::log_level::info;
    bool is_first = true;
    options.log = [&](jit::log_level, std::string_view line) {
        if (line.rfind("compiled ", 0) == 0 && std::exchange(is_first, false)) throw std::runtime_error("planted");
    };
    const auto engine = planted_engine(options);
    const auto failed = engine->layer(one_kernel(0));
    REQUIRE_FALSE(failed);
    CHECK(failed.error().message.find("planted") != std::string::npos);
    CHECK(engine->layer(one_kernel(0)));
}

TEST_CASE("process: an object that does not load for want of memory, or under capture, is kept")
{
    load_look_alike();
    const temporary_directory dir;
    REQUIRE(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)));
    const auto engine = planted_engine(planted_options(dir.path()));
    for (const auto& [error, name] : {std::pair(2, "hipErrorOutOfMemory"), std::pair(900, "hipErrorStreamCapture")}) {
        fresh_fake().control.fail("hipModuleLoadData", 1, error);
        const auto refused = engine->layer(one_kernel(0));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == jit::errc::load_failed);
        CHECK_MESSAGE(refused.error().message.find(name) != std::string::npos, refused.error().message);
    }
    CHECK(engine->stats().set_aside == 0);
    CHECK(engine->layer(one_kernel(0)));
    CHECK(engine->stats().compiled == 0);
}
