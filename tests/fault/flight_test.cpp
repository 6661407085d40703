// tests/fault/flight_test.cpp -- one compilation a key, however many processes ask, and none that waits for ever.
#include <signal.h>

#include <thread>

#include "cache/key_lock.hpp"
#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;
using namespace std::chrono_literals;
using cache::key_lock;
using state = cache::key_lock::state;

namespace {

const cache::digest one_key = cache::sha256("one"), other_key = cache::sha256("other");

/// A child that holds the lock of `key` until it is killed.
pid_t start_holder(const std::string& dir, const cache::digest& key, const cache::file_lock_seams& seams = {})
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t holder = start_child([&] {
        key_lock lock(dir, key, seams);
        char byte = lock.try_take() == state::taken ? 'y' : 'n';
        (void)!write(ends[1], &byte, 1);
        pause();
        return 0;
    });
    char byte = 0;
    REQUIRE(read(ends[0], &byte, 1) == 1);
    close(ends[0]);
    close(ends[1]);
    REQUIRE(byte == 'y');
    return holder;
}

}  // namespace

TEST_CASE("key lock: one holder a key, within a process and across processes, freed when the holder ends or is killed")
{
    const temporary_directory dir;
    {
        key_lock first(dir.path(), one_key), second(dir.path(), one_key), third(dir.path(), other_key);
        CHECK(first.try_take() == state::taken);
        CHECK(second.try_take() == state::held_elsewhere);
        CHECK(third.try_take() == state::taken);
    }
    const pid_t holder = start_holder(dir.path(), one_key);
    key_lock mine(dir.path(), one_key);
    CHECK(mine.try_take() == state::held_elsewhere);
    CHECK(mine.wait(30ms) == state::held_elsewhere);
    CHECK(kill(holder, SIGKILL) == 0);
    CHECK(result_of(holder) == 256 + SIGKILL);
    CHECK(mine.wait(10s) == state::taken);
}

TEST_CASE("key lock: keys that begin with zeros leave byte 0 to the maintenance lock")
{
    const temporary_directory dir;
    key_lock zero(dir.path(), cache::digest{});
    REQUIRE(zero.try_take() == state::taken);
    const auto store = open_store(dir.path());
    CHECK(store);
}

TEST_CASE("key lock: a child forked while it is held neither has it nor keeps it")
{
    const temporary_directory dir;
    auto mine = std::make_unique<key_lock>(dir.path(), one_key);
    REQUIRE(mine->try_take() == state::taken);
    const pid_t child = start_child([&] {
        key_lock again(dir.path(), one_key);
        if (again.try_take() != state::held_elsewhere) return 1;
        pause();
        return 0;
    });
    mine.reset();
    key_lock next(dir.path(), one_key);
    CHECK(next.try_take() == state::taken);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(result_of(child) == 256 + SIGKILL);
}

TEST_CASE("key lock: a child that outlives its killed parent does not keep the lock")
{
    const temporary_directory dir;
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t holder = start_child([&] {
        key_lock lock(dir.path(), one_key);
        if (lock.try_take() != state::taken) return 1;
        const pid_t grandchild = start_child([] {
            pause();
            return 0;
        });
        (void)!write(ends[1], &grandchild, sizeof grandchild);
        pause();
        return 0;
    });
    pid_t grandchild = 0;
    REQUIRE(read(ends[0], &grandchild, sizeof grandchild) == sizeof grandchild);
    REQUIRE(kill(holder, SIGKILL) == 0);
    CHECK(result_of(holder) == 256 + SIGKILL);
    key_lock next(dir.path(), one_key);
    CHECK(next.wait(10s) == state::taken);
    kill(grandchild, SIGKILL);
    close(ends[0]);
    close(ends[1]);
}

TEST_CASE("key lock: where no lock file can be made, or it is a link, there is no lock")
{
    const temporary_directory dir;
    key_lock nowhere(dir / "absent", one_key);
    CHECK(nowhere.try_take() == state::unsupported);
    CHECK(nowhere.wait(10s) == state::unsupported);
    REQUIRE(symlink("/dev/null", (dir / "mhc.lock").c_str()) == 0);
    key_lock link(dir.path(), one_key);
    CHECK(link.try_take() == state::unsupported);
}

