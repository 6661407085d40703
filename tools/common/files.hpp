// tools/common/files.hpp -- output files that appear all together when everything succeeded, or not at all.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mhc::tools {

/// Files written under temporary names beside their places. `commit` renames them; without it the destructor removes
/// them, and the folders made for them. Failures are tool_errors that name the path and the system's reason.
class pending_files {
public:
    pending_files() = default;
    ~pending_files();
    pending_files(const pending_files&) = delete;
    pending_files& operator=(const pending_files&) = delete;

    /// Fails with exit code 2 when `path` could not be a file to write: an early, cheap answer before long work.
    static void check(const std::string& path);

    void make_folders(const std::string& folder);
    void add(const std::string& path, std::string_view bytes);
    void commit();

private:
    struct pending {
        std::string temporary, path;
        bool is_renamed = false;
    };
    std::vector<pending> files_;
    std::vector<std::string> folders_;  ///< those that were made here, outermost first
};

}  // namespace mhc::tools
