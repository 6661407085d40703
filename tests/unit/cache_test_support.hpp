// tests/unit/cache_test_support.hpp -- rows to store, a log to read, and ways to spoil a database.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cache/user_store.hpp"
#include "tests/support/temporary_directory.hpp"

namespace mhc::test {

inline constexpr std::int64_t hour = 3600;
inline constexpr std::int64_t start = 1'700'000'000;

/// Bytes that no compressor shortens, the same for equal seeds.
inline std::string noise(unsigned seed, std::size_t size)
{
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    return bytes;
}

inline cache::toolchain compiler(int number)
{
    const std::string name = fmt::format("compiler {}", number);
    return {cache::sha256(name), "{\"name\":\"" + name + "\"}"};
}

/// Rows of equal number and different compilers differ in key and in the toolchain field of the text, in nothing else.
inline cache::code_row row(int number, int compiler_number = 1, std::size_t size = 1000)
{
    cache::code_row r;
    r.compiler = compiler(compiler_number);
    r.key_json = fmt::format(R"({{"family":"post_fwd","number":{},"toolchain":"{}"}})", number,
                             cache::to_hex(r.compiler.fingerprint));
    r.key = cache::sha256(r.key_json);
    r.key_nofp = cache::sha256(fmt::format("without {}", number));
    r.family = "post_fwd";
    r.target = "gfx942";
    r.hidden_dim = number;
    r.n_streams = 4;
    r.dtype = "bf16";
    r.symbol = fmt::format("mhc_post_{}", number);
    r.bytes = noise(static_cast<unsigned>(number * 100 + compiler_number), size);
    return r;
}

inline cache::code_query query(const cache::code_row& r, bool any_toolchain = false)
{
    return {r.key, r.key_nofp, r.key_json, fmt::format(R"({{"family":"post_fwd","number":{}}})", r.hidden_dim),
            any_toolchain};
}

/// What a lookup gives; "absent" where it gives nothing.
inline std::string found_bytes(cache::code_store& store, const cache::code_query& q)
{
    const auto found = store.find(q);
    return found ? found->bytes : "absent";
}

inline std::string found_compiler(cache::code_store& store, const cache::code_query& q)
{
    const auto found = store.find(q);
    return found ? found->compiler.descr : "absent";
}

struct log_recorder {
    std::vector<std::pair<cache::severity, std::string>> lines;

    cache::event_sink sink()
    {
        return [this](cache::severity level, std::string_view line) { lines.emplace_back(level, line); };
    }
    std::size_t count(cache::severity level) const
    {
        return static_cast<std::size_t>(
            std::count_if(lines.begin(), lines.end(), [&](const auto& line) { return line.first == level; }));
    }
    std::size_t warnings() const { return count(cache::severity::warning); }
};

/// A store in `dir`, with a clock that stands at *now where one is given.
inline std::unique_ptr<cache::code_store> open_store(const std::string& dir, log_recorder* log = nullptr,
                                                     const std::int64_t* now = nullptr, std::string* why = nullptr)
{
    cache::user_store_options options;
    options.dir = dir;
    if (log != nullptr) options.log = log->sink();
    cache::user_store_seams seams;
    if (now != nullptr) seams.now = [now] { return *now; };
    return cache::open_user_store(options, std::move(seams), why);
}

/// Runs statements on a database as a stranger would; returns the first column of the last row as a number.
inline std::int64_t raw(const std::string& path, const std::string& sql)
{
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    std::int64_t result = 0;
    const auto keep = [](void* to, int, char** values, char**) {
        if (values[0] != nullptr) *static_cast<std::int64_t*>(to) = std::strtoll(values[0], nullptr, 10);
        return 0;
    };
    char* message = nullptr;
    const int code = sqlite3_exec(db, sql.c_str(), keep, &result, &message);
    const std::string error = message != nullptr ? message : "";
    sqlite3_free(message);
    sqlite3_close(db);
    REQUIRE_MESSAGE(code == SQLITE_OK, sql << ": " << error);
    return result;
}

inline std::string contents(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void overwrite(const std::string& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline bool exists(const std::string& path)
{
    struct stat seen {};
    return lstat(path.c_str(), &seen) == 0;
}

inline unsigned mode_of(const std::string& path)
{
    struct stat seen {};
    REQUIRE(stat(path.c_str(), &seen) == 0);
    return seen.st_mode & 07777;
}

inline std::vector<std::string> names_in(const std::string& dir, const std::string& beginning)
{
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
        std::string name = entry.path().filename().string();
        if (name.rfind(beginning, 0) == 0) names.push_back(std::move(name));
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// Starts a child that ends with what `body` returns; no destructor of the parent's objects runs in it.
inline pid_t start_child(const std::function<int()>& body)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        // An exception must not go on with the parent's other tests.
        try {
            _exit(body());
        } catch (...) {
            _exit(98);
        }
    }
    return child;
}

inline int result_of(pid_t child)
{
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

inline int in_child(const std::function<int()>& body) { return result_of(start_child(body)); }

/// Runs `body` in a child that file modes bind: root becomes uid 65534 first, which is to own `dir` and what is in it.
inline int unprivileged(const std::string& dir, const std::function<int()>& body)
{
    constexpr uid_t nobody = 65534;
    if (geteuid() != 0) return in_child(body);
    REQUIRE(chown(dir.c_str(), nobody, nobody) == 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir))
        REQUIRE(lchown(entry.path().c_str(), nobody, nobody) == 0);
    return in_child([&] {
        if (setgid(nobody) != 0 || setuid(nobody) != 0) return 99;
        return body();
    });
}

}  // namespace mhc::test
