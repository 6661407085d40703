// runtime/cuda_object.hpp -- reads cubins: architecture, kernels, what they use. Every byte may be hostile.
#pragma once

#include <string_view>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/result.hpp>

#include "runtime/elf_object.hpp"

namespace mhc::runtime {

/// Whether the cubin is for `target` ("sm_90", "sm_90a") and holds the kernel `symbol`. Errors: load_failed.
jit::result<void> verify_cubin(const elf_object& object, std::string_view target, std::string_view symbol);

/// Registers a thread (`vgprs`), shared memory and local memory of a work-group's and a thread's, of `symbol`.
jit::resource_description cubin_resources(const elf_object& object, std::string_view symbol);

}  // namespace mhc::runtime
