// tests/unit/cache_toolchain_test.cpp -- which compilers are known without asking them.
#include <fcntl.h>

#include "tests/unit/cache_test_support.hpp"

using namespace mhc::cache;
using namespace mhc::test;

namespace {

toolchain_file as_seen(const std::string& path)
{
    struct stat seen {};
    REQUIRE(stat(path.c_str(), &seen) == 0);
    return {path, static_cast<std::int64_t>(seen.st_dev), static_cast<std::int64_t>(seen.st_ino), seen.st_size,
            seen.st_mtim.tv_sec * 1'000'000'000 + seen.st_mtim.tv_nsec};
}

std::size_t known(code_store& store) { return store.known_toolchains().size(); }

}  // namespace

TEST_CASE("cache: a toolchain is known while all its files are what they were")
{
    const temporary_directory dir;
    const std::string one = dir / "one", two = dir / "two";
    overwrite(one, "first");
    overwrite(two, "second");
    const auto store = open_store(dir / "cache");
    CHECK(known(*store) == 0);
    store->remember_toolchain(compiler(1), {as_seen(one), as_seen(two)});
    REQUIRE(known(*store) == 1);
    CHECK(store->known_toolchains()[0].fingerprint == compiler(1).fingerprint);
    CHECK(store->known_toolchains()[0].descr == compiler(1).descr);
    REQUIRE(known(*open_store(dir / "cache")) == 1);

    SUBCASE("another size")
    {
        const toolchain_file before = as_seen(two);
        overwrite(two, "second and more");
        const timespec times[2] = {{0, UTIME_OMIT}, {before.mtime_ns / 1'000'000'000, before.mtime_ns % 1'000'000'000}};
        REQUIRE(utimensat(AT_FDCWD, two.c_str(), times, 0) == 0);
        REQUIRE(as_seen(two).mtime_ns == before.mtime_ns);
        CHECK(known(*store) == 0);
    }
    SUBCASE("another time, by a nanosecond")
    {
        const std::int64_t later = as_seen(two).mtime_ns + 1;
        const timespec times[2] = {{0, UTIME_OMIT}, {later / 1'000'000'000, later % 1'000'000'000}};
        REQUIRE(utimensat(AT_FDCWD, two.c_str(), times, 0) == 0);
        CHECK(known(*store) == 0);
        store->remember_toolchain(compiler(1), {as_seen(one), as_seen(two)});
        CHECK(known(*store) == 1);
        CHECK(raw(store->path(), "SELECT count(*) FROM toolchain_file") == 2);
    }
    SUBCASE("another file in its place")
    {
        std::filesystem::copy(two, dir / "copy");
        const toolchain_file before = as_seen(two);
        std::filesystem::rename(dir / "copy", two);
        const timespec times[2] = {{0, UTIME_OMIT}, {before.mtime_ns / 1'000'000'000, before.mtime_ns % 1'000'000'000}};
        REQUIRE(utimensat(AT_FDCWD, two.c_str(), times, 0) == 0);
        CHECK(known(*store) == 0);
    }
    SUBCASE("none in its place")
    {
        std::filesystem::remove(one);
        CHECK(known(*store) == 0);
    }
}

TEST_CASE("cache: a toolchain of a row alone is not known, for nothing says which files it is")
{
    const temporary_directory dir;
    const auto store = open_store(dir.path());
    REQUIRE(store->insert(row(1), false));
    CHECK(known(*store) == 0);
    store->remember_toolchain(compiler(2), {});
    CHECK(known(*store) == 0);
}

TEST_CASE("cache: two toolchains may share a file, and the one seen last comes first")
{
    const temporary_directory dir;
    const std::string shared = dir / "shared", own = dir / "own";
    overwrite(shared, "device library");
    overwrite(own, "compiler");
    std::int64_t now = start;
    const auto store = open_store(dir / "cache", nullptr, &now);
    store->remember_toolchain(compiler(1), {as_seen(shared), as_seen(own)});
    ++now;
    store->remember_toolchain(compiler(2), {as_seen(shared)});
    REQUIRE(known(*store) == 2);
    CHECK(store->known_toolchains()[0].fingerprint == compiler(2).fingerprint);
    ++now;
    store->remember_toolchain(compiler(1), {as_seen(shared), as_seen(own)});
    REQUIRE(known(*store) == 2);
    CHECK(store->known_toolchains()[0].fingerprint == compiler(1).fingerprint);
    std::filesystem::remove(own);
    REQUIRE(known(*store) == 1);
    std::filesystem::remove(shared);
    CHECK(known(*store) == 0);
}
