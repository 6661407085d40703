// runtime/machine_limits.cpp -- reads affinity, cgroup v1 and v2 limits, and /proc/meminfo.
#include "runtime/machine_limits.hpp"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <sstream>

namespace mhc::runtime {
namespace {

constexpr std::int64_t job_memory_bytes = 350LL << 20;

/// The first number of a one-line file; "max" and unreadable files give none.
std::optional<std::int64_t> number_in(const std::string& file)
{
    std::ifstream in(file);
    std::int64_t value = 0;
    if (in >> value) return value;
    return std::nullopt;
}

/// This process's cgroup directory by controller; "" is the v2 hierarchy.
std::map<std::string, std::string> cgroup_paths(const std::string& root)
{
    std::map<std::string, std::string> paths;
    std::ifstream in(root + "/proc/self/cgroup");
    for (std::string line; std::getline(in, line);) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        std::istringstream controllers(line.substr(first + 1, second - first - 1));
        const std::string path = line.substr(second + 1);
        if (first + 1 == second) paths[""] = path;
        for (std::string name; std::getline(controllers, name, ',');) paths[name] = path;
    }
    return paths;
}

/// Calls `visit` with each directory from the process's cgroup up to the mount: a limit anywhere above binds too. Inside a
/// container the path may name what is not mounted; then only the mount's own files exist, and they are the container's.
template <class Visit>
void each_level(const std::string& mount, std::string path, Visit visit)
{
    while (!path.empty() && path != "/") {
        visit(mount + path);
        path.erase(path.rfind('/'));
    }
    visit(mount);
}

}  // namespace

int usable_cpus(const std::string& root)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    double cpus = ::sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;

    const auto paths = cgroup_paths(root);
    const auto limit = [&](std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
        if (quota && period && *quota > 0 && *period > 0) cpus = std::min(cpus, double(*quota) / double(*period));
    };
    if (const auto found = paths.find(""); found != paths.end()) {
        each_level(root + "/sys/fs/cgroup", found->second, [&](const std::string& folder) {
            std::ifstream in(folder + "/cpu.max");
            std::int64_t quota = 0, period = 0;
            if (in >> quota >> period) limit(quota, period);
        });
    }
    if (const auto found = paths.find("cpu"); found != paths.end()) {
        each_level(root + "/sys/fs/cgroup/cpu", found->second, [&](const std::string& folder) {
            limit(number_in(folder + "/cpu.cfs_quota_us"), number_in(folder + "/cpu.cfs_period_us"));
        });
    }
    return std::max(1, static_cast<int>(cpus + 0.999));
}

std::int64_t usable_memory_bytes(const std::string& root)
{
    std::int64_t bytes = std::numeric_limits<std::int64_t>::max();
    std::ifstream in(root + "/proc/meminfo");
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string name;
        std::int64_t kilobytes = 0;
        if (words >> name >> kilobytes && name == "MemAvailable:") bytes = kilobytes << 10;
    }
    const auto limit = [&](std::optional<std::int64_t> most, std::optional<std::int64_t> used) {
        if (most && *most > 0) bytes = std::min(bytes, std::max<std::int64_t>(0, *most - used.value_or(0)));
    };
    const auto paths = cgroup_paths(root);
    if (const auto found = paths.find(""); found != paths.end()) {
        each_level(root + "/sys/fs/cgroup", found->second, [&](const std::string& folder) {
            limit(number_in(folder + "/memory.max"), number_in(folder + "/memory.current"));
        });
    }
    if (const auto found = paths.find("memory"); found != paths.end()) {
        each_level(root + "/sys/fs/cgroup/memory", found->second, [&](const std::string& folder) {
            limit(number_in(folder + "/memory.limit_in_bytes"), number_in(folder + "/memory.usage_in_bytes"));
        });
    }
    return bytes == std::numeric_limits<std::int64_t>::max() ? 0 : bytes;
}

int usable_jobs()
{
    const std::int64_t memory = usable_memory_bytes();
    const std::int64_t by_memory = memory > 0 ? std::max<std::int64_t>(1, memory / job_memory_bytes) : 1024;
    return static_cast<int>(std::min<std::int64_t>(usable_cpus(), by_memory));
}

}  // namespace mhc::runtime
