// runtime/toolchain_memory.hpp -- compilers the worker found once, remembered in the user database while their files stay.
//
// So a process that finds everything stored starts no worker and loads no compiler.
#pragma once

#include <string>
#include <vector>

#include "cache/code_store.hpp"
#include "runtime/compile_service.hpp"

namespace mhc::runtime {

std::vector<backend_info> recall_backends(cache::code_store& store, const std::string& worker_path);
void remember_backends(cache::code_store& store, const std::vector<backend_info>& found, const std::string& worker_path);

/// "clang 19.1.7" of a row's toolchain.
std::string compiler_name_of(const cache::toolchain& compiler);

/// One line: each compiler in `order` and why it cannot make `target`, or which toolchain can.
std::string why_no_compiler(const std::vector<backend_info>& found, const std::vector<std::string>& order,
                            const std::string& target);

}  // namespace mhc::runtime
