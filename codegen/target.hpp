// codegen/target.hpp -- what code is generated for: its kind, wave size and compile target. A table, no machine is asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/result.hpp>

namespace mhc::codegen {

enum class target_kind { host, amdgpu, cuda };

/// All but compute_units and code_object_version is the table's.
struct target {
    target_kind kind = target_kind::host;
    std::string name;       ///< as keys and rows have it: "gfx942", "gfx90a:sramecc+:xnack-", "sm_90", "host:<hash>"
    std::string processor;  ///< "gfx942", "sm_90"; "x86-64" or "generic" on host
    std::vector<std::string> features;   ///< host: LLVM names, sorted ("avx2", ...); AMD: "sramecc+", "xnack-"
    std::string triple;                  ///< LLVM's; empty for CUDA
    std::int32_t wave_size = 1;          ///< lanes of a wavefront
    std::int32_t lds_bytes_max = 65536;  ///< of a work-group
    /// AMD: of the cache between the compute units' L2 and memory, the smallest that a product of this processor has; 0:
    /// none.
    std::int64_t last_level_bytes = 0;
    std::int32_t code_object_version = 5;  ///< AMD: 4 where a HIP 5 runtime will load the object
    /// Compute units or multiprocessors of the device, which grids are sized by; 0: those of the largest that the table
    /// knows. No kernel and no bit of a result depends on it.
    std::int32_t compute_units = 0;
};

/// "gfx942", "gfx90a:sramecc+:xnack-", "sm_90", "host:x86-64-v2|3|4". A bare "host" is `host_target(features)`.
/// Errors: unsupported_target, listing the known names.
jit::result<target> parse_target(std::string_view name);

/// This library's host target for a CPU with these features (LLVM names). `architecture` is "x86_64" or "aarch64".
target host_target(std::string_view architecture, std::vector<std::string> features);

/// Every AMD processor this library knows, in order: gfx90a, gfx942, gfx950, gfx1030, gfx1100, ...
const std::vector<std::string>& amd_processors();

/// Every NVIDIA architecture this library knows, in order: sm_80, sm_86, sm_89, sm_90, sm_90a, ...
const std::vector<std::string>& cuda_architectures();

/// The processors of all GPUs: AMD's, then NVIDIA's.
std::vector<std::string> gpu_processors();

/// The target that an NVIDIA device of this compute capability runs: for 9.0 "sm_90a", whose instructions no other device
/// has, and for 8.7, which is not listed, the newest listed one of the same major number that is not newer. Empty: none.
std::string cuda_architecture_for(int major, int minor);

/// Whether code for `architecture` ("sm_80") runs on such a device: the same major number and no newer minor one; code
/// for "sm_90a" runs on that very architecture alone.
bool cuda_runs_on(std::string_view architecture, int major, int minor);

}  // namespace mhc::codegen
