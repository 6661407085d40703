// emulator/code_image.cpp -- segments, kernel descriptors and metadata of a code object.
#include "emulator/code_image.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "emulator/decode.hpp"
#include "emulator/relocations.hpp"
#include "runtime/elf_object.hpp"

namespace mhc::emulator {
namespace {

using jit::errc;
using jit::failure;

failure broken(std::string what) { return {errc::load_failed, std::move(what)}; }

template <class T>
T read_at(const u8* bytes)
{
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
}

constexpr u64 page = 4096, image_bytes_max = u64{1} << 28;
constexpr u32 descriptor_bytes = 64;

/// The object's part of memory; `code` becomes the range of its executable segment.
struct code_range {
    u64 begin = 0, size = 0;
};
jit::result<void> place_segments(std::string_view elf, code_image& into, code_range& code)
{
    const auto* bytes = reinterpret_cast<const u8*>(elf.data());
    const auto header = read_at<Elf64_Ehdr>(bytes);  // read_elf has checked the tables and the segments' contents
    std::vector<Elf64_Phdr> loaded;
    for (u32 i = 0; i < header.e_phnum; ++i) {
        const auto segment = read_at<Elf64_Phdr>(bytes + header.e_phoff + i * sizeof(Elf64_Phdr));
        if (segment.p_type == PT_LOAD) loaded.push_back(segment);
        if (segment.p_type != PT_LOAD) continue;
        if (segment.p_memsz > image_bytes_max || segment.p_vaddr > image_bytes_max || segment.p_filesz > segment.p_memsz)
            return broken("a segment of the code object is too large");
        into.size = std::max<u64>(into.size, segment.p_vaddr + segment.p_memsz);
        if ((segment.p_flags & PF_X) == 0) continue;
        if (code.size != 0) return broken("the code object has several executable segments; one is modelled");
        code = {segment.p_vaddr, segment.p_filesz};
    }
    if (code.size == 0) return broken("the code object has no executable segment");
    into.storage.assign(static_cast<std::size_t>(into.size + page), 0);
    const auto begin = reinterpret_cast<std::uintptr_t>(into.storage.data());
    into.base = (begin + page - 1) / page * page;
    for (const Elf64_Phdr& segment : loaded) {
        into.segments.push_back({segment.p_vaddr, segment.p_memsz, (segment.p_flags & PF_W) != 0});
        std::memcpy(into.storage.data() + (into.base - begin) + segment.p_vaddr, bytes + segment.p_offset, segment.p_filesz);
    }
    return {};
}

kernel_entry read_descriptor(const u8* at)
{
    const auto rsrc1 = read_at<u32>(at + 48), rsrc2 = read_at<u32>(at + 52);
    const auto properties = read_at<u16>(at + 56), preload = read_at<u16>(at + 58);
    const auto bit = [](u32 word, u32 number) { return (word >> number & 1U) != 0; };
    kernel_entry made;
    made.lds_bytes = read_at<u32>(at);
    made.scratch_bytes = read_at<u32>(at + 4);
    made.argument_bytes = read_at<u32>(at + 8);
    made.denormals_single = rsrc1 >> 16 & 3U;
    made.denormals_half = rsrc1 >> 18 & 3U;
    made.user_scalars = rsrc2 >> 1 & 31U;
    made.has_scratch_offset = bit(rsrc2, 0);
    made.has_group_x = bit(rsrc2, 7);
    made.has_group_y = bit(rsrc2, 8);
    made.has_group_z = bit(rsrc2, 9);
    made.has_group_info = bit(rsrc2, 10);
    made.work_item_dimensions = (rsrc2 >> 11 & 3U) + 1;
    made.has_private_buffer = bit(properties, 0);
    made.has_dispatch_ptr = bit(properties, 1);
    made.has_queue_ptr = bit(properties, 2);
    made.has_argument_ptr = bit(properties, 3);
    made.has_dispatch_id = bit(properties, 4);
    made.has_scratch_init = bit(properties, 5);
    made.has_private_size = bit(properties, 6);
    made.wave_size = bit(properties, 10) ? 32 : 64;
    made.preload_count = preload & 0x7FU;
    made.preload_offset = preload >> 7 & 0x1FFU;
    return made;
}

/// What is not modelled is refused before anything runs.
std::string objection_to(const u8* descriptor)
{
    if ((read_at<u32>(descriptor + 48) >> 12 & 15U) != 0) return "it rounds otherwise than to nearest even";
    return {};
}

}  // namespace

const kernel_entry* code_image::find(std::string_view name) const
{
    const auto at = std::find_if(kernels.begin(), kernels.end(), [&](const kernel_entry& k) { return k.name == name; });
    return at == kernels.end() ? nullptr : &*at;
}

jit::result<std::unique_ptr<code_image>> load_image(std::string_view elf, std::string_view processor)
{
    const auto object = runtime::read_elf(elf);
    if (!object) return object.error();
    auto metadata = runtime::read_metadata(elf);
    if (!metadata) return metadata.error();
    auto made = std::make_unique<code_image>();
    made->processor = processor;
    code_range code;
    if (auto ok = place_segments(elf, *made, code); !ok) return ok.error();
    if (auto ok = relocate(elf, *object, made->base, made->size); !ok) return ok.error();
    const auto* image = reinterpret_cast<const u8*>(static_cast<std::uintptr_t>(made->base));

    for (runtime::kernel_metadata& known : *metadata) {
        if (auto ok = runtime::verify_code_object(elf, processor, known.name); !ok) return ok.error();
        const std::string symbol = known.name + ".kd";
        const auto found = std::find_if(object->dynamic_symbols.begin(), object->dynamic_symbols.end(),
                                        [&](const runtime::elf_symbol& each) { return each.name == symbol; });
        if (found->value > made->size || made->size - found->value < descriptor_bytes)
            return broken(symbol + " is outside the object");
        const u8* descriptor = image + found->value;
        kernel_entry entry = read_descriptor(descriptor);
        if (std::string why = objection_to(descriptor); !why.empty())
            return broken(fmt::format("{} cannot be emulated: {}", known.name, why));
        if (!made->code) {
            const std::string_view bytes(reinterpret_cast<const char*>(image + code.begin),
                                         static_cast<std::size_t>(code.size));
            auto decoded = decode(processor, bytes, code.begin, entry.wave_size);
            if (!decoded) return decoded.error();
            made->code = std::move(*decoded);
            made->code_effects = effects_of(*made->code);
        }
        // In front of code that takes arguments in scalars are 256 bytes for machines that cannot give them so.
        const u64 skipped = entry.preload_count != 0 ? 256 : 0;
        const u64 first = found->value + read_at<u64>(descriptor + 16) - code.begin + skipped;
        if (first / 4 >= made->code->at_word.size() || first % 4 != 0)
            return broken(known.name + " begins outside the code");
        entry.first = made->code->at_word[static_cast<std::size_t>(first / 4)];
        if (entry.first == program::no_operation) return broken(known.name + " begins inside an instruction");
        entry.name = known.name;
        entry.workgroup_max = known.resources.max_workgroup;
        entry.arguments = std::move(known.args);
        made->kernels.push_back(std::move(entry));
    }
    return made;
}

}  // namespace mhc::emulator
