// runtime/prebuilt_places.hpp -- where prebuilt databases for a target are: folders, and this program itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/engine.hpp>

namespace mhc::runtime {

/// A database that may serve a target.
struct prebuilt_place {
    std::string name;        ///< the file's path; of an embedded one, mhc_<target>.db
    std::string_view bytes;  ///< of an embedded one; else empty
};

/// In the order they are asked: of `prebuilt_dirs`, embedded in this program, beside it (`PROGRAM.prebuilt` in its folder,
/// or `../lib/mhc/prebuilt/PROGRAM` from there), of the library's build tree, of its installation. For the target itself
/// and, of an AMD target with features, for its processor.
std::vector<prebuilt_place> prebuilt_places(const jit::engine_options& options, std::string_view target_name);

/// The folders looked in, those that do not exist among them.
std::vector<std::string> prebuilt_folders(const jit::engine_options& options);

}  // namespace mhc::runtime
