// emulator/device.hpp -- an emulated GPU behind the interface that HIP's and CUDA's are behind.
#pragma once

#include <memory>
#include <string>

#include "emulator/processor_facts.hpp"
#include "runtime/gpu_driver.hpp"

namespace mhc::emulator {

/// Which mistakes of kernels are looked for; README.md has the list.
enum class checks { bounds, all };

/// What MHC_EMULATOR_CHECKS says, `all` where it is not set. Anything else: false, and `why` says what is allowed.
bool read_checks(checks& made, std::string& why);

/// The product of this processor that MHC_EMULATOR_GPU names, else the one that it is counted for. Null, with `why` set: no
/// product has that name.
const processor_facts* read_product(std::string_view processor, std::string& why);

std::shared_ptr<runtime::gpu_driver> make_device(const processor_facts& on, checks which);

}  // namespace mhc::emulator
