// tests/fault/place_test.cpp -- engines whose cache folder is full, read-only, foreign, gone, or of nobody: the layer is
// made.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

struct heard {
    std::vector<std::string> warnings;
    std::mutex mutex;

    jit::engine_options listen(jit::engine_options options)
    {
        options.level = jit::log_level::warning;
        options.log = [this](jit::log_level, std::string_view line) {
            const std::lock_guard lock(mutex);
            warnings.emplace_back(line);
        };
        return options;
    }
};

/// The layer is made from memory, nothing is kept, and one line says why.
void check_memory_only(const std::string& dir, const std::string& said)
{
    heard lines;
    const auto engine = planted_engine(lines.listen(planted_options(dir)));
    REQUIRE(engine->layer(one_kernel(0)));
    CHECK(engine->stats().compiled == 1);
    CHECK(engine->stats().waited_process == 0);
    CHECK(engine->cache_path().empty());
    REQUIRE(lines.warnings.size() == 1);
    CHECK_MESSAGE(lines.warnings[0].find(said) != std::string::npos, lines.warnings[0]);
}

constexpr int not_possible = 77;

/// A tmpfs of 8 MB, twice what a write-ahead log grows to, in a mount namespace that goes with this process.
bool mount_small(const std::string& dir)
{
    return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount("tmpfs", dir.c_str(), "tmpfs", 0, "size=8m,mode=0700") == 0;
}

void fill_up(const std::string& path)
{
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string block(4096, 'x');
    while (write(file, block.data(), block.size()) > 0) continue;
    close(file);
}

}  // namespace

