// runtime/compilers/identity.hpp -- which compiler this is: the shared objects that decide the code, by build-id.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/code_store.hpp"

namespace mhc::runtime::compilers {

/// A shared object of this process.
struct loaded_file {
    std::string path;                 ///< with symbolic links resolved
    std::string id;                   ///< "build-id:<hex>", or "sha256:<hex>" of a file that has none
    std::vector<std::string> needed;  ///< names of the libraries it was linked with
};

/// The shared object that holds `address`; an empty path: none does.
loaded_file file_at(const void* address);

/// The loaded shared objects whose file name begins with `prefix`.
std::vector<loaded_file> files_named(std::string_view prefix);

/// `of` and, among the libraries it was linked with, those of LLVM and Clang.
std::vector<loaded_file> with_llvm(const loaded_file& of);

/// Name, size and time of each file, to see later whether it is still the same.
std::vector<cache::toolchain_file> on_disk(const std::vector<loaded_file>& files);

/// SHA-256 over the backend's name and the sorted (file name, id) pairs; `version` is told, not hashed.
cache::toolchain identify(std::string_view backend, std::string_view version, std::vector<loaded_file> files);

/// The folder of this program.
std::string program_folder();

}  // namespace mhc::runtime::compilers
