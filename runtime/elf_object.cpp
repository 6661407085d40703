// runtime/elf_object.cpp -- reads ELF headers, dynamic symbols and notes; every offset and count is checked against the
// size.
#include "runtime/elf_object.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace mhc::runtime {
namespace {

jit::failure broken(std::string_view what) { return {jit::errc::load_failed, fmt::format("broken ELF file: {}", what)}; }

/// `bytes[offset, offset + size)`, if it is inside.
std::optional<std::string_view> part(std::string_view bytes, std::uint64_t offset, std::uint64_t size)
{
    if (offset > bytes.size() || size > bytes.size() - offset) return std::nullopt;
    return bytes.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
}

/// Copies out the `index`-th T of a table: the bytes need not be aligned.
template <class T>
T entry(std::string_view table, std::size_t index)
{
    T value;
    std::memcpy(&value, table.data() + index * sizeof(T), sizeof(T));
    return value;
}

template <class T>
std::optional<std::vector<T>> read_table(std::string_view bytes, std::uint64_t offset, std::uint64_t count)
{
    if (count > bytes.size() / sizeof(T)) return std::nullopt;
    const auto table = part(bytes, offset, count * sizeof(T));
    if (!table) return std::nullopt;
    std::vector<T> entries(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = entry<T>(*table, i);
    return entries;
}

/// A zero-terminated text of a string table; none if it runs out of it. Names are bounded, or a table without zeros would
/// be walked to its end for every symbol.
std::optional<std::string_view> text_at(std::string_view table, std::uint64_t offset)
{
    constexpr std::size_t name_bytes_max = 4096;
    if (offset >= table.size()) return std::nullopt;
    const std::string_view rest = table.substr(static_cast<std::size_t>(offset), name_bytes_max);
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    return rest.substr(0, end);
}

/// The AMDGPU metadata among the notes of one segment.
std::string_view find_metadata(std::string_view notes)
{
    constexpr std::uint32_t metadata_note = 32;  // NT_AMDGPU_METADATA
    while (notes.size() >= sizeof(Elf64_Nhdr)) {
        const auto note = entry<Elf64_Nhdr>(notes, 0);
        notes.remove_prefix(sizeof note);
        const std::uint64_t name_size = (std::uint64_t{note.n_namesz} + 3) & ~std::uint64_t{3};
        const auto name = part(notes, 0, note.n_namesz);
        const auto data = part(notes, name_size, note.n_descsz);
        if (!name || !data) return {};
        if (note.n_type == metadata_note && *name == std::string_view("AMDGPU\0", 7)) return *data;
        const std::uint64_t whole = name_size + ((std::uint64_t{note.n_descsz} + 3) & ~std::uint64_t{3});
        if (whole > notes.size()) return {};
        notes.remove_prefix(static_cast<std::size_t>(whole));
    }
    return {};
}

/// Adds the symbols of one SHT_DYNSYM or SHT_SYMTAB section. False: broken.
bool read_symbols(std::string_view bytes, const std::vector<Elf64_Shdr>& sections, const Elf64_Shdr& section,
                  std::vector<elf_symbol>* into)
{
    if (section.sh_link >= sections.size() || section.sh_size % sizeof(Elf64_Sym) != 0) return false;
    const Elf64_Shdr& strings_section = sections[section.sh_link];
    const auto strings = part(bytes, strings_section.sh_offset, strings_section.sh_size);
    const auto symbols = read_table<Elf64_Sym>(bytes, section.sh_offset, section.sh_size / sizeof(Elf64_Sym));
    if (!strings || !symbols || strings_section.sh_type != SHT_STRTAB) return false;
    for (std::size_t i = 1; i < symbols->size(); ++i) {
        const Elf64_Sym& symbol = (*symbols)[i];
        const auto name = text_at(*strings, symbol.st_name);
        if (!name) return false;
        into->push_back({*name, symbol.st_value, symbol.st_size, static_cast<std::uint8_t>(ELF64_ST_TYPE(symbol.st_info)),
                         symbol.st_shndx != SHN_UNDEF});
    }
    return true;
}

/// Adds the names a SHT_DYNAMIC section says are needed. False: broken.
bool read_needed(std::string_view bytes, const std::vector<Elf64_Shdr>& sections, const Elf64_Shdr& section,
                 std::vector<std::string_view>* into)
{
    if (section.sh_link >= sections.size()) return false;
    const Elf64_Shdr& strings_section = sections[section.sh_link];
    const auto strings = part(bytes, strings_section.sh_offset, strings_section.sh_size);
    const auto entries = read_table<Elf64_Dyn>(bytes, section.sh_offset, section.sh_size / sizeof(Elf64_Dyn));
    if (!strings || !entries) return false;
    for (const Elf64_Dyn& one : *entries) {
        if (one.d_tag == DT_NULL) break;
        if (one.d_tag != DT_NEEDED) continue;
        const auto name = text_at(*strings, one.d_un.d_val);
        if (!name) return false;
        into->push_back(*name);
    }
    return true;
}

/// Adds names and contents of all sections. False: broken.
bool read_sections(std::string_view bytes, const std::vector<Elf64_Shdr>& sections, std::size_t names_index,
                   std::vector<elf_section>* into)
{
    if (names_index >= sections.size()) return false;
    const auto names = part(bytes, sections[names_index].sh_offset, sections[names_index].sh_size);
    if (!names || sections[names_index].sh_type != SHT_STRTAB) return false;
    for (std::size_t i = 1; i < sections.size(); ++i) {
        const Elf64_Shdr& section = sections[i];
        const auto name = text_at(*names, section.sh_name);
        const auto contents = section.sh_type == SHT_NOBITS ? std::optional<std::string_view>(std::string_view())
                                                            : part(bytes, section.sh_offset, section.sh_size);
        if (!name || !contents) return false;
        into->push_back({*name, *contents, section.sh_size});
    }
    return true;
}

}  // namespace

jit::result<elf_object> read_elf(std::string_view bytes)
{
    if (bytes.size() < sizeof(Elf64_Ehdr)) return broken(fmt::format("{} bytes are less than a header", bytes.size()));
    const auto header = entry<Elf64_Ehdr>(bytes, 0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return broken("it does not begin with ELF's magic number");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return broken("it is not 64-bit little-endian");
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_shentsize != sizeof(Elf64_Shdr))
        return broken("its tables have entries of another size");
    const auto segments = read_table<Elf64_Phdr>(bytes, header.e_phoff, header.e_phnum);
    const auto sections = read_table<Elf64_Shdr>(bytes, header.e_shoff, header.e_shnum);
    if (!segments || !sections) return broken("a table of segments or sections is beyond its end");

    elf_object object;
    object.type = header.e_type;
    object.machine = header.e_machine;
    object.flags = header.e_flags;
    object.os_abi = header.e_ident[EI_OSABI];
    object.abi_version = header.e_ident[EI_ABIVERSION];
    int notes = 0, symbol_tables = 0,
        dynamic_tables = 0;  // bounded: all of them could be one large part, named again and again
    for (const Elf64_Phdr& segment : *segments) {
        const auto contents = part(bytes, segment.p_offset, segment.p_filesz);
        if (!contents) return broken("a segment is beyond its end");
        if (segment.p_type == PT_NOTE && object.amdgpu_metadata.empty() && ++notes <= 8)
            object.amdgpu_metadata = find_metadata(*contents);
    }
    const bool is_cubin = object.machine == machine_cuda;
    if (is_cubin && !read_sections(bytes, *sections, header.e_shstrndx, &object.sections)) return broken("its sections");
    for (const Elf64_Shdr& section : *sections) {
        if (is_cubin && section.sh_type == SHT_SYMTAB &&
            (++symbol_tables > 1 || !read_symbols(bytes, *sections, section, &object.symbols)))
            return broken("its symbols");
        if (section.sh_type == SHT_DYNSYM &&
            (++symbol_tables > 1 || !read_symbols(bytes, *sections, section, &object.dynamic_symbols)))
            return broken("its dynamic symbols");
        if (section.sh_type == SHT_DYNAMIC &&
            (++dynamic_tables > 1 || !read_needed(bytes, *sections, section, &object.needed)))
            return broken("its dynamic section");
    }
    return object;
}

}  // namespace mhc::runtime
