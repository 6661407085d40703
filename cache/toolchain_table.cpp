// cache/toolchain_table.cpp -- the statements over toolchain_file.
#include "cache/toolchain_table.hpp"

#include <sys/stat.h>

#include "cache/rows.hpp"

namespace mhc::cache {
namespace {

bool is_unchanged(const toolchain_file& file)
{
    struct stat now {};
    if (stat(file.path.c_str(), &now) != 0) return false;
    return static_cast<std::int64_t>(now.st_dev) == file.dev && static_cast<std::int64_t>(now.st_ino) == file.ino &&
           now.st_size == file.size && now.st_mtim.tv_sec * std::int64_t{1000000000} + now.st_mtim.tv_nsec == file.mtime_ns;
}

}  // namespace

std::vector<toolchain> unchanged_toolchains(sqlite::connection& db)
{
    struct candidate {
        std::int64_t id;
        toolchain compiler;
    };
    std::vector<candidate> candidates;
    for (sqlite::statement s(db, "SELECT tc_id, fingerprint, descr FROM toolchain ORDER BY last_seen DESC, tc_id DESC");
         s.step();)
        candidates.push_back({s.integer(0), {s.hash(1), s.text(2)}});
    std::vector<toolchain> known;
    for (candidate& each : candidates) {
        std::size_t files = 0, unchanged = 0;
        for (sqlite::statement s(db, "SELECT path, dev, ino, size, mtime_ns FROM toolchain_file WHERE tc_id = ?1", each.id);
             s.step(); ++files) {
            if (is_unchanged({s.text(0), s.integer(1), s.integer(2), s.integer(3), s.integer(4)})) ++unchanged;
        }
        if (files > 0 && files == unchanged) known.push_back(std::move(each.compiler));
    }
    return known;
}

void put_toolchain_files(sqlite::connection& db, const toolchain& compiler, const std::vector<toolchain_file>& files,
                         std::int64_t now)
{
    const std::int64_t id = put_toolchain(db, compiler, now);
    sqlite::run(db, "DELETE FROM toolchain_file WHERE tc_id = ?1", id);
    for (const toolchain_file& file : files) {
        sqlite::run(db,
                    "INSERT INTO toolchain_file(path, dev, ino, size, mtime_ns, tc_id) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                    " ON CONFLICT DO NOTHING",
                    file.path, file.dev, file.ino, file.size, file.mtime_ns, id);
    }
}

}  // namespace mhc::cache
