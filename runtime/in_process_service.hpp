// runtime/in_process_service.hpp -- where there is no compile worker: HIPRTC and NVRTC in this process, one job at a time.
#pragma once

#include <memory>
#include <string>

#include "runtime/compile_service.hpp"

namespace mhc::runtime {

/// `why_no_worker` is said once, when the first job comes, and of Clang, which only a worker has. A crash of the compiler
/// is this process's, and a time or memory limit is not kept: that is what workers are for.
std::unique_ptr<compile_service> make_in_process_service(service_options options, std::string why_no_worker);

}  // namespace mhc::runtime
