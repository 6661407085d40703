// cache/prebuilt_writer.cpp -- makes a database that ships with a program, of the same bytes wherever it is made.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <tuple>

#include "cache/code_store.hpp"
#include "cache/file_descriptor.hpp"
#include "cache/rows.hpp"
#include "cache/schema.hpp"

namespace mhc::cache {
namespace {

void write_database(const std::string& path, const std::vector<const code_row*>& rows)
{
    sqlite::connection db = sqlite::connection::in_memory();
    create_schema(db);
    {
        sqlite::transaction writing(db);
        for (const code_row* row : rows) {
            code_row lasting = *row;
            lasting.compile_ms = 0;  // a fact about the machine that compiled
            put_row(db, lasting, 0);
        }
        writing.commit();
    }
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
        std::vector<const code_row*> sorted;
        for (const code_row& row : rows) sorted.push_back(&row);
        std::sort(sorted.begin(), sorted.end(), [](const code_row* a, const code_row* b) {
            return std::tie(a->key, a->key_json, a->bytes) < std::tie(b->key, b->key_json, b->bytes);
        });
        write_database(unfinished, sorted);
        check_database(unfinished);
        if (put_in_place(unfinished, path, why)) return true;
    } catch (const std::exception& e) {
        *why = e.what();
    }
    if (!unfinished.empty()) unlink(unfinished.c_str());
    return false;
}

}  // namespace mhc::cache
