// runtime/code_object.hpp -- reads ELF code objects without LLVM: architecture, symbols, kernel metadata.
//
// Every byte may be hostile: all offsets and counts are checked against the size, and nothing is trusted twice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/result.hpp>

namespace mhc::runtime {

/// One kernel argument as the metadata has it.
struct metadata_argument {
    std::string value_kind;  ///< "global_buffer", "by_value", "hidden_..."
    std::uint32_t offset = 0, size = 0;
};

struct kernel_metadata {
    std::string name;    ///< symbol without ".kd"
    std::string target;  ///< amdhsa.target, such as "amdgcn-amd-amdhsa--gfx942"
    jit::resource_description resources;
    std::vector<metadata_argument> args;
};

/// The kernels of an AMD code object. Errors: load_failed, saying what is wrong with the bytes.
jit::result<std::vector<kernel_metadata>> read_metadata(std::string_view elf);

/// What the kernel `symbol` uses, on any GPU; zeros for what cannot be read, and for `host`.
jit::resource_description resources_of(std::string_view elf, std::string_view symbol);

/// Whether the object is for `target` ("gfx942", "gfx90a:xnack-", "host", "host:x86-64-v3") and holds `symbol`.
/// NVIDIA: a cubin of that architecture with a kernel `symbol`.
/// AMD: ELF64, EM_AMDGPU, e_flags' processor and xnack/sramecc, `symbol` and `symbol`.kd in .dynsym.
/// host: ELF64 of this machine, `symbol` defined, and no undefined symbol but memcpy and memset.
/// Errors: load_failed, with one line of what differs.
jit::result<void> verify_code_object(std::string_view elf, std::string_view target, std::string_view symbol);

/// EF_AMDGPU_MACH of a processor name ("gfx942" -> 0x4c); 0 for one that is not known.
std::uint32_t amdgpu_mach(std::string_view processor);

}  // namespace mhc::runtime
