// emulator/relocations.cpp -- AMDGPUUsage, "Relocation Records": those that a linked object can have.
#include "emulator/relocations.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>

namespace mhc::emulator {
namespace {

// LLVM's R_AMDGPU_* numbers.
enum relocation_kind : u32 { none = 0, abs32_lo = 1, abs32_hi = 2, abs64 = 3, abs32 = 6, relative64 = 13 };

template <class T>
T read_at(std::string_view elf, u64 offset)
{
    T value;
    std::memcpy(&value, elf.data() + offset, sizeof(T));
    return value;
}

jit::result<void> apply(const Elf64_Rela& entry, const runtime::elf_object& object, u64 base, u64 size)
{
    const auto fail = [&](const std::string& why) {
        return jit::failure{jit::errc::load_failed, fmt::format("the relocation at {:#x} {}", entry.r_offset, why)};
    };
    const u64 kind = ELF64_R_TYPE(entry.r_info), symbol = ELF64_R_SYM(entry.r_info);
    if (kind == none) return {};
    u64 value = base + static_cast<u64>(entry.r_addend);
    if (kind != relative64) {
        if (symbol == 0 || symbol > object.dynamic_symbols.size()) return fail("names no symbol");
        const runtime::elf_symbol& named = object.dynamic_symbols[static_cast<std::size_t>(symbol - 1)];
        if (!named.is_defined) return fail(fmt::format("needs {}, which the object does not define", named.name));
        value += named.value;
    }
    const bool is_wide = kind == relative64 || kind == abs64;
    if (!is_wide && kind != abs32_lo && kind != abs32_hi && kind != abs32)
        return fail(fmt::format("is of kind {}, which is not modelled", kind));
    if (kind == abs32_hi) value >>= 32;
    const u64 bytes = is_wide ? 8 : 4;
    if (entry.r_offset > size || size - entry.r_offset < bytes) return fail("is outside the object");
    std::memcpy(reinterpret_cast<void*>(static_cast<std::uintptr_t>(base + entry.r_offset)), &value, bytes);
    return {};
}

}  // namespace

jit::result<void> relocate(std::string_view elf, const runtime::elf_object& object, u64 base, u64 size)
{
    const auto header = read_at<Elf64_Ehdr>(elf, 0);  // read_elf has checked the tables
    for (u32 i = 0; i < header.e_shnum; ++i) {
        const auto section = read_at<Elf64_Shdr>(elf, header.e_shoff + i * sizeof(Elf64_Shdr));
        if ((section.sh_flags & SHF_ALLOC) == 0 || section.sh_size == 0) continue;
        if (section.sh_type == SHT_REL)
            return jit::failure{jit::errc::load_failed,
                                "the code object has relocations without addends, which are not modelled"};
        if (section.sh_type != SHT_RELA) continue;
        if (section.sh_offset > elf.size() || elf.size() - section.sh_offset < section.sh_size)
            return jit::failure{jit::errc::load_failed, "the code object's relocations are outside the file"};
        for (u64 at = 0; at + sizeof(Elf64_Rela) <= section.sh_size; at += sizeof(Elf64_Rela))
            if (auto ok = apply(read_at<Elf64_Rela>(elf, section.sh_offset + at), object, base, size); !ok) return ok;
    }
    return {};
}

}  // namespace mhc::emulator
