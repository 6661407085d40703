// cache/set_aside_files.cpp -- rename and unlink.
#include "cache/set_aside_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "cache/sqlite.hpp"

namespace mhc::cache {

bool move_database(const std::string& from, ino_t inode, const std::string& to)
{
    struct stat seen {};
    if (lstat(from.c_str(), &seen) != 0 || seen.st_ino != inode) return false;
    for (const char* suffix : {"-wal", "-journal"}) {
        unlink((to + suffix).c_str());
        std::rename((from + suffix).c_str(), (to + suffix).c_str());
    }
    unlink((from + "-shm").c_str());
    if (std::rename(from.c_str(), to.c_str()) != 0)
        throw sqlite::error(sqlite::fault::io, fmt::format("cannot rename {}: {}", from, std::strerror(errno)));
    return true;
}

std::string name_for_corrupt(const std::string& path, std::int64_t now)
{
    return fmt::format("{}.corrupt-{}-{}", path, now, getpid());
}

void keep_newest_corrupt(const std::string& path, std::size_t count)
{
    namespace fs = std::filesystem;
    const fs::path database(path);
    const std::string prefix = database.filename().string() + ".corrupt-";
    std::vector<std::pair<long long, std::string>> found;
    std::error_code failed;
    for (fs::directory_iterator it(database.parent_path(), failed), end; !failed && it != end; it.increment(failed)) {
        const std::string name = it->path().filename().string();
        if (name.rfind(prefix, 0) != 0 || name.ends_with("-wal") || name.ends_with("-journal")) continue;
        found.emplace_back(std::strtoll(name.c_str() + prefix.size(), nullptr, 10), it->path().string());
    }
    std::sort(found.rbegin(), found.rend());
    for (std::size_t i = count; i < found.size(); ++i) {
        for (const char* suffix : {"", "-wal", "-journal"}) unlink((found[i].second + suffix).c_str());
    }
}

}  // namespace mhc::cache
