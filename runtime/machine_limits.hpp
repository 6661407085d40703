// runtime/machine_limits.hpp -- how many compilations at once this process may run: CPUs and memory, as the kernel grants
// them.
#pragma once

#include <cstdint>
#include <string>

namespace mhc::runtime {

/// CPUs by affinity mask and cgroup quota (v1 or v2), rounded up; at least 1. `root` is "" but in tests.
int usable_cpus(const std::string& root = "");

/// Bytes of memory free for use, by /proc/meminfo and the cgroup's limit; 0: not known.
std::int64_t usable_memory_bytes(const std::string& root = "");

/// Compilations at once where nobody says how many: a CPU each, and memory each.
int usable_jobs();

}  // namespace mhc::runtime