TEST_CASE("key lock: without OFD locks a file for each bucket of keys is locked, and freed with its holder")
{
    const temporary_directory dir;
    cache::file_lock_seams old_kernel;
    int why = EINVAL;
    SUBCASE("a kernel that does not know them") {}
    SUBCASE("a filesystem that has none") { why = ENOLCK; }
    old_kernel.set_ofd = [why](int, struct flock*) { return errno = why, -1; };
    auto first = std::make_unique<key_lock>(dir.path(), one_key, old_kernel);
    key_lock second(dir.path(), one_key, old_kernel), third(dir.path(), other_key, old_kernel);
    CHECK(first->try_take() == state::taken);
    CHECK(first->try_take() == state::taken);
    CHECK(second.try_take() == state::held_elsewhere);
    CHECK(second.wait(10ms) == state::held_elsewhere);
    CHECK(third.try_take() == state::taken);
    CHECK(names_in(dir.path(), "mhc.lock.").size() == 2);
    const pid_t child = start_child([] {
        pause();
        return 0;
    });
    first.reset();
    CHECK(second.try_take() == state::taken);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(result_of(child) == 256 + SIGKILL);

    const cache::digest free_key = cache::sha256("free");
    const pid_t holder = start_holder(dir.path(), free_key, old_kernel);
    key_lock mine(dir.path(), free_key, old_kernel);
    CHECK(mine.try_take() == state::held_elsewhere);
    CHECK(kill(holder, SIGKILL) == 0);
    CHECK(result_of(holder) == 256 + SIGKILL);
    CHECK(mine.wait(10s) == state::taken);
}

TEST_CASE("key lock: with no locks of either kind there is none")
{
    const temporary_directory dir;
    cache::file_lock_seams none;
    none.set_ofd = [](int, struct flock*) { return errno = ENOLCK, -1; };
    none.set_flock = [](int, int) { return errno = ENOTSUP, -1; };
    key_lock lock(dir.path(), one_key, none);
    CHECK(lock.try_take() == state::unsupported);
    CHECK(lock.wait(10s) == state::unsupported);
}

TEST_CASE("single flight: 16 processes of 4 threads ask for one cold key, and it is compiled once")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable log("MHC_PLANTED_JOBS", dir / "jobs"), slow("MHC_PLANTED_MS", "100");
    constexpr int processes = 16, threads = 4;
    struct counts {
        std::atomic<int> ready{0}, layers{0};
        std::atomic<std::uint64_t> compiled{0}, found{0}, waited{0}, timed_out{0}, store_failed{0};
    };
    const shared<counts> all;
    std::vector<pid_t> children;
    for (int p = 0; p < processes; ++p)
        children.push_back(start_child([&] {
            const auto engine = planted_engine(planted_options(dir / "cache"));
            ++all->ready;
            while (all->ready < processes) usleep(100);
            std::vector<std::thread> asking;
            for (int t = 0; t < threads; ++t)
                asking.emplace_back([&] { all->layers += engine->layer(one_kernel(0)) ? 1 : 0; });
            for (std::thread& thread : asking) thread.join();
            const jit::engine_stats stats = engine->stats();
            all->compiled += stats.compiled;
            all->found += stats.l2_hit;
            all->waited += stats.waited_process;
            all->timed_out += stats.lock_timeout;
            all->store_failed += stats.store_failed;
            return 0;
        }));
    for (const pid_t child : children) CHECK(result_of(child) == 0);
    CHECK(all->layers == processes * threads);
    CHECK(all->compiled == 1);
    CHECK(jobs_in(dir / "jobs") == 1);
    CHECK(all->found == processes - 1);
    CHECK(all->waited > 0);
    CHECK(all->timed_out == 0);
    CHECK(all->store_failed == 0);
}

