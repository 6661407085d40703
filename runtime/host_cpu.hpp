// runtime/host_cpu.hpp -- the target `host` means on this machine.
#pragma once

#include "codegen/target.hpp"

namespace mhc::runtime {

/// From what this CPU and its operating system really offer, not from the CPU's name: a hypervisor may mask features.
codegen::target this_host();

}  // namespace mhc::runtime
