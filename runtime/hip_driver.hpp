// runtime/hip_driver.hpp -- a device of a HIP runtime that is open already; `open_hip` of gpu_driver.hpp opens the
// process's.
#pragma once

#include <memory>

#include <mhc/jit/result.hpp>

#include "runtime/gpu_driver.hpp"
#include "runtime/hip_api.hpp"

namespace mhc::runtime {

/// As `open_hip`, of the runtime `from`, which must outlive what is made.
jit::result<std::shared_ptr<gpu_driver>> open_hip_device(const hip::api& from, int ordinal);

}  // namespace mhc::runtime
