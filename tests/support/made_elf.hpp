// tests/support/made_elf.hpp -- ELF objects made byte by byte: AMD code objects that no compiler is needed for, and bad
// ones.
#pragma once

#include <elf.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mhc::testing {

struct kernel_uses {
    std::uint32_t vgprs = 2, agprs = 0, sgprs = 8, lds = 0, workgroup = 256, wave = 64;
};

/// The metadata note of one kernel with one parameter, a pointer of 8 bytes at offset 8.
std::string metadata(const kernel_uses& uses = {}, const std::string& kernel = "k");

struct made_symbol {
    std::string name;
    unsigned char type = STT_FUNC;
    bool is_defined = true;
};

struct elf_parts {
    std::uint16_t machine = 224;
    unsigned char os_abi = 64, abi_version = 3;
    std::uint32_t flags = 0x54c;
    std::vector<made_symbol> symbols{{"k"}, {"k.kd", STT_OBJECT}};
    std::string note = metadata();
    std::vector<std::string> needed{};
};

/// Header, one note segment, and the sections .dynsym, .dynstr and .dynamic. Without more said: "k" for gfx942.
std::string make_elf(const elf_parts& parts);

/// A whole code object for gfx942 that differs from others by its kernel's name.
std::string make_code_object(const std::string& kernel);

/// As a cubin for sm_90 has it: a kernel's symbol, code, shared memory and attributes, found by the names of sections.
std::string make_cubin(const std::string& kernel);

}  // namespace mhc::testing
