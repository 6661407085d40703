// codegen/target.hpp -- what code is generated for: its kind, wave size and compile target. A table, no machine is asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>

namespace mhc::codegen {

enum class target_kind { host, amdgpu };

struct target {
    target_kind kind = target_kind::host;
    std::string name;  ///< as keys and rows have it: "gfx942", "gfx90a:sramecc+:xnack-", "host:<hash>", "host:x86-64-v3"
    std::string processor;               ///< "gfx942"; "x86-64" or "generic" on host
    std::vector<std::string> features;   ///< host: LLVM names, sorted ("avx2", ...); AMD: "sramecc+", "xnack-"
    std::string triple;                  ///< LLVM's
    std::int32_t wave_size = 1;          ///< lanes of a wavefront
    std::int32_t lds_bytes_max = 65536;  ///< of a work-group
};

/// "gfx942", "gfx90a:sramecc+:xnack-", "host:x86-64-v2|3|4". A bare "host" is `host_target(features)`.
/// Errors: unsupported_target, listing the known names.
jit::result<target> parse_target(std::string_view name);

/// This library's host target for a CPU with these features (LLVM names). `architecture` is "x86_64" or "aarch64".
target host_target(std::string_view architecture, std::vector<std::string> features);

/// Every AMD processor this library knows, in order: gfx90a, gfx942, gfx950, gfx1030, gfx1100, ...
const std::vector<std::string>& amd_processors();

}  // namespace mhc::codegen
