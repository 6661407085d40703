// tests/support/fake_hip/launch.cpp -- modules and launches. Kernels are executed where there is an executor.
//
// Beyond what a runtime refuses (geometry, launch bounds, an object for another GPU) these are refused, which a real one
// would compute nonsense with or fail on later: an image that is not page-aligned or does not stay as it was; a block other
// than the one the kernel was compiled for; an argument block of another size than the kernel's parameters; a pointer
// argument that is neither null nor in a live allocation.
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <type_traits>

#include "runtime/elf_object.hpp"
#include "runtime/hip_api.hpp"
#include "tests/support/fake_hip/state.hpp"

using namespace mhc::fake_hip;
using mhc::runtime::elf_object;
using mhc::runtime::kernel_metadata;
using mhc::runtime::metadata_argument;
using mhc::runtime::hip::api;

namespace {

std::size_t page_bytes() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

/// Whether every page of [at, at + bytes) can be looked at. `at` is page-aligned.
bool is_mapped(const void* at, std::size_t bytes)
{
    std::vector<unsigned char> pages((bytes + page_bytes() - 1) / page_bytes());
    return ::mincore(const_cast<void*>(at), bytes, pages.data()) == 0;
}

/// As runtimes find how long an image is: where the last of its parts ends. 0: not an ELF file, or not all of one.
std::size_t elf_bytes(const void* image)
{
    constexpr std::size_t bytes_max = std::size_t{1} << 30;
    if (!is_mapped(image, page_bytes())) return 0;
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
    std::size_t end =
        std::max(header.e_shoff + header.e_shnum * sizeof(Elf64_Shdr), header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr));
    if (end > bytes_max || !is_mapped(image, end)) return 0;
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
        Elf64_Shdr section;
        std::memcpy(&section, static_cast<const char*>(image) + header.e_shoff + i * sizeof section, sizeof section);
        if (section.sh_type != SHT_NOBITS) end = std::max<std::size_t>(end, section.sh_offset + section.sh_size);
    }
    for (std::size_t i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment;
        std::memcpy(&segment, static_cast<const char*>(image) + header.e_phoff + i * sizeof segment, sizeof segment);
        end = std::max<std::size_t>(end, segment.p_offset + segment.p_filesz);
    }
    return end > bytes_max || !is_mapped(image, end) ? 0 : end;
}

/// Whether a setting (1 any, 2 off, 3 on) that an object was compiled for is the device's.
bool is_setting_fit(std::uint32_t bits, const std::string& arch, const std::string& feature)
{
    return bits < 2 || arch.find(":" + feature + (bits == 3 ? "+" : "-")) != std::string::npos;
}

/// Why the GPU cannot have the object; empty: it can.
std::string misfit(const elf_object& object, const state& s)
{
    constexpr std::uint16_t machine_amdgpu = 224;
    constexpr std::uint8_t os_abi_hsa = 64;
    if (object.machine != machine_amdgpu || object.os_abi != os_abi_hsa) return "not an AMD code object";
    // ELF ABI 2, 3 and 4 are code objects 4, 5 and 6.
    const int newest = s.version / 10'000'000 < 6 ? 3 : 4;
    if (object.abi_version < 2 || object.abi_version > newest) return "a code object version this runtime does not know";
    if ((object.flags & 0xff) != mhc::runtime::amdgpu_mach(s.arch.substr(0, s.arch.find(':'))))
        return "a code object for another processor";
    if (!is_setting_fit(object.flags >> 8 & 3, s.arch, "xnack")) return "a code object for another xnack setting";
    if (!is_setting_fit(object.flags >> 10 & 3, s.arch, "sramecc")) return "a code object for another sramecc setting";
    return {};
}

bool is_intact(const module& of)
{
    return is_mapped(of.image, of.copy.size()) && std::memcmp(of.image, of.copy.data(), of.copy.size()) == 0;
}

bool is_hidden(const metadata_argument& argument) { return argument.value_kind.starts_with("hidden_"); }

/// Where the parameters end; what follows in a kernel's arguments is the runtime's.
std::size_t explicit_bytes(const kernel_metadata& kernel)
{
    std::size_t end = 0;
    for (const metadata_argument& one : kernel.args)
        if (!is_hidden(one)) end = std::max<std::size_t>(end, one.offset + one.size);
    return end;
}

/// What the executor objects to; HIP's error does not tell, so it goes to standard error.
int refuse_aloud(call& made, int error, const mhc::jit::failure& why)
{
    std::fprintf(stderr, "emulated HIP: %s\n", why.message.c_str());
    return refuse(made, error, why.message);
}

