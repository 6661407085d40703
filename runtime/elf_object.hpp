// runtime/elf_object.hpp -- the parts of a 64-bit little-endian ELF file that code objects are judged by.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mhc/jit/result.hpp>

namespace mhc::runtime {

inline constexpr std::uint16_t machine_cuda = 190;  ///< e_machine of NVIDIA's cubins

struct elf_symbol {
    std::string_view name;
    std::uint64_t value = 0, size = 0;
    std::uint8_t type = 0;
    bool is_defined = false;
};

struct elf_section {
    std::string_view name, contents;  ///< no contents where the file has none, as for shared memory
    std::uint64_t size = 0;
};

/// What was read; the texts are in the bytes given, which must outlive it.
struct elf_object {
    std::uint16_t type = 0, machine = 0;
    std::uint32_t flags = 0;
    std::uint8_t os_abi = 0, abi_version = 0;
    std::vector<elf_symbol> dynamic_symbols;  ///< without the null symbol
    std::vector<std::string_view> needed;     ///< libraries it would load
    std::string_view amdgpu_metadata;         ///< MessagePack of the AMDGPU note; empty: none
    std::vector<elf_symbol> symbols;          ///< of the static table, and
    std::vector<elf_section> sections;        ///< all sections: of cubins only, whose kernels are found by them
};

/// The failure of an object that is not what was wanted.
inline jit::failure differs(std::string message) { return {jit::errc::load_failed, std::move(message)}; }

/// Errors: load_failed, saying what is wrong with the bytes.
jit::result<elf_object> read_elf(std::string_view bytes);

}  // namespace mhc::runtime
