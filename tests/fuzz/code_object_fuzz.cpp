// tests/fuzz/code_object_fuzz.cpp -- ELF files as AMD code objects, cubins and shared objects of the host.
#include "runtime/code_object.hpp"
#include "runtime/cuda_object.hpp"
#include "runtime/elf_object.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace mhc;
    const std::string_view bytes = fuzz::text_of(data, size);
    for (const char* target : {"gfx942", "gfx90a:xnack-", "sm_90", "host"})
        for (const char* symbol : {"k", ""}) static_cast<void>(runtime::verify_code_object(bytes, target, symbol));
    static_cast<void>(runtime::read_metadata(bytes));
    runtime::resources_of(bytes, "k");
    const auto object = runtime::read_elf(bytes);
    if (!object) return 0;
    runtime::cubin_resources(*object, "k");
    runtime::cubin_arguments(*object, "k");
    // Everything that was read lies inside.
    const auto is_inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= bytes.data() && part.data() + part.size() <= bytes.data() + bytes.size());
    };
    fuzz::require(is_inside(object->amdgpu_metadata));
    for (const auto& one : object->dynamic_symbols) fuzz::require(is_inside(one.name));
    for (const auto& one : object->symbols) fuzz::require(is_inside(one.name));
    for (const auto& one : object->sections) fuzz::require(is_inside(one.name) && is_inside(one.contents));
    for (const auto& one : object->needed) fuzz::require(is_inside(one));
    return 0;
}
