// codegen/target.cpp -- the table of targets.
#include "codegen/target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mhc::codegen {
namespace {

using jit::errc;
using jit::failure;

struct amd_processor {
    std::string_view name;
    std::int32_t wave_size;
    std::int32_t lds_bytes_max;
    bool has_sramecc, has_xnack;
    std::int64_t last_level_mib;
};

// LDS of a work-group and target features: LLVM's AMDGPUUsage, "Processors"; gfx950's 160 KB from the same. Infinity Cache:
// ROCm documentation, "AMD GPU specifications", and AMD's product pages, the smallest of MI300X, MI300A, MI308X and MI325X;
// MI350X and MI355X; RX 6800 to 6950 XT; RX 7900 GRE to XTX; RX 7700 XT and 7800 XT; RX 9060 XT; RX 9070 GRE to XT. gfx90a
// has none; gfx1250's is not public.
constexpr std::array amd_table{
    amd_processor{"gfx90a", 64, 65536, true, true, 0},     amd_processor{"gfx942", 64, 65536, true, true, 256},
    amd_processor{"gfx950", 64, 163840, true, true, 256},  amd_processor{"gfx1030", 32, 65536, false, false, 128},
    amd_processor{"gfx1100", 32, 65536, false, false, 64}, amd_processor{"gfx1101", 32, 65536, false, false, 48},
    amd_processor{"gfx1200", 32, 65536, false, false, 32}, amd_processor{"gfx1201", 32, 65536, false, false, 48},
    amd_processor{"gfx1250", 32, 65536, false, false, 0},
};

struct cuda_architecture {
    std::string_view name;
    int major, minor;
    bool is_exact;  ///< its code runs on no other compute capability
};

// Static shared memory of a block is 48 KB on all of them (CUDA C++ Programming Guide, "Compute Capabilities").
constexpr std::int32_t cuda_lds_bytes = 49152;
constexpr std::array cuda_table{
    cuda_architecture{"sm_80", 8, 0, false},   cuda_architecture{"sm_86", 8, 6, false},
    cuda_architecture{"sm_89", 8, 9, false},   cuda_architecture{"sm_90", 9, 0, false},
    cuda_architecture{"sm_90a", 9, 0, true},   cuda_architecture{"sm_100", 10, 0, false},
    cuda_architecture{"sm_120", 12, 0, false},
};

const amd_processor* find_amd(std::string_view name)
{
    const auto at = std::find_if(amd_table.begin(), amd_table.end(), [&](const auto& p) { return p.name == name; });
    return at == amd_table.end() ? nullptr : &*at;
}

failure unknown_target(std::string_view name)
{
    return {errc::unsupported_target,
            fmt::format("target '{}' is not known; known: host, host:x86-64-v2, host:x86-64-v3, host:x86-64-v4, {}", name,
                        fmt::join(gpu_processors(), ", "))};
}

jit::result<target> parse_cuda(std::string_view name)
{
    const auto& known = cuda_architectures();
    if (std::find(known.begin(), known.end(), name) == known.end()) return unknown_target(name);
    return target{.kind = target_kind::cuda,
                  .name = std::string(name),
                  .processor = std::string(name),
                  .features = {},
                  .triple = {},
                  .wave_size = 32,
                  .lds_bytes_max = cuda_lds_bytes};
}

jit::result<target> parse_amd(std::string_view name)
{
    const std::string_view processor = name.substr(0, name.find(':'));
    const amd_processor* row = find_amd(processor);
    if (row == nullptr) return unknown_target(name);
    target t{.kind = target_kind::amdgpu,
             .name = std::string(processor),
             .processor = std::string(processor),
             .features = {},
             .triple = "amdgcn-amd-amdhsa",
             .wave_size = row->wave_size,
             .lds_bytes_max = row->lds_bytes_max,
             .last_level_bytes = row->last_level_mib * 1024 * 1024};
    std::string_view rest = name.substr(processor.size());
    while (!rest.empty()) {
        rest.remove_prefix(1);
        const std::string feature(rest.substr(0, rest.find(':')));
        rest.remove_prefix(feature.size());
        const bool is_known = (row->has_sramecc && (feature == "sramecc+" || feature == "sramecc-")) ||
                              (row->has_xnack && (feature == "xnack+" || feature == "xnack-"));
        if (!is_known)
            return failure{errc::unsupported_target,
                           fmt::format("target '{}': feature '{}' is not known; {} has {}", name, feature, processor,
                                       row->has_xnack ? "sramecc+, sramecc-, xnack+, xnack-" : "none")};
        const auto has_it_already = [&](const std::string& f) {
            return f.substr(0, f.size() - 1) == feature.substr(0, feature.size() - 1);
        };
        if (std::any_of(t.features.begin(), t.features.end(), has_it_already))
            return failure{errc::unsupported_target, fmt::format("target '{}': feature '{}' is given twice", name, feature)};
        t.features.push_back(feature);
    }
    std::sort(t.features.begin(), t.features.end());  // one spelling, the runtime's: sramecc before xnack
    for (const std::string& feature : t.features) t.name += ":" + feature;
    return t;
}

// The psABI's levels; each holds the one before.
std::vector<std::string> x86_64_level(int level)
{
    std::vector<std::string> features;
    if (level >= 2) features.insert(features.end(), {"cx16", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"});
    if (level >= 3) features.insert(features.end(), {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"});
    if (level >= 4) features.insert(features.end(), {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"});
    return features;
}

// FNV-1a: a name for a set of features; the key holds the set itself.
std::string short_hash(const std::vector<std::string>& features)
{
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const std::string& feature : features)
        for (const char c : feature + ",") hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return fmt::format("{:016x}", hash).substr(0, 8);
}

}  // namespace

const std::vector<std::string>& amd_processors()
{
    // Never destroyed: a thread may still compile while the process ends.
    static const auto& names = *new std::vector<std::string>([] {
        std::vector<std::string> list;
        for (const amd_processor& p : amd_table) list.emplace_back(p.name);
        return list;
    }());
    return names;
}

const std::vector<std::string>& cuda_architectures()
{
    static const auto& names = *new std::vector<std::string>([] {
        std::vector<std::string> list;
        for (const cuda_architecture& a : cuda_table) list.emplace_back(a.name);
        return list;
    }());
    return names;
}

std::vector<std::string> gpu_processors()
{
    std::vector<std::string> all = amd_processors();
    all.insert(all.end(), cuda_architectures().begin(), cuda_architectures().end());
    return all;
}

bool cuda_runs_on(std::string_view architecture, int major, int minor)
{
    const auto at =
        std::find_if(cuda_table.begin(), cuda_table.end(), [&](const auto& a) { return a.name == architecture; });
    if (at == cuda_table.end() || at->major != major) return false;
    return at->is_exact ? at->minor == minor : at->minor <= minor;
}

std::string cuda_architecture_for(int major, int minor)
{
    std::string best;
    for (const cuda_architecture& a : cuda_table)
        if (cuda_runs_on(a.name, major, minor)) best = a.name;  // in their order: the exact one last
    return best;
}

target host_target(std::string_view architecture, std::vector<std::string> features)
{
    std::sort(features.begin(), features.end());
    target t{.kind = target_kind::host,
             .name = "host:" + short_hash(features),
             .processor = architecture == "x86_64" ? "x86-64" : "generic",
             .features = std::move(features),
             .triple = fmt::format("{}-unknown-linux-gnu", architecture),
             .wave_size = 1,
             .lds_bytes_max = 1 << 20};
    return t;
}

jit::result<target> parse_target(std::string_view name)
{
    if (name.starts_with("gfx")) return parse_amd(name);
    if (name.starts_with("sm_")) return parse_cuda(name);
    for (const int level : {2, 3, 4})
        if (name == fmt::format("host:x86-64-v{}", level)) {
            target t = host_target("x86_64", x86_64_level(level));
            t.name = name;
            return t;
        }
    return unknown_target(name);
}

}  // namespace mhc::codegen
