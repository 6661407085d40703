// runtime/cuda_object.cpp -- judges cubins. The layout is not documented; what is read here was compared with what ptxas
// prints, for CUDA 12 and 13 (tests/unit/cuda_object_test.cpp).
#include "runtime/cuda_object.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

namespace mhc::runtime {
namespace {

// Attributes of .nv.info: a format byte, an attribute byte, then two bytes: a value, or the size of what follows.
constexpr std::uint8_t format_value = 3, format_sized = 4;
constexpr std::uint8_t attribute_frame_size = 0x11, attribute_registers = 0x2f;  // of a symbol, in .nv.info
// Of one kernel, in .nv.info.<kernel>:
constexpr std::uint8_t attribute_max_threads = 0x05, attribute_parameter = 0x17, attribute_parameter_bytes = 0x19;

/// The number of the architecture, such as 90: from CUDA 13 (ABI version 8) in the second byte of the flags, before that
/// in the first.
std::uint32_t architecture_of(const elf_object& object)
{
    return object.abi_version >= 8 ? object.flags >> 8 & 0xff : object.flags & 0xff;
}

const elf_section* find_section(const elf_object& object, const std::string& name)
{
    const auto at = std::find_if(object.sections.begin(), object.sections.end(),
                                 [&](const elf_section& one) { return one.name == name; });
    return at == object.sections.end() ? nullptr : &*at;
}

std::uint32_t word_at(std::string_view bytes, std::size_t at)
{
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    return word;
}

/// Calls entry(attribute, value, bytes) for each entry of .nv.info: those with a size have bytes, the others a value.
template <class Entry>
void for_each_entry(const elf_section* section, Entry entry)
{
    std::string_view info = section == nullptr ? std::string_view() : section->contents;
    while (info.size() >= 4) {
        const auto format = static_cast<std::uint8_t>(info[0]), attribute = static_cast<std::uint8_t>(info[1]);
        const std::uint32_t value = word_at(info, 0) >> 16;
        info.remove_prefix(4);
        if (format != format_sized) {
            if (format == format_value) entry(attribute, value, std::string_view());
            continue;
        }
        if (value > info.size()) return;
        entry(attribute, 0U, info.substr(0, value));
        info.remove_prefix(value);
    }
}

const elf_section* info_of(const elf_object& object, std::string_view symbol)
{
    return find_section(object, fmt::format(".nv.info.{}", symbol));
}

}  // namespace

jit::result<void> verify_cubin(const elf_object& object, std::string_view target, std::string_view symbol)
{
    if (object.machine != machine_cuda)
        return differs(fmt::format("the object is for ELF machine {}, not an NVIDIA GPU", object.machine));
    std::uint32_t wanted = 0;
    const std::string_view digits = target.substr(std::min(target.size(), std::size_t{3}));
    std::from_chars(digits.data(), digits.data() + digits.size(), wanted);
    if (const std::uint32_t found = architecture_of(object); found != wanted)
        return differs(fmt::format("the object is for sm_{}, not {}", found, target));
    const auto is_kernel = [&](const elf_symbol& one) { return one.is_defined && one.type == 2 && one.name == symbol; };
    if (std::none_of(object.symbols.begin(), object.symbols.end(), is_kernel) ||
        find_section(object, fmt::format(".text.{}", symbol)) == nullptr)
        return differs(fmt::format("the object has no kernel {}", symbol));
    return {};
}

jit::resource_description cubin_resources(const elf_object& object, std::string_view symbol)
{
    jit::resource_description uses;
    uses.wave_size = 32;
    if (const elf_section* shared = find_section(object, fmt::format(".nv.shared.{}", symbol)))
        uses.lds_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(shared->size, 1U << 30));
    for_each_entry(find_section(object, ".nv.info"), [&](std::uint8_t attribute, std::uint32_t, std::string_view bytes) {
        if (bytes.size() != 8) return;
        // Symbols are numbered from the null symbol, which is not in the list.
        const std::uint32_t index = word_at(bytes, 0), number = word_at(bytes, 4);
        if (index == 0 || index > object.symbols.size() || object.symbols[index - 1].name != symbol) return;
        if (attribute == attribute_registers) uses.vgprs = number;
        if (attribute == attribute_frame_size) uses.scratch_bytes = number;
    });
    for_each_entry(info_of(object, symbol), [&](std::uint8_t attribute, std::uint32_t value, std::string_view bytes) {
        if (attribute == attribute_parameter_bytes) uses.kernarg_bytes = value;
        if (attribute == attribute_max_threads && bytes.size() == 12) uses.max_workgroup = word_at(bytes, 0);
    });
    return uses;
}

std::vector<cubin_argument> cubin_arguments(const elf_object& object, std::string_view symbol)
{
    std::map<std::uint32_t, cubin_argument> by_ordinal;
    for_each_entry(info_of(object, symbol), [&](std::uint8_t attribute, std::uint32_t, std::string_view bytes) {
        if (attribute != attribute_parameter || bytes.size() != 12) return;
        // An index, then the ordinal and the offset in two bytes each, then the size above 18 other bits.
        const std::uint32_t place = word_at(bytes, 4);
        by_ordinal[place & 0xffff] = {place >> 16, word_at(bytes, 8) >> 18};
    });
    std::vector<cubin_argument> arguments;
    for (const auto& [ordinal, argument] : by_ordinal) arguments.push_back(argument);
    return arguments;
}

}  // namespace mhc::runtime
