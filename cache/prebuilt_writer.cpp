// cache/prebuilt_writer.cpp -- makes a database that ships with a program, of the same bytes wherever it is made.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cache/code_store.hpp"
#include "cache/database_bytes.hpp"
#include "cache/file_descriptor.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {
namespace {

void write_database(const std::string& path, const std::vector<code_row>& rows)
{
    sqlite::connection db = database_in_memory(rows);
    // Copied afresh, the file depends on the rows alone, not on the way they came to be there.
    sqlite::run(db, "VACUUM INTO ?1", path);
}

void check_database(const std::string& path)
{
    sqlite::connection db(path, sqlite::access::immutable);
    sqlite::statement s(db, "PRAGMA integrity_check");
    if (!s.step() || s.text(0) != "ok") throw sqlite::error(sqlite::fault::corrupt, path + " fails its integrity check");
}

bool put_in_place(const std::string& from, const std::string& to, std::string* why)
{
    const auto failed = [&](const char* doing) {
        return *why = fmt::format("{} {}: {}", doing, to, std::strerror(errno)), false;
    };
    {
        const file_descriptor fd(open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!fd || fchmod(fd.get(), 0444) != 0 || fsync(fd.get()) != 0) return failed("cannot finish");
    }
    if (std::rename(from.c_str(), to.c_str()) != 0) return failed("cannot put in place");
    const file_descriptor dir(open(std::filesystem::path(to).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (dir) fsync(dir.get());
    return true;
}

}  // namespace

bool write_prebuilt_database(const std::string& file, const std::vector<code_row>& rows, std::string* why)
{
    std::string ignored;
    if (why == nullptr) why = &ignored;
    std::string unfinished;
    try {
        namespace fs = std::filesystem;
        const fs::path named = fs::absolute(file);
        const std::string path = (fs::canonical(named.parent_path()) / named.filename()).string();
        unfinished = fmt::format("{}.tmp-{}", path, getpid());
        unlink(unfinished.c_str());
        write_database(unfinished, rows);
        check_database(unfinished);
        if (put_in_place(unfinished, path, why)) return true;
    } catch (const std::exception& e) {
        *why = e.what();
    }
    if (!unfinished.empty()) unlink(unfinished.c_str());
    return false;
}

}  // namespace mhc::cache
