// emulator/device.hpp -- an emulated GPU behind the interface that HIP's and CUDA's are behind.
#pragma once

#include <memory>
#include <string>

#include "runtime/gpu_driver.hpp"

namespace mhc::emulator {

/// Which mistakes of kernels are looked for; README.md has the list.
enum class checks { bounds, all };

/// What MHC_EMULATOR_CHECKS says, `all` where it is not set. Anything else: false, and `why` says what is allowed.
bool read_checks(checks& made, std::string& why);

std::shared_ptr<runtime::gpu_driver> make_device(const std::string& processor, checks which);

}  // namespace mhc::emulator
