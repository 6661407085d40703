// emulator/plugin.hpp -- the one function that leaves the plug-in, libmhc_emulator.so.
//
// The library loads it with dlopen and never links it. Both are of one build: the version is compared before anything of C++
// passes between them.
#pragma once

#include <memory>
#include <string>

#include "runtime/gpu_driver.hpp"

namespace mhc::emulator {

/// The emulated device of a processor, "gfx942", the same at every call. Null, with `why` set: this version, processor or
/// CPU cannot.
using open_function = void(const char* version, const char* processor, std::shared_ptr<runtime::gpu_driver>* device,
                           std::string* why);

}  // namespace mhc::emulator

extern "C" {
mhc::emulator::open_function mhc_emulator_open;
}
