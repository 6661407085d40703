// tests/fake_hip/fixture.hpp -- the look-alike runtimes that the tests open, and a kernel of no compiler.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/gpu_driver.hpp"
#include "runtime/hip_api.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/fake_hip/fake_hip.hpp"

namespace mhc::testing {

/// One look-alike runtime: as tests control it and as the library opened it.
struct fake_runtime {
    fake_hip::library control;
    runtime::hip::api api;

    explicit fake_runtime(const char* path);
    /// Its device; throws jit::exception when there is none.
    std::shared_ptr<runtime::gpu_driver> open(int ordinal) const;
    /// Names of the calls since the record was taken last, without hipGetDevice and hipSetDevice.
    std::vector<std::string> calls() const;
};

/// The whole one, as new: default settings, no record, device 0 current in this thread. It is the first HIP runtime that
/// this process loads, so it is also the one that the library finds by name.
const fake_runtime& fresh_fake();

/// The calling thread's current device, by the runtime.
int current_device(const fake_runtime& of);

/// A code object for gfx942 with kernel "k": blocks of 256, one pointer at offset 8 of 16 bytes of arguments.
std::string small_code_object();

/// Arguments of "k".
struct small_arguments {
    void* unused = nullptr;
    void* pointer = nullptr;
};

using test::contains;

}  // namespace mhc::testing
