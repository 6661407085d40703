// cache/user_directory.hpp -- where the user database goes when its own directory will not do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mhc::cache {

struct node_local_directory {
    std::string path;
    std::int64_t bytes_max = 0;  ///< 0: as asked for
};

/// Directories on this machine alone, best first.
std::vector<node_local_directory> node_local_directories();

}  // namespace mhc::cache
