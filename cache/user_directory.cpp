// cache/user_directory.cpp -- the directories of a user, from the environment and the passwd file.
#include "cache/user_directory.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "cache/code_store.hpp"

namespace mhc::cache {
namespace {

/// The variable's value where it is an absolute path: a relative one would mean another place in each working directory.
std::string absolute_path_from(const char* variable)
{
    const char* value = secure_getenv(variable);
    return value != nullptr && value[0] == '/' ? value : "";
}

bool is_directory(const std::string& path)
{
    struct stat seen {};
    return !path.empty() && stat(path.c_str(), &seen) == 0 && S_ISDIR(seen.st_mode);
}

std::string home_of_passwd()
{
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
    return found->pw_dir != nullptr ? found->pw_dir : "";
}

std::string in_var_tmp() { return fmt::format("/var/tmp/mhc-{}", geteuid()); }

}  // namespace

std::string user_cache_dir(const std::optional<std::string>& override_dir)
{
    if (override_dir && !override_dir->empty()) return *override_dir;
    if (const std::string xdg = absolute_path_from("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/mhc/v1";
    // Service accounts and containers often name a home that does not exist.
    if (const std::string home = absolute_path_from("HOME"); is_directory(home)) return home + "/.cache/mhc/v1";
    if (const std::string home = home_of_passwd(); is_directory(home)) return home + "/.cache/mhc/v1";
    return in_var_tmp();
}

std::vector<node_local_directory> node_local_directories()
{
    std::vector<node_local_directory> directories{{in_var_tmp(), 0}};
    // Memory, and gone at logout.
    if (const std::string runtime = absolute_path_from("XDG_RUNTIME_DIR"); !runtime.empty())
        directories.push_back({runtime + "/mhc", 256LL << 20});
    return directories;
}

}  // namespace mhc::cache
