// tests/unit/cache_trust_test.cpp -- where the user database may be, and whose it must be.
#include <fcntl.h>

#include <optional>

#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

/// Sets an environment variable, or unsets it, for as long as it lives.
class environment {
public:
    environment(const char* name, const char* value) : name_(name)
    {
        if (const char* old = getenv(name)) old_ = old;
        set(value);
    }
    ~environment() { set(old_ ? old_->c_str() : nullptr); }
    environment(const environment&) = delete;
    environment& operator=(const environment&) = delete;

private:
    void set(const char* value) const
    {
        if (value != nullptr) {
            setenv(name_, value, 1);
        } else {
            unsetenv(name_);
        }
    }
    const char* name_;
    std::optional<std::string> old_;
};

user_store_seams all_network_but(const std::string& local, const std::vector<node_local_directory>& others)
{
    user_store_seams seams;
    seams.is_local = [local](const std::string& dir) { return !local.empty() && dir.rfind(local, 0) == 0; };
    seams.other_directories = [others] { return others; };
    return seams;
}

}  // namespace

TEST_CASE("cache: directory and database are made for the user alone, whatever the umask")
{
    for (const mode_t mask : {mode_t{0}, mode_t{0077}, mode_t{0777}}) {
        const temporary_directory dir;
        const std::string nested = dir / "a/b/";
        const mode_t old = umask(mask);
        const auto store = open_store(nested);
        umask(old);
        REQUIRE(store);
        CHECK(mode_of(dir / "a") == 0700);
        CHECK(mode_of(dir / "a/b") == 0700);
        CHECK(store->path() == dir / "a/b/mhc_user.db");
        CHECK(mode_of(store->path()) == 0600);
        CHECK(store->insert(row(1), false));
        CHECK(mode_of(store->path() + "-wal") == 0600);
    }
}

TEST_CASE("cache: a directory or database that others may write is refused, with what to do")
{
    const temporary_directory dir;
    std::string why;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    const std::string before = contents(dir / "mhc_user.db");
    SUBCASE("a directory, all others")
    {
        REQUIRE(chmod(dir.path().c_str(), 0777) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("chmod go-w " + dir.path()) != std::string::npos);
    }
    SUBCASE("a directory, the group")
    {
        REQUIRE(chmod(dir.path().c_str(), 0770) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("mode 0770") != std::string::npos);
    }
    SUBCASE("the database")
    {
        REQUIRE(chmod((dir / "mhc_user.db").c_str(), 0620) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("chmod go-w " + (dir / "mhc_user.db")) != std::string::npos);
    }
    CHECK(contents(dir / "mhc_user.db") == before);
}

TEST_CASE("cache: what belongs to another user is refused")
{
    if (geteuid() != 0) {
        MESSAGE("not run: only root can give files away");
        return;
    }
    const temporary_directory dir, target;
    std::string why;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    SUBCASE("a directory")
    {
        REQUIRE(chown(dir.path().c_str(), 12345, 12345) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("belongs to uid 12345") != std::string::npos);
    }
    SUBCASE("a database")
    {
        REQUIRE(chown((dir / "mhc_user.db").c_str(), 12345, 12345) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("belongs to uid 12345") != std::string::npos);
    }
    SUBCASE("a link to a directory of ours")
    {
        const std::string link = dir / "link";
        REQUIRE(symlink(target.path().c_str(), link.c_str()) == 0);
        REQUIRE(lchown(link.c_str(), 12345, 12345) == 0);
        CHECK_FALSE(open_store(link + "/", nullptr, nullptr, &why));
        CHECK(why.find("is a symbolic link that belongs to uid 12345") != std::string::npos);
        CHECK(names_in(target.path(), "").empty());
    }
}

