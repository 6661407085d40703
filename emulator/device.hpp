// emulator/device.hpp -- an emulated GPU behind the interface that HIP's and CUDA's are behind.
#pragma once

#include <memory>
#include <string>

#include "runtime/gpu_driver.hpp"

namespace mhc::emulator {

std::shared_ptr<runtime::gpu_driver> make_device(const std::string& processor);

}  // namespace mhc::emulator
