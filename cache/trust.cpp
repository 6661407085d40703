// cache/trust.cpp -- the checks of ownership, mode, links and filesystem.
#include "cache/trust.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cache/file_descriptor.hpp"

namespace mhc::cache {
namespace {

std::string because(int error) { return std::strerror(error); }

bool is_owner_trusted(uid_t owner) { return owner == geteuid() || owner == 0; }

/// What is wrong with the owner or the mode, or nothing.
std::string objection(const std::string& path, const struct stat& seen)
{
    if (!is_owner_trusted(seen.st_uid))
        return fmt::format("{} belongs to uid {}, not to uid {} or root", path, seen.st_uid, geteuid());
    if ((seen.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fmt::format("others may write {} (mode {:04o}): run chmod go-w {}", path, seen.st_mode & 07777, path);
    return {};
}

/// As mkdir -p, each new part 0700. A race with another creator is a success.
bool make_directories(const std::string& dir, std::string* why)
{
    for (std::size_t end = dir.find('/', 1);; end = dir.find('/', end + 1)) {
        const std::string part = dir.substr(0, end);
        struct stat seen {};
        if (stat(part.c_str(), &seen) != 0) {
            if (mkdir(part.c_str(), 0700) == 0) {
                // The umask may have taken bits away that the owner needs.
                if (chmod(part.c_str(), 0700) != 0) return *why = fmt::format("chmod {}: {}", part, because(errno)), false;
            } else if (errno != EEXIST) {
                return *why = fmt::format("cannot make directory {}: {}", part, because(errno)), false;
            }
        }
        if (end == std::string::npos) return true;
    }
}

}  // namespace

std::optional<trusted_directory> trust_directory(const std::string& named, bool create, std::string* why)
{
    // With a slash at its end, a link would be followed before it is looked at.
    const std::string dir = named.substr(0, std::max<std::size_t>(named.find_last_not_of('/') + 1, named.empty() ? 0 : 1));
    if (dir.empty()) return *why = "no directory is named", std::nullopt;
    if (create && !make_directories(dir, why)) return std::nullopt;
    // Whoever owns a link decides where it leads.
    struct stat link {};
    if (lstat(dir.c_str(), &link) != 0) return *why = fmt::format("{}: {}", dir, because(errno)), std::nullopt;
    if (S_ISLNK(link.st_mode) && !is_owner_trusted(link.st_uid))
        return *why = fmt::format("{} is a symbolic link that belongs to uid {}", dir, link.st_uid), std::nullopt;
    const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(dir.c_str(), nullptr), &std::free);
    if (resolved == nullptr) return *why = fmt::format("{}: {}", dir, because(errno)), std::nullopt;
    trusted_directory result{resolved.get(), false};
    const file_descriptor fd(open(resolved.get(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
    struct stat seen {};
    if (!fd || fstat(fd.get(), &seen) != 0) return *why = fmt::format("{}: {}", dir, because(errno)), std::nullopt;
    if (std::string wrong = objection(result.path, seen); !wrong.empty()) return *why = std::move(wrong), std::nullopt;
    result.is_writable = faccessat(AT_FDCWD, resolved.get(), W_OK | X_OK, AT_EACCESS) == 0;
    return result;
}

file_seen look_at_file(const std::string& path, std::string* why)
{
    file_seen result;
    const file_descriptor fd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && errno == ENOENT) return *why = fmt::format("{} is not there", path), result;
    result.trust = file_trust::refused;
    struct stat seen {};
    if (!fd || fstat(fd.get(), &seen) != 0) return *why = fmt::format("{}: {}", path, because(errno)), result;
    if (S_ISLNK(seen.st_mode)) return *why = fmt::format("{} is a symbolic link", path), result;
    if (!S_ISREG(seen.st_mode)) return *why = fmt::format("{} is not a regular file", path), result;
    if (std::string wrong = objection(path, seen); !wrong.empty()) return *why = std::move(wrong), result;
    result = {file_trust::trusted, seen.st_dev, seen.st_ino, seen.st_size, false};
    result.is_writable = faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
    return result;
}

file_reached follow_to_file(const std::string& named, std::string* why)
{
    constexpr int links_max = 16;
    std::filesystem::path at = std::filesystem::absolute(named);
    for (int links = 0; links <= links_max; ++links) {
        const auto dir = trust_directory(at.parent_path().string(), false, why);
        if (!dir) return {file_trust::refused, {}};
        at = std::filesystem::path(dir->path) / at.filename();
        struct stat seen {};
        if (lstat(at.c_str(), &seen) != 0 || !S_ISLNK(seen.st_mode)) {
            const file_trust trust = look_at_file(at.string(), why).trust;
            if (trust == file_trust::trusted) return {trust, at.string()};
            // A link that leads nowhere is no absent file.
            return {links == 0 ? trust : file_trust::refused, {}};
        }
        if (!is_owner_trusted(seen.st_uid)) {
            *why = fmt::format("{} is a symbolic link that belongs to uid {}", at.string(), seen.st_uid);
            return {file_trust::refused, {}};
        }
        std::error_code error;
        at = at.parent_path() / std::filesystem::read_symlink(at, error);  // an absolute one replaces the directory
        if (error) return *why = fmt::format("{}: {}", named, error.message()), file_reached{file_trust::refused, {}};
    }
    return *why = fmt::format("{} is too long a chain of symbolic links", named), file_reached{file_trust::refused, {}};
}

bool make_private_file(const std::string& path, std::string* why)
{
    if (mknod(path.c_str(), S_IFREG | 0600, 0) != 0) {
        if (errno == EEXIST) return true;
        return *why = fmt::format("cannot make {}: {}", path, because(errno)), false;
    }
    if (chmod(path.c_str(), 0600) != 0) return *why = fmt::format("chmod {}: {}", path, because(errno)), false;
    return true;
}

bool is_on_local_filesystem(const std::string& dir)
{
    // ext2/3/4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs, bcachefs. All others count as network: what their locks are worth
    // cannot be found out by asking.
    static constexpr std::array<std::uint32_t, 8> local = {0xEF53,     0x58465342, 0x9123683E, 0x01021994,
                                                           0x794C7630, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E};
    struct statfs fs {};
    if (statfs(dir.c_str(), &fs) != 0) return false;
    return std::find(local.begin(), local.end(), static_cast<std::uint32_t>(fs.f_type)) != local.end();
}

bool maps_shared(const std::string& dir)
{
    // A full disk says nothing of what can be mapped.
    const auto is_full = [] { return errno == ENOSPC || errno == EDQUOT || errno == EFBIG; };
    constexpr std::size_t size = 4096;
    std::string name = dir + "/.probe-XXXXXX";
    const file_descriptor fd(mkostemp(name.data(), O_CLOEXEC));
    if (!fd) return is_full();
    unlink(name.c_str());
    // Written, not only made long enough: to touch a mapped page for which the disk has no room ends the process.
    const std::string zeros(size, '\0');
    if (pwrite(fd.get(), zeros.data(), size, 0) != static_cast<ssize_t>(size)) return is_full();
    void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (mapped == MAP_FAILED) return false;
    std::memcpy(mapped, "mhc", 3);
    std::array<char, 3> read_back{};
    const bool is_coherent = pread(fd.get(), read_back.data(), 3, 0) == 3 && std::memcmp(read_back.data(), "mhc", 3) == 0;
    munmap(mapped, size);
    return is_coherent;
}

}  // namespace mhc::cache