TEST_CASE("cache: a database behind a symbolic link is refused, a directory behind one's own is not")
{
    const temporary_directory dir, target;
    std::string why;
    SUBCASE("to a database")
    {
        REQUIRE(open_store(target.path())->insert(row(1), false));
        REQUIRE(symlink((target / "mhc_user.db").c_str(), (dir / "mhc_user.db").c_str()) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("is a symbolic link") != std::string::npos);
    }
    SUBCASE("to nothing")
    {
        REQUIRE(symlink((target / "new.db").c_str(), (dir / "mhc_user.db").c_str()) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK_FALSE(exists(target / "new.db"));
    }
    SUBCASE("no file at all")
    {
        REQUIRE(mkdir((dir / "mhc_user.db").c_str(), 0700) == 0);
        CHECK_FALSE(open_store(dir.path(), nullptr, nullptr, &why));
        CHECK(why.find("is not a regular file") != std::string::npos);
    }
    SUBCASE("the directory")
    {
        REQUIRE(symlink(target.path().c_str(), (dir / "link").c_str()) == 0);
        const auto store = open_store(dir / "link");
        REQUIRE(store);
        CHECK(store->path() == target / "mhc_user.db");
    }
}

TEST_CASE("cache: a path that is no directory, or that cannot be made, is refused")
{
    const temporary_directory dir;
    std::string why;
    CHECK_FALSE(open_store("", nullptr, nullptr, &why));
    CHECK(why == "no directory is named");
    overwrite(dir / "file", "text");
    CHECK_FALSE(open_store(dir / "file", nullptr, nullptr, &why));
    CHECK_FALSE(open_store(dir / "file/below", nullptr, nullptr, &why));
    CHECK(why.find("cannot make directory") != std::string::npos);
    user_store_options options{dir / "absent", true, 0, {}};
    CHECK_FALSE(open_user_store(options, &why));
    CHECK_FALSE(exists(dir / "absent"));
}

TEST_CASE("cache: a read-only directory is read, and left as it is")
{
    const temporary_directory dir;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    const std::string before = contents(dir / "mhc_user.db");
    REQUIRE(chmod(dir.path().c_str(), 0500) == 0);
    const int result = unprivileged(dir.path(), [&] {
        log_recorder log;
        const auto store = open_store(dir.path(), &log);
        if (!store) return 1;
        if (store->is_writable()) return 2;
        if (!store->find(query(row(1)))) return 3;
        if (store->insert(row(2), false) || store->insert(row(3), false)) return 4;
        return log.warnings() == 1 ? 0 : 5;
    });
    REQUIRE(chmod(dir.path().c_str(), 0700) == 0);
    CHECK(result == 0);
    CHECK(contents(dir / "mhc_user.db") == before);
    CHECK(names_in(dir.path(), "mhc_user.db").size() == 1);
}

TEST_CASE("cache: a read-only file in a writable directory is read and not written")
{
    const temporary_directory dir;
    REQUIRE(open_store(dir.path())->insert(row(1), false));
    REQUIRE(chmod((dir / "mhc_user.db").c_str(), 0400) == 0);
    const std::string before = contents(dir / "mhc_user.db");
    const int result = unprivileged(dir.path(), [&] {
        const auto store = open_store(dir.path());
        if (!store) return 1;
        if (store->is_writable()) return 2;
        if (!store->find(query(row(1)))) return 3;
        return store->insert(row(2), false) ? 4 : 0;
    });
    CHECK(result == 0);
    CHECK(contents(dir / "mhc_user.db") == before);
}

TEST_CASE("cache: in a read-only directory a database whose log is not empty is never read without it")
{
    const temporary_directory dir;
    auto store = open_store(dir.path());
    REQUIRE(store->insert(row(1), false));
    const temporary_directory copy;
    for (const char* name : {"mhc_user.db", "mhc_user.db-wal"}) std::filesystem::copy(dir / name, copy / name);
    REQUIRE(std::filesystem::file_size(copy / "mhc_user.db-wal") > 0);
    REQUIRE(chmod(copy.path().c_str(), 0500) == 0);
    const int result = unprivileged(copy.path(), [&] { return open_store(copy.path()) ? 1 : 0; });
    REQUIRE(chmod(copy.path().c_str(), 0700) == 0);
    CHECK(result == 0);
}

TEST_CASE("cache: nothing is made in a directory that is read-only and empty")
{
    const temporary_directory dir;
    REQUIRE(chmod(dir.path().c_str(), 0500) == 0);
    CHECK(unprivileged(dir.path(), [&] { return open_store(dir.path()) ? 1 : 0; }) == 0);
    REQUIRE(chmod(dir.path().c_str(), 0700) == 0);
    CHECK(names_in(dir.path(), "").empty());
}

TEST_CASE("cache: on a network filesystem a directory of this machine is used instead")
{
    const temporary_directory network, local;
    log_recorder log;
    std::string why;
    const user_store_options options{network.path(), false, 1 << 30, log.sink()};
    SUBCASE("the first that is local, with one warning")
    {
        const auto store = open_user_store(
            options, all_network_but(local.path(), {{network / "no", 0}, {local / "yes", 250'000}, {local / "late", 0}}),
            &why);
        REQUIRE(store);
        CHECK(store->path() == local / "yes/mhc_user.db");
        CHECK_FALSE(exists(network / "mhc_user.db"));
        CHECK_FALSE(exists(local / "late"));
        CHECK(log.warnings() == 1);

        // This one has a cap of its own, above which what an earlier process stored goes.
        for (int i = 1; i <= 2; ++i) REQUIRE(open_store(local / "yes")->insert(row(i, 1, 100'000), false));
        REQUIRE(store->insert(row(3, 1, 100'000), false));
        CHECK(store->count().objects == 2);
    }
    SUBCASE("one that others may write is not")
    {
        REQUIRE(chmod(local.path().c_str(), 0777) == 0);
        CHECK_FALSE(open_user_store(options, all_network_but(local.path(), {{local.path(), 0}}), &why));
        CHECK(why.find("network filesystem") != std::string::npos);
        CHECK(why.find("chmod go-w") != std::string::npos);
    }
}

TEST_CASE("cache: filesystems that are local are known, the others are not")
{
    CHECK_FALSE(is_on_local_filesystem("/proc"));
    CHECK_FALSE(is_on_local_filesystem("/nowhere/at/all"));
    const temporary_directory dir;
    CHECK(maps_shared(dir.path()));
    CHECK(names_in(dir.path(), "").empty());
    CHECK_FALSE(maps_shared("/nowhere/at/all"));
}

TEST_CASE("cache: where memory cannot be shared there is no write-ahead log")
{
    const temporary_directory dir;
    user_store_seams seams;
    seams.can_map_shared = [](const std::string&) { return false; };
    const auto store = open_user_store({dir.path(), false, 1 << 30, {}}, seams, nullptr);
    REQUIRE(store);
    CHECK(store->insert(row(1), false));
    CHECK_FALSE(exists(store->path() + "-wal"));
    CHECK_FALSE(exists(store->path() + "-shm"));
    CHECK(store->find(query(row(1))));
}

TEST_CASE("cache: the user's directory is the first of those named")
{
    const temporary_directory home;
    const std::string wanted = home.path() + "/.cache/mhc/v1";
    const environment xdg("XDG_CACHE_HOME", "/xdg"), home_is("HOME", home.path().c_str());
    CHECK(user_cache_dir("/given") == "/given");
    CHECK(user_cache_dir(std::nullopt) == "/xdg/mhc/v1");
    CHECK(user_cache_dir("") == "/xdg/mhc/v1");
    SUBCASE("the home directory, without XDG_CACHE_HOME")
    {
        const environment none("XDG_CACHE_HOME", nullptr);
        CHECK(user_cache_dir(std::nullopt) == wanted);
    }
    SUBCASE("the home directory, when XDG_CACHE_HOME is relative")
    {
        const environment relative("XDG_CACHE_HOME", "cache");
        CHECK(user_cache_dir(std::nullopt) == wanted);
    }
    SUBCASE("without a home that exists, another that does not depend on it")
    {
        const environment none("XDG_CACHE_HOME", nullptr), lost("HOME", "/nowhere/at/all");
        const std::string other = user_cache_dir(std::nullopt);
        CHECK(other.front() == '/');
        CHECK(other.find("/nowhere") == std::string::npos);
        const bool is_known = other.ends_with("/.cache/mhc/v1") || other == fmt::format("/var/tmp/mhc-{}", geteuid());
        CHECK(is_known);
    }
}

TEST_CASE("cache: directories of this machine are those of the user, the one in memory with a cap")
{
    const environment runtime("XDG_RUNTIME_DIR", "/run/user/1");
    const auto directories = node_local_directories();
    REQUIRE(directories.size() == 2);
    CHECK(directories[0].path == fmt::format("/var/tmp/mhc-{}", geteuid()));
    CHECK(directories[0].bytes_max == 0);
    CHECK(directories[1].path == "/run/user/1/mhc");
    CHECK(directories[1].bytes_max == 256 << 20);
}
