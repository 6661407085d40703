// tests/emulated/compiled_kernel.hpp -- a small kernel in the device dialect, compiled by a compiler of this machine and run
// on an emulated device.
#pragma once

#include <string>
#include <vector>

#include "emulator/device.hpp"

namespace mhc::emulator::testing {

struct compilation {
    std::string backend = "clang", processor = "gfx942", source = {};
    int code_object_version = 5;
    std::vector<std::string> more_options = {};
};

/// Whether a backend is here and makes code for a processor.
bool can_compile(const std::string& backend, const std::string& processor);

/// The code object. Throws std::runtime_error with the compiler's log.
std::string compile(const compilation& what);

/// Runs kernel `k` of an object, whose arguments are the address of the input, the address of the output, and a number.
struct run_of_k {
    std::vector<int> in = {};
    std::vector<int> out = {};  ///< its size says how much memory there is
    int number = 0;
    std::int64_t groups = 1;
    std::int32_t block = 64;
    checks which = checks::all;
};
jit::result<std::vector<int>> run(const std::string& processor, const std::string& object, const run_of_k& what);

}  // namespace mhc::emulator::testing
