// tools/common/files.cpp -- output files that appear all together when everything succeeded, or not at all.
#include "tools/common/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_write(std::string_view path) { fail(fmt::format("cannot write {}: {}", path, std::strerror(errno))); }

void write_all(int file, std::string_view bytes, std::string_view path)
{
    while (!bytes.empty()) {
        const ssize_t written = write(file, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail_write(path);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace

pending_files::~pending_files()
{
    // Also what was renamed before a later rename failed: a part of the results would be taken for all of them.
    for (const pending& file : files_) unlink((file.is_renamed ? file.path : file.temporary).c_str());
    std::for_each(folders_.rbegin(), folders_.rend(), [](const std::string& folder) { rmdir(folder.c_str()); });
}

void pending_files::check(const std::string& path)
{
    std::error_code why;
    if (fs::is_directory(path, why)) fail_usage(fmt::format("cannot write {}: it is a directory; name a file", path));
    fs::path folder = fs::path(path).parent_path();
    while (!folder.empty() && fs::status(folder, why).type() == fs::file_type::not_found) folder = folder.parent_path();
    if (folder.empty()) folder = ".";
    if (!fs::is_directory(folder, why))
        fail_usage(fmt::format("cannot write {}: {} is no directory; choose another place", path, folder.string()));
    if (access(folder.c_str(), W_OK | X_OK) != 0)
        fail_usage(
            fmt::format("cannot write {}: {}: {}; choose another place", path, folder.string(), std::strerror(errno)));
}

void pending_files::make_folders(const std::string& folder)
{
    fs::path made;
    for (const fs::path& part : fs::path(folder)) {
        made /= part;
        if (mkdir(made.c_str(), 0777) == 0) {
            folders_.push_back(made.string());
            continue;
        }
        const int error = errno;
        if (std::error_code why; !fs::is_directory(made, why))
            fail(fmt::format("cannot make the folder {}: {}", made.string(),
                             std::strerror(error == EEXIST ? ENOTDIR : error)));
    }
}

void pending_files::add(const std::string& path, std::string_view bytes)
{
    const fs::path place(path);
    // In the same folder, as a rename works only within a file system; with the process, as two runs may share it.
    const std::string temporary =
        (place.parent_path() / fmt::format(".{}.{}.tmp", place.filename().string(), getpid())).string();
    const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) fail_write(path);
    files_.push_back({temporary, path});
    try {
        write_all(file, bytes, path);
    } catch (...) {
        close(file);
        throw;
    }
    if (close(file) != 0) fail_write(path);  // a full quota on a network file system shows here
}

void pending_files::commit()
{
    for (pending& file : files_) {
        if (rename(file.temporary.c_str(), file.path.c_str()) != 0) fail_write(file.path);
        file.is_renamed = true;
    }
    files_.clear();
    folders_.clear();
}

}  // namespace mhc::tools