TEST_CASE("single flight: a failure is compiled once as well, and all who waited get it")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable log("MHC_PLANTED_JOBS", dir / "jobs"), slow("MHC_PLANTED_MS", "100"),
        how("MHC_PLANTED_HOW", "compile_error");
    std::vector<pid_t> children;
    for (int p = 0; p < 8; ++p)
        children.push_back(start_child([&] {
            const auto layer = planted_engine(planted_options(dir / "cache"))->layer(one_kernel(0));
            return !layer && layer.error().message.find("planted error") != std::string::npos ? 0 : 1;
        }));
    for (const pid_t child : children) CHECK(result_of(child) == 0);
    CHECK(jobs_in(dir / "jobs") == 1);
}

TEST_CASE("single flight: a holder that is stuck is waited for only so long")
{
    load_look_alike();
    const temporary_directory dir;
    const auto key = key_of(planted_engine(planted_options(dir / "known"))->layer(one_kernel(0)).value());
    jit::engine_options options = planted_options(dir / "cache");
    options.timeout_s = 1;
    std::vector<std::string> lines;
    std::mutex mutex;
    options.level = jit::log_level::warning;
    options.log = [&](jit::log_level, std::string_view line) {
        const std::lock_guard guard(mutex);
        lines.emplace_back(line);
    };
    const auto engine = planted_engine(options);
    REQUIRE(engine->layer(one_kernel(1)));
    key_lock stuck(dir / "cache", key);
    REQUIRE(stuck.try_take() == state::taken);
    REQUIRE(engine->layer(one_kernel(0)));
    const jit::engine_stats stats = engine->stats();
    CHECK(stats.compiled == 2);
    CHECK(stats.waited_process == 1);
    CHECK(stats.lock_timeout == 1);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("another process has been compiling it for 1 s") != std::string::npos);
}

TEST_CASE("single flight: a hit takes no lock")
{
    load_look_alike();
    const temporary_directory dir;
    const auto key = key_of(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)).value());
    key_lock stuck(dir.path(), key);
    REQUIRE(stuck.try_take() == state::taken);
    const auto engine = planted_engine(planted_options(dir.path()));
    REQUIRE(engine->layer(one_kernel(0)));
    CHECK(engine->stats().l2_hit == 1);
    CHECK(engine->stats().waited_process == 0);
}

TEST_CASE("single flight: without a lock file everything is compiled and stored as ever")
{
    load_look_alike();
    const temporary_directory dir;
    REQUIRE(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)));
    std::filesystem::remove(dir / "mhc.lock");
    std::filesystem::create_directory(dir / "mhc.lock");
    REQUIRE(planted_engine(planted_options(dir.path()))->layer(one_kernel(1)));
    const auto engine = planted_engine(planted_options(dir.path()));
    REQUIRE(engine->layer(one_kernel(0)));
    REQUIRE(engine->layer(one_kernel(1)));
    CHECK(engine->stats().l2_hit == 2);
}

TEST_CASE("single flight: what another process stored and does not load here is set aside and compiled once")
{
    load_look_alike();
    const temporary_directory dir;
    const auto key = key_of(planted_engine(planted_options(dir / "known"))->layer(one_kernel(0)).value());
    const auto engine = planted_engine(planted_options(dir / "cache"));
    REQUIRE(engine->layer(one_kernel(1)));
    {
        // The row comes, whole, while the engine waits; by then the look-alike is no gfx942 any more.
        auto held = std::make_unique<key_lock>(dir / "cache", key);
        REQUIRE(held->try_take() == state::taken);
        std::thread asking([&] { CHECK_FALSE(engine->layer(one_kernel(0))); });
        while (engine->stats().waited_process == 0) std::this_thread::sleep_for(1ms);
        const auto known = open_store(dir / "known");
        auto row = known->list().front();
        const auto whole = known->find({row.key, row.key_nofp, row.key_json, {}, false});
        REQUIRE(whole);
        CHECK(open_store(dir / "cache")->insert(*whole, false));
        refuse_every_module();
        held.reset();
        asking.join();
    }
    load_look_alike();
    CHECK(engine->stats().set_aside == 1);
    CHECK(engine->stats().compiled == 2);
    CHECK(engine->layer(one_kernel(0)));
}
