// tests/support/made_elf.cpp -- writes ELF headers, tables and MessagePack.
#include "tests/support/made_elf.hpp"

#include <array>
#include <cstring>

namespace mhc::testing {
namespace {

template <class T>
void append(std::string& to, const T& value)
{
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// MessagePack, as far as the tests write it.
std::string text(const std::string& value) { return std::string(1, '\xd9') + static_cast<char>(value.size()) + value; }
std::string map(int entries) { return {'\xde', '\0', static_cast<char>(entries)}; }
std::string array(int entries) { return {'\xdc', '\0', static_cast<char>(entries)}; }
std::string number(std::uint32_t value)
{
    std::string bytes(1, '\xce');
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 255);
    return bytes;
}

}  // namespace

std::string metadata(const kernel_uses& uses, const std::string& kernel)
{
    return map(4) + text("amdhsa.kernels") + array(1) + map(14) + text(".name") + text(kernel) + text(".vgpr_count") +
           number(uses.vgprs) + text(".agpr_count") + number(uses.agprs) + text(".sgpr_count") + number(uses.sgprs) +
           text(".vgpr_spill_count") + number(3) + text(".sgpr_spill_count") + number(4) +
           text(".group_segment_fixed_size") + number(uses.lds) + text(".private_segment_fixed_size") + number(16) +
           text(".kernarg_segment_size") + number(24) + text(".wavefront_size") + number(uses.wave) +
           text(".max_flat_workgroup_size") + number(uses.workgroup) + text(".symbol") + text(kernel + ".kd") +
           text(".args") + array(1) + map(4) + text(".value_kind") + text("global_buffer") + text(".offset") + number(8) +
           text(".size") + number(8) + text(".address_space") + text("global") + text(".language_version") + array(2) +
           '\x02' + '\x00' + text("amdhsa.target") + text("amdgcn-amd-amdhsa--gfx942") + text("amdhsa.version") + array(2) +
           '\x01' + '\x02' + text("amdhsa.printf") + array(0);
}

std::string make_elf(const elf_parts& parts)
{
    std::string strings(1, '\0'), symbols(sizeof(Elf64_Sym), '\0'), dynamic, note;
    const auto add_string = [&](const std::string& value) {
        const auto at = static_cast<std::uint32_t>(strings.size());
        strings += value + '\0';
        return at;
    };
    for (const made_symbol& one : parts.symbols) {
        Elf64_Sym raw{};
        raw.st_name = add_string(one.name);
        raw.st_info = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, one.type));
        raw.st_shndx = one.is_defined ? 1 : SHN_UNDEF;
        append(symbols, raw);
    }
    for (const std::string& name : parts.needed) append(dynamic, Elf64_Dyn{DT_NEEDED, {add_string(name)}});
    append(dynamic, Elf64_Dyn{DT_NULL, {0}});
    append(note, Elf64_Nhdr{7, static_cast<std::uint32_t>(parts.note.size()), 32});
    note += std::string("AMDGPU\0\0", 8) + parts.note;

    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_OSABI] = parts.os_abi;
    header.e_ident[EI_ABIVERSION] = parts.abi_version;
    header.e_type = ET_DYN;
    header.e_machine = parts.machine;
    header.e_flags = parts.flags;
    header.e_ehsize = sizeof header;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 4;
    header.e_shoff = sizeof header + sizeof(Elf64_Phdr);
    std::uint64_t at = header.e_shoff + 4 * sizeof(Elf64_Shdr);
    const auto place = [&](Elf64_Shdr* section, std::uint32_t type, const std::string& contents, std::uint32_t link) {
        section->sh_type = type;
        section->sh_offset = at;
        section->sh_size = contents.size();
        section->sh_link = link;
        at += contents.size();
    };
    std::array<Elf64_Shdr, 4> sections{};
    place(&sections[1], SHT_DYNSYM, symbols, 2);
    place(&sections[2], SHT_STRTAB, strings, 0);
    place(&sections[3], SHT_DYNAMIC, dynamic, 2);
    Elf64_Phdr segment{};
    segment.p_type = PT_NOTE;
    segment.p_offset = at;
    segment.p_filesz = note.size();
    std::string bytes;
    append(bytes, header);
    append(bytes, segment);
    for (const Elf64_Shdr& section : sections) append(bytes, section);
    return bytes + symbols + strings + dynamic + note;
}

std::string make_cubin(const std::string& kernel)
{
    struct made_section {
        std::string name, contents;
        std::uint32_t type, link;
    };
    std::string names(1, '\0'), symbols(sizeof(Elf64_Sym), '\0'), uses, attributes;
    Elf64_Sym symbol{};
    symbol.st_name = 1;
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_shndx = 4;
    append(symbols, symbol);
    // Registers of symbol 1; then of the kernel: bytes of parameters, threads, one parameter of 8 bytes.
    for (const std::uint32_t word : {0x00082f04U, 1U, 24U}) append(uses, word);
    for (const std::uint32_t word : {0x00081903U, 0x000c0504U, 256U, 1U, 1U, 0x000c1704U, 0U, 0U, 8U << 18})
        append(attributes, word);
    const std::vector<made_section> made{{"", "", SHT_NULL, 0},
                                         {".shstrtab", "", SHT_STRTAB, 0},
                                         {".strtab", std::string(1, '\0') + kernel + '\0', SHT_STRTAB, 0},
                                         {".symtab", symbols, SHT_SYMTAB, 2},
                                         {".text." + kernel, std::string(16, '\x5a'), SHT_PROGBITS, 0},
                                         {".nv.shared." + kernel, "", SHT_NOBITS, 0},
                                         {".nv.info", uses, SHT_PROGBITS, 0},
                                         {".nv.info." + kernel, attributes, SHT_PROGBITS, 0}};
    std::vector<Elf64_Shdr> sections(made.size());
    for (std::size_t i = 1; i < made.size(); ++i) {
        sections[i].sh_name = static_cast<std::uint32_t>(names.size());
        names += made[i].name + '\0';
    }
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_ABIVERSION] = 8;
    header.e_type = ET_EXEC;
    header.e_machine = 190;
    header.e_flags = 90 << 8;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<Elf64_Half>(made.size());
    header.e_shoff = sizeof header;
    header.e_shstrndx = 1;
    std::string contents;
    for (std::size_t i = 1; i < made.size(); ++i) {
        const std::string& bytes = i == 1 ? names : made[i].contents;
        sections[i].sh_type = made[i].type;
        sections[i].sh_link = made[i].link;
        sections[i].sh_offset = sizeof header + sections.size() * sizeof(Elf64_Shdr) + contents.size();
        sections[i].sh_size = made[i].type == SHT_NOBITS ? 512 : bytes.size();
        contents += bytes;
    }
    std::string bytes;
    append(bytes, header);
    for (const Elf64_Shdr& section : sections) append(bytes, section);
    return bytes + contents;
}

std::string make_code_object(const std::string& kernel)
{
    elf_parts parts;
    parts.symbols = {{kernel}, {kernel + ".kd", STT_OBJECT}};
    parts.note = metadata({}, kernel);
    return make_elf(parts);
}

}  // namespace mhc::testing