std::string misplaced_pointer(const state& s, const kernel_metadata& kernel, const std::vector<std::byte>& arguments)
{
    for (std::size_t i = 0; i < kernel.args.size(); ++i) {
        const metadata_argument& one = kernel.args[i];
        if (one.value_kind != "global_buffer") continue;
        const void* pointer = nullptr;
        std::memcpy(&pointer, arguments.data() + one.offset, sizeof pointer);
        if (pointer != nullptr && !s.is_allocated(pointer, 1))
            return "argument " + std::to_string(i) + " points to memory that is not allocated";
    }
    return {};
}

}  // namespace

namespace mhc::fake_hip {

int check_launch(const state& s, const function& f, call& made)
{
    const kernel_metadata& kernel = f.kernel;
    constexpr auto grid_max = static_cast<unsigned>(std::numeric_limits<int>::max());
    constexpr std::uint64_t items_max = std::numeric_limits<std::uint32_t>::max();
    if (!is_intact(*f.of)) return refuse(made, unknown, "the module's image was changed or freed");
    if (made.block == 0) return invalid_configuration;
    if (made.grid == 0 || made.grid > grid_max) return refuse(made, invalid_value, "the grid is empty or too large");
    if (std::uint64_t{made.grid} * made.block > items_max)
        return refuse(made, invalid_configuration, "2^32 work-items or more");
    if (made.block > kernel.resources.max_workgroup) return refuse(made, launch_failure, "beyond the launch bounds");
    if (made.block != kernel.resources.max_workgroup)
        return refuse(made, invalid_configuration, "not the block that the kernel was compiled for");
    if (made.arguments.size() != explicit_bytes(kernel))
        return refuse(made, invalid_value, "the argument block has not the size of the kernel's parameters");
    if (std::string why = misplaced_pointer(s, kernel, made.arguments); !why.empty())
        return refuse(made, illegal_address, std::move(why));
    const stream* const on = find(s.streams, made.stream);
    if ((on != nullptr ? on->device : made.device) != f.of->device)
        return refuse(made, invalid_device, "the kernel was loaded for another device");
    return success;
}

/// After the checks, which are stricter than the executor's.
int execute(const function& f, call& made)
{
    if (executor() == nullptr) return success;
    const auto done = executor()->launch(f.executable, made.grid, static_cast<int>(made.block), made.arguments.data(),
                                         made.arguments.size(), nullptr);
    return done ? success : refuse_aloud(made, illegal_address, done.error());
}

int carry_out(state& s, const node& what, call& made)
{
    if (what.launched != nullptr) {
        const int error = check_launch(s, *what.launched, made);
        return error != success ? error : execute(*what.launched, made);
    }
    if (!s.is_allocated(made.pointer, made.bytes))
        return refuse(made, invalid_value, "not, or not wholly, in one allocation");
    auto* const words = static_cast<std::uint32_t*>(const_cast<void*>(made.pointer));
    std::fill_n(words, made.bytes / 4, what.word);
    return success;
}

}  // namespace mhc::fake_hip

FAKE_HIP_EXPORT int hipModuleLoadData(void** into, const void* image)
{
    return entry("hipModuleLoadData", [&](state& s, call& made) -> int {
        made.pointer = image;
        if (s.thread_captures()) return refuse(made, capture_unsupported, "this thread captures a stream");
        if (image == nullptr) return invalid_value;
        if (reinterpret_cast<std::uintptr_t>(image) % page_bytes() != 0)
            return refuse(made, invalid_image, "the image does not begin a page");
        made.bytes = elf_bytes(image);
        if (made.bytes == 0) return refuse(made, invalid_image, "not an ELF file, or not all of one");
        auto loaded = std::make_unique<module>();
        loaded->device = current_device();
        loaded->image = image;
        loaded->copy.assign(static_cast<const char*>(image), made.bytes);
        const auto object = mhc::runtime::read_elf(loaded->copy);
        if (!object) return refuse(made, invalid_image, object.error().message);
        if (std::string why = misfit(*object, s); !why.empty()) return refuse(made, no_binary_for_gpu, std::move(why));
        auto kernels = mhc::runtime::read_metadata(loaded->copy);
        if (!kernels) return refuse(made, invalid_image, kernels.error().message);
        loaded->kernels = std::move(*kernels);
        if (executor() != nullptr) {
            const auto executable = executor()->load_module(loaded->copy);
            if (!executable) return refuse_aloud(made, invalid_image, executable.error());
            loaded->executable = *executable;
        }
        *into = keep(s.modules, std::move(loaded));
        return success;
    });
}

