// cache/manifest.hpp -- what stands beside a prebuilt database and says which bytes it has, and who vouches for them.
#pragma once

#include <optional>
#include <string>

namespace mhc::cache {

/// The file, without symbolic links, if it may be trusted, is the one of its manifest where there is one and, with a
/// `signer`, if that key signed its manifest (code_store.hpp, open_prebuilt_store). Nothing: `why`, naming the file.
std::optional<std::string> believed_file(const std::string& named, const std::string& signer, std::string* why);

}  // namespace mhc::cache
