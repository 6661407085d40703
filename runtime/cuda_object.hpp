// runtime/cuda_object.hpp -- reads cubins: architecture, kernels, what they use. Every byte may be hostile.
#pragma once

#include <string_view>
#include <vector>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/result.hpp>

#include "runtime/elf_object.hpp"

namespace mhc::runtime {

/// Whether the cubin is for `target` ("sm_90", "sm_90a") and holds the kernel `symbol`. Errors: load_failed.
jit::result<void> verify_cubin(const elf_object& object, std::string_view target, std::string_view symbol);

/// Registers of a thread (`vgprs`), shared memory of a work-group, local memory of a thread (`scratch_bytes`) and bytes of
/// arguments of `symbol`.
jit::resource_description cubin_resources(const elf_object& object, std::string_view symbol);

struct cubin_argument {
    std::uint32_t offset = 0, size = 0;
};
/// The parameters of `symbol`, in order.
std::vector<cubin_argument> cubin_arguments(const elf_object& object, std::string_view symbol);

}  // namespace mhc::runtime