TEST_CASE("place: on a full disk every layer is made, and what was stored before is served")
{
    load_look_alike();
    const temporary_directory dir;
    const int result = in_child([&] {
        if (!mount_small(dir.path())) return not_possible;
        const std::string cache = dir / "cache";
        if (!planted_engine(planted_options(cache))->layer(one_kernel(0))) return 1;
        const auto engine = planted_engine(planted_options(cache));
        if (!engine->layer(one_kernel(0)) || engine->stats().l2_hit != 1) return 2;
        fill_up(dir / "filler");
        for (int number = 1; number <= 40; ++number)
            if (!engine->layer(one_kernel(number))) return 3;
        if (engine->stats().compiled != 40) return 4;
        if (engine->stats().store_failed == 0) return 5;
        const auto next = planted_engine(planted_options(cache));
        if (!next->layer(one_kernel(0))) return 6;
        std::filesystem::remove(dir / "filler");
        const auto last = planted_engine(planted_options(cache));
        for (int number = 1; number <= 40; ++number)
            if (!last->layer(one_kernel(number))) return 7;
        if (last->stats().store_failed != 0) return 8;
        return raw(cache + "/mhc_user.db", "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1
                   ? 0
                   : 9;
    });
    if (result == not_possible) {
        MESSAGE("not run: needs root and mount namespaces");
        return;
    }
    CHECK(result == 0);
}

TEST_CASE("place: a disk that is full from the start leaves memory")
{
    load_look_alike();
    const temporary_directory dir;
    const int result = in_child([&] {
        if (!mount_small(dir.path())) return not_possible;
        fill_up(dir / "filler");
        const auto engine = planted_engine(planted_options(dir / "cache"));
        for (int number = 0; number < 3; ++number)
            if (!engine->layer(one_kernel(number))) return 1;
        return engine->stats().compiled == 3 ? 0 : 2;
    });
    if (result == not_possible)
        MESSAGE("not run: needs root and mount namespaces");
    else
        CHECK(result == 0);
}

TEST_CASE("place: a folder that cannot be trusted or used is left alone")
{
    load_look_alike();
    const temporary_directory dir;
    SUBCASE("world-writable")
    {
        REQUIRE(chmod(dir.path().c_str(), 0777) == 0);
        check_memory_only(dir.path(), "run chmod go-w");
        CHECK(names_in(dir.path(), "").empty());
    }
    SUBCASE("of another user")
    {
        if (geteuid() != 0) return;
        REQUIRE(chown(dir.path().c_str(), 12345, 12345) == 0);
        check_memory_only(dir.path(), "belongs to uid 12345");
        CHECK(names_in(dir.path(), "").empty());
    }
    SUBCASE("a database behind a symbolic link")
    {
        REQUIRE(symlink("/dev/null", (dir / "mhc_user.db").c_str()) == 0);
        check_memory_only(dir.path(), "is a symbolic link");
    }
    SUBCASE("a lock file behind a symbolic link")
    {
        REQUIRE(symlink((dir / "elsewhere").c_str(), (dir / "mhc.lock").c_str()) == 0);
        check_memory_only(dir.path(), "mhc.lock");
        CHECK_FALSE(exists(dir / "elsewhere"));
    }
    SUBCASE("a file in its place")
    {
        overwrite(dir / "file", "text");
        check_memory_only(dir / "file", "");
        CHECK(contents(dir / "file") == "text");
    }
    SUBCASE("in a place where nothing can be made") { check_memory_only("/proc/nowhere", "/proc/nowhere"); }
}

TEST_CASE("place: a folder that may only be read serves what it holds, takes no lock and compiles the rest")
{
    load_look_alike();
    const temporary_directory dir;
    REQUIRE(planted_engine(planted_options(dir.path()))->layer(one_kernel(0)));
    REQUIRE(chmod(dir.path().c_str(), 0500) == 0);
    const int result = unprivileged(dir.path(), [&] {
        if (access(MHC_PLANTED_WORKER, X_OK) != 0) return not_possible;
        const auto engine = planted_engine(planted_options(dir.path()));
        if (!engine->layer(one_kernel(0)) || !engine->layer(one_kernel(1))) return 1;
        const jit::engine_stats stats = engine->stats();
        if (stats.l2_hit != 1 || stats.compiled != 1) return 2;
        return stats.waited_process == 0 ? 0 : 3;
    });
    REQUIRE(chmod(dir.path().c_str(), 0700) == 0);
    if (result == not_possible)
        MESSAGE("not run: another user cannot reach " << MHC_PLANTED_WORKER);
    else
        CHECK(result == 0);
}

TEST_CASE("place: a folder or file deleted while open is made again at the next store")
{
    load_look_alike();
    const temporary_directory dir;
    const std::string cache = dir / "cache";
    const auto engine = planted_engine(planted_options(cache));
    REQUIRE(engine->layer(one_kernel(0)));
    SUBCASE("the folder") { std::filesystem::remove_all(cache); }
    SUBCASE("the files")
    {
        for (const std::string& name : names_in(cache, "mhc_user")) std::filesystem::remove(cache + "/" + name);
    }
    SUBCASE("the lock file") { std::filesystem::remove(cache + "/mhc.lock"); }
    REQUIRE(engine->layer(one_kernel(1)));
    CHECK(engine->stats().compiled == 2);
    CHECK(engine->stats().store_failed == 0);
    const auto next = planted_engine(planted_options(cache));
    REQUIRE(next->layer(one_kernel(1)));
    CHECK(next->stats().l2_hit == 1);
}

TEST_CASE("place: a user without a home has a folder under /var/tmp")
{
    if (geteuid() != 0) {
        MESSAGE("not run: needs root to become a user without a passwd entry");
        return;
    }
    load_look_alike();
    constexpr uid_t stranger = 3999999;
    const std::string place = fmt::format("/var/tmp/mhc-{}", stranger);
    std::filesystem::remove_all(place);
    const int result = in_child([&] {
        for (const char* name : {"HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "MHC_JIT_DIR"}) unsetenv(name);
        if (setgid(stranger) != 0 || setuid(stranger) != 0) return 1;
        if (access(MHC_PLANTED_WORKER, X_OK) != 0) return not_possible;
        jit::engine_options options = planted_options("");
        options.cache_dir.reset();
        const auto engine = planted_engine(options);
        if (!engine->layer(one_kernel(0))) return 2;
        return engine->cache_path() == place + "/mhc_user.db" && mode_of(place) == 0700 ? 0 : 3;
    });
    std::filesystem::remove_all(place);
    if (result == not_possible)
        MESSAGE("not run: another user cannot reach " << MHC_PLANTED_WORKER);
    else
        CHECK(result == 0);
}
