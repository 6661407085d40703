// cache/trust.hpp -- which directories and files may hold code: ours or root's, writable by no one else, no symbolic link.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace mhc::cache {

struct trusted_directory {
    std::string path;  ///< without symbolic links
    bool is_writable = false;
};

/// Makes the directory (0700, with its parents) if `create` and it is not there. Nothing: `why`.
std::optional<trusted_directory> trust_directory(const std::string& dir, bool create, std::string* why);

enum class file_trust { absent, refused, trusted };

struct file_seen {
    file_trust trust = file_trust::absent;
    dev_t device = 0;
    ino_t inode = 0;
    std::int64_t size = 0;
    bool is_writable = false;
};

/// Looks at a file without opening its contents: to open and close a database drops this process's locks on it.
file_seen look_at_file(const std::string& path, std::string* why);

/// Where a file that may be reached by symbolic links, as distributions link what they ship, really is. Each link, and each
/// directory one lies in, must be trusted, as must the file: whoever could change one of them chooses the file.
struct file_reached {
    file_trust trust = file_trust::absent;
    std::string path;  ///< without symbolic links; empty unless trusted
};
file_reached follow_to_file(const std::string& named, std::string* why);

/// Makes an empty file of mode 0600, whatever the umask, without opening it; one that is there already is left alone.
bool make_private_file(const std::string& path, std::string* why);

/// The filesystem is one whose locks and shared memory can be relied on between the processes of this machine.
bool is_on_local_filesystem(const std::string& dir);

/// A file in `dir` can be mapped shared, as the write-ahead log needs.
bool maps_shared(const std::string& dir);

}  // namespace mhc::cache