FAKE_HIP_EXPORT int hipModuleUnload(void* handle)
{
    return entry("hipModuleUnload", [&](state& s, call& made) -> int {
        const module* const of = find(s.modules, handle);
        if (of == nullptr) return refuse(made, invalid_handle, "no such module");
        made.pointer = of->image;
        std::erase_if(s.functions, [&](const auto& one) { return one.second->of == of; });
        const bool was_intact = is_intact(*of);
        if (executor() != nullptr) executor()->unload_module(of->executable);
        s.modules.erase(handle);
        return was_intact ? success : refuse(made, unknown, "the module's image was changed or freed");
    });
}

FAKE_HIP_EXPORT int hipModuleGetFunction(void** into, void* handle, const char* name)
{
    return entry("hipModuleGetFunction", [&](state& s, call& made) -> int {
        if (name == nullptr || *name == '\0') return invalid_value;
        made.symbol = name;
        const module* const of = find(s.modules, handle);
        if (of == nullptr) return refuse(made, invalid_handle, "no such module");
        if (!is_intact(*of)) return refuse(made, unknown, "the module's image was changed or freed");
        const auto object = mhc::runtime::read_elf(of->copy);
        const std::string descriptor = made.symbol + ".kd";
        const bool has_descriptor =
            object && std::any_of(object->dynamic_symbols.begin(), object->dynamic_symbols.end(),
                                  [&](const auto& one) { return one.is_defined && one.name == descriptor; });
        const auto kernel = std::find_if(of->kernels.begin(), of->kernels.end(),
                                         [&](const kernel_metadata& one) { return one.name == made.symbol; });
        if (!has_descriptor || kernel == of->kernels.end()) return not_found;
        auto made_function = std::make_unique<function>(function{of, *kernel});
        if (executor() != nullptr) {
            const auto executable = executor()->function_of(of->executable, made.symbol);
            if (!executable) return refuse_aloud(made, not_found, executable.error());
            made_function->executable = *executable;
        }
        *into = keep(s.functions, std::move(made_function));
        return success;
    });
}

FAKE_HIP_EXPORT int hipModuleLaunchKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                          unsigned block_y, unsigned block_z, unsigned lds_bytes_dynamic, void* on,
                                          void** parameters, void** extra)
{
    return entry("hipModuleLaunchKernel", [&](state& s, call& made) -> int {
        namespace hip = mhc::runtime::hip;
        made.grid = grid_x;
        made.block = block_x;
        made.stream = on;
        const function* const f = find(s.functions, handle);
        stream* const of = find(s.streams, on);
        if (f == nullptr) return refuse(made, invalid_handle, "no such function");
        made.symbol = f->kernel.name;
        if (of == nullptr && on != nullptr) return refuse(made, invalid_value, "no such stream");
        if (grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1 || lds_bytes_dynamic != 0)
            return refuse(made, invalid_value, "the library's launches have one dimension and no dynamic LDS");
        const auto is = [&](std::size_t i, std::uintptr_t mark) {
            return reinterpret_cast<std::uintptr_t>(extra[i]) == mark;
        };
        if (parameters != nullptr || extra == nullptr || !is(0, hip::launch_param_buffer_pointer) ||
            !is(2, hip::launch_param_buffer_size) || !is(4, hip::launch_param_end))
            return refuse(made, invalid_value, "`extra` does not say pointer, size, end");
        const auto* const block = static_cast<const std::byte*>(extra[1]);
        made.arguments.assign(block, block + *static_cast<const std::size_t*>(extra[3]));

        const node what{made, f, 0};
        if (of == nullptr || of->capture == nullptr) return carry_out(s, what, made);
        made.by = call::how::captured;
        if (const int error = check_launch(s, *f, made); error != success) return error;
        of->capture->nodes.push_back(what);
        return success;
    });
}

// The types that the library calls them by.
static_assert(std::is_same_v<decltype(&hipModuleLoadData), decltype(api::module_load_data)>);
static_assert(std::is_same_v<decltype(&hipModuleUnload), decltype(api::module_unload)>);
static_assert(std::is_same_v<decltype(&hipModuleGetFunction), decltype(api::module_get_function)>);
static_assert(std::is_same_v<decltype(&hipModuleLaunchKernel), decltype(api::module_launch_kernel)>);
