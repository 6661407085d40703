// runtime/code_object.cpp -- judges code objects and reads what their kernels use.
#include "runtime/code_object.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "runtime/cuda_object.hpp"
#include "runtime/elf_object.hpp"
#include "runtime/msgpack.hpp"

namespace mhc::runtime {
namespace {

constexpr std::uint16_t machine_amdgpu = 224;
constexpr std::uint8_t os_abi_amdgpu_hsa = 64;
constexpr std::uint32_t mach_mask = 0xff;

/// How many wavefronts a SIMD holds: registers of a SIMD and their granule; LDS that four SIMDs share, its granule, and how
/// many work-groups of several wavefronts those four can keep apart (each needs a barrier).
struct occupancy_rule {
    std::uint32_t waves_max, vgprs, vgpr_granule, lds_bytes, lds_granule, workgroups_max;
    bool has_unified_vgprs, is_limited_by_sgprs;
};

struct processor {
    std::string_view name;
    std::uint32_t mach;
    const occupancy_rule* rule;
};

// LLVM's AMDGPUBaseInfo (waves, VGPRs, granules, SGPRs) at wave size 64 for gfx9 and 32 for the others. From gfx10 the four
// SIMDs are those of a work-group processor, with the LDS of both its halves.
constexpr occupancy_rule gfx9{10, 256, 4, 65536, 512, 16, false, true};
constexpr occupancy_rule gfx90a{8, 512, 8, 65536, 512, 16, true, true};
constexpr occupancy_rule gfx950{8, 512, 8, 163840, 1280, 16, true, true};
constexpr occupancy_rule gfx10_1{20, 1024, 8, 131072, 512, 32, false, false};
constexpr occupancy_rule gfx10_3{16, 1024, 16, 131072, 512, 32, false, false};
constexpr occupancy_rule gfx11_big{16, 1536, 24, 131072, 512, 32, false, false};
constexpr occupancy_rule gfx1250{16, 1024, 16, 327680, 2048, 16, false, false};

constexpr std::array processors{
    processor{"gfx900", 0x2c, &gfx9},           processor{"gfx906", 0x2f, &gfx9},
    processor{"gfx908", 0x30, &gfx9},           processor{"gfx90a", 0x3f, &gfx90a},
    processor{"gfx940", 0x40, &gfx90a},         processor{"gfx941", 0x4b, &gfx90a},
    processor{"gfx942", 0x4c, &gfx90a},         processor{"gfx950", 0x4f, &gfx950},
    processor{"gfx1010", 0x33, &gfx10_1},       processor{"gfx1030", 0x36, &gfx10_3},
    processor{"gfx1031", 0x37, &gfx10_3},       processor{"gfx1032", 0x38, &gfx10_3},
    processor{"gfx1033", 0x39, &gfx10_3},       processor{"gfx1034", 0x3e, &gfx10_3},
    processor{"gfx1035", 0x3d, &gfx10_3},       processor{"gfx1036", 0x45, &gfx10_3},
    processor{"gfx1100", 0x41, &gfx11_big},     processor{"gfx1101", 0x46, &gfx11_big},
    processor{"gfx1102", 0x47, &gfx10_3},       processor{"gfx1103", 0x44, &gfx10_3},
    processor{"gfx1150", 0x43, &gfx10_3},       processor{"gfx1151", 0x4a, &gfx11_big},
    processor{"gfx1152", 0x55, &gfx10_3},       processor{"gfx1153", 0x58, &gfx10_3},
    processor{"gfx1200", 0x48, &gfx11_big},     processor{"gfx1201", 0x4e, &gfx11_big},
    processor{"gfx1250", 0x49, &gfx1250},       processor{"gfx9-4-generic", 0x5f, &gfx90a},
    processor{"gfx11-generic", 0x54, &gfx10_3}, processor{"gfx12-generic", 0x59, &gfx11_big},
};

std::string name_of_mach(std::uint32_t mach)
{
    for (const processor& one : processors)
        if (one.mach == mach) return std::string(one.name);
    return fmt::format("an unknown processor ({:#x})", mach);
}

constexpr std::uint32_t round_up(std::uint32_t value, std::uint32_t granule)
{
    return (value + granule - 1) / granule * granule;
}

std::uint32_t waves_per_simd(const occupancy_rule& rule, const jit::resource_description& uses)
{
    constexpr std::uint32_t registers_max = 1024;  // keeps hostile counts from overflowing
    if (uses.vgprs > registers_max || uses.agprs > registers_max || uses.wave_size == 0) return 0;
    const std::uint32_t registers = rule.has_unified_vgprs ? uses.vgprs : std::max(uses.vgprs, uses.agprs);
    std::uint32_t waves = std::min(rule.waves_max, rule.vgprs / round_up(std::max(registers, 1U), rule.vgpr_granule));
    if (rule.is_limited_by_sgprs) {  // 800 of them in a SIMD, in granules of 16, less what the hardware keeps
        const std::uint32_t by_sgprs = uses.sgprs <= 80 ? 10 : uses.sgprs <= 88 ? 9 : uses.sgprs <= 100 ? 8 : 7;
        waves = std::min(waves, by_sgprs);
    }
    constexpr std::uint32_t simds = 4, workgroup_max = 1024;
    const std::uint32_t workgroup_waves =
        std::max(1U, (std::min(uses.max_workgroup, workgroup_max) + uses.wave_size - 1) / uses.wave_size);
    std::uint32_t groups = workgroup_waves > 1 ? rule.workgroups_max : rule.waves_max * simds;
    if (uses.lds_bytes > 0 && uses.lds_bytes <= rule.lds_bytes)
        groups = std::min(groups, rule.lds_bytes / round_up(uses.lds_bytes, rule.lds_granule));
    return std::min(waves, (groups * workgroup_waves + simds - 1) / simds);
}

std::uint32_t narrow(std::uint64_t value)
{
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

void read_arguments(msgpack_reader& from, std::vector<metadata_argument>* into)
{
    for (std::uint32_t left = from.array(); left > 0 && from.good(); --left) {
        metadata_argument& argument = into->emplace_back();
        from.each_entry([&](std::string_view key) {
            if (key == ".value_kind")
                argument.value_kind = from.text();
            else if (key == ".offset")
                argument.offset = narrow(from.number());
            else if (key == ".size")
                argument.size = narrow(from.number());
            else
                from.skip();
        });
    }
}

kernel_metadata read_kernel(msgpack_reader& from)
{
    kernel_metadata kernel;
    jit::resource_description& uses = kernel.resources;
    from.each_entry([&](std::string_view key) {
        if (key == ".name")
            kernel.name = from.text();
        else if (key == ".args")
            read_arguments(from, &kernel.args);
        else if (key == ".vgpr_count")
            uses.vgprs = narrow(from.number());
        else if (key == ".agpr_count")
            uses.agprs = narrow(from.number());
        else if (key == ".sgpr_count")
            uses.sgprs = narrow(from.number());
        else if (key == ".vgpr_spill_count")
            uses.vgpr_spills = narrow(from.number());
        else if (key == ".sgpr_spill_count")
            uses.sgpr_spills = narrow(from.number());
        else if (key == ".group_segment_fixed_size")
            uses.lds_bytes = narrow(from.number());
        else if (key == ".private_segment_fixed_size")
            uses.scratch_bytes = narrow(from.number());
        else if (key == ".kernarg_segment_size")
            uses.kernarg_bytes = narrow(from.number());
        else if (key == ".wavefront_size")
            uses.wave_size = narrow(from.number());
        else if (key == ".max_flat_workgroup_size")
            uses.max_workgroup = narrow(from.number());
        else
            from.skip();
    });
    return kernel;
}

/// What the target asks of one feature against the two bits of e_flags (0 unsupported, 1 any, 2 off, 3 on): an object for
/// any setting serves every target; one for a fixed setting only the target that names it.
bool is_feature_fit(std::uint32_t bits, std::string_view target, std::string_view feature)
{
    const std::size_t at = target.find(fmt::format(":{}", feature));
    const std::size_t sign = at == std::string_view::npos ? at : at + 1 + feature.size();
    if (sign >= target.size()) return bits < 2;
    return bits < 2 || bits == (target[sign] == '+' ? 3U : 2U);
}

jit::result<void> verify_amdgpu(const elf_object& object, std::string_view target, std::string_view symbol)
{
    const std::string_view processor_name = target.substr(0, target.find(':'));
    const std::uint32_t wanted = amdgpu_mach(processor_name), found = object.flags & mach_mask;
    if (wanted == 0) return differs(fmt::format("\"{}\" is no target that is known", target));
    if (object.machine != machine_amdgpu || object.os_abi != os_abi_amdgpu_hsa)
        return differs(fmt::format("the object is for ELF machine {}, not an AMD GPU", object.machine));
    if (object.abi_version < 2 || object.abi_version > 4)
        return differs(fmt::format("code object version {} is none of 4, 5 and 6", object.abi_version + 2));
    if (found != wanted) return differs(fmt::format("the object is for {}, not {}", name_of_mach(found), processor_name));
    if (!is_feature_fit(object.flags >> 8 & 3, target, "xnack"))
        return differs(fmt::format("the object's xnack setting is not that of {}", target));
    if (!is_feature_fit(object.flags >> 10 & 3, target, "sramecc"))
        return differs(fmt::format("the object's sramecc setting is not that of {}", target));

    const auto has = [&](std::string_view name, std::uint8_t type) {
        return std::any_of(object.dynamic_symbols.begin(), object.dynamic_symbols.end(),
                           [&](const elf_symbol& one) { return one.is_defined && one.type == type && one.name == name; });
    };
    if (!has(symbol, STT_FUNC)) return differs(fmt::format("the object has no function {}", symbol));
    if (!has(fmt::format("{}.kd", symbol), STT_OBJECT))
        return differs(fmt::format("the object has no kernel descriptor {}.kd", symbol));
    return {};
}

jit::result<void> verify_host(const elf_object& object, std::string_view symbol)
{
#if defined(__x86_64__)
    constexpr std::uint16_t machine = EM_X86_64;
#elif defined(__aarch64__)
    constexpr std::uint16_t machine = EM_AARCH64;
#else
    constexpr std::uint16_t machine = EM_NONE;
#endif
    if (object.machine != machine)
        return differs(fmt::format("the object is for ELF machine {}, this is {}", object.machine, machine));
    if (object.type != ET_DYN) return differs("the object is not a shared object");
    if (!object.needed.empty()) return differs(fmt::format("the object needs the library {}", object.needed.front()));
    bool has_symbol = false;
    for (const elf_symbol& one : object.dynamic_symbols) {
        if (!one.is_defined && one.name != "memcpy" && one.name != "memset")
            return differs(fmt::format("the object needs {}, which is not memcpy or memset", one.name));
        has_symbol = has_symbol || (one.is_defined && one.type == STT_FUNC && one.name == symbol);
    }
    if (!has_symbol) return differs(fmt::format("the object has no function {}", symbol));
    return {};
}

}  // namespace

std::uint32_t amdgpu_mach(std::string_view name)
{
    const auto at =
        std::find_if(processors.begin(), processors.end(), [&](const processor& one) { return one.name == name; });
    return at == processors.end() ? 0 : at->mach;
}

jit::result<std::vector<kernel_metadata>> read_metadata(std::string_view elf)
{
    const auto object = read_elf(elf);
    if (!object) return object.error();
    if (object->machine != machine_amdgpu) return differs("not an AMD code object");
    if (object->amdgpu_metadata.empty()) return differs("the code object has no metadata note");
    constexpr std::size_t metadata_bytes_max = 1 << 20;  // an empty kernel is one byte there and hundreds here
    if (object->amdgpu_metadata.size() > metadata_bytes_max) return differs("the code object's metadata is too long");

    msgpack_reader from(object->amdgpu_metadata);
    std::string target;
    std::vector<kernel_metadata> kernels;
    from.each_entry([&](std::string_view key) {
        if (key == "amdhsa.target") {
            target = from.text();
        } else if (key == "amdhsa.kernels") {
            for (std::uint32_t left = from.array(); left > 0 && from.good(); --left) kernels.push_back(read_kernel(from));
        } else {
            from.skip();
        }
    });
    if (!from.good()) return differs("the code object's metadata is broken");
    const std::uint32_t mach = object->flags & mach_mask;
    const auto at =
        std::find_if(processors.begin(), processors.end(), [&](const processor& one) { return one.mach == mach; });
    for (kernel_metadata& kernel : kernels) {
        kernel.target = target;
        if (at != processors.end()) kernel.resources.waves_per_simd = waves_per_simd(*at->rule, kernel.resources);
    }
    return kernels;
}

jit::resource_description resources_of(std::string_view elf, std::string_view symbol)
{
    const auto object = read_elf(elf);
    if (!object) return {};
    if (object->machine == machine_cuda) return cubin_resources(*object, symbol);
    const auto kernels = read_metadata(elf);
    if (!kernels) return {};
    for (const kernel_metadata& kernel : *kernels)
        if (kernel.name == symbol) return kernel.resources;
    return {};
}

jit::result<void> verify_code_object(std::string_view elf, std::string_view target, std::string_view symbol)
{
    const auto object = read_elf(elf);
    if (!object) return object.error();
    if (target.substr(0, target.find(':')) == "host") return verify_host(*object, symbol);
    if (target.starts_with("sm_")) return verify_cubin(*object, target, symbol);
    return verify_amdgpu(*object, target, symbol);
}

}  // namespace mhc::runtime
