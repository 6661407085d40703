// tests/support/fake_hip/fake_hip.hpp -- what a test asks of the look-alike HIP runtime: its settings, faults and record.
//
// libamdhip64.so.6 in the build folder's fake_hip/ is HIP by its names only: device memory is host memory, and kernels are
// not executed. It checks every call as the runtime would, and launches more strictly: see launch.cpp. A program finds it by
// LD_LIBRARY_PATH; a test, which wants the functions below too, by `library`.
//
// Environment, read once: FAKE_HIP_ARCH (gfx942:sramecc+:xnack-), FAKE_HIP_DEVICES (2), FAKE_HIP_VERSION (60342134) and
// FAKE_HIP_FAIL (hipMalloc:2:2 fails the second call of hipMalloc with error 2; more behind commas).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mhc::fake_hip {

inline constexpr const char* default_arch = "gfx942:sramecc+:xnack-";
inline constexpr int default_devices = 2;
inline constexpr int default_version = 60342134;

/// One call of a HIP function, or one launch that a graph repeats.
struct call {
    enum class how { called, captured, replayed };

    std::string name;      ///< "hipModuleLaunchKernel"
    int device = 0;        ///< the calling thread's current one
    int result = 0;        ///< hipError_t
    std::string refusal;   ///< why it is not 0, where the fake knows more than the error says
    how by = how::called;  ///< of launches and fills

    const void* pointer = nullptr;  ///< what was allocated, freed, filled, copied to or loaded
    std::size_t bytes = 0;          ///< likewise
    void* stream = nullptr;
    std::string symbol;  ///< of hipModuleLaunchKernel and hipModuleGetFunction
    unsigned grid = 0, block = 0;
    std::vector<std::byte> arguments;
};

/// What was made and not destroyed.
struct live_objects {
    std::size_t allocations = 0, streams = 0, events = 0, modules = 0, graphs = 0, executables = 0;
    bool operator==(const live_objects&) const = default;
};

/// A loaded fake, by its path. Each path is a runtime of its own.
class library {
public:
    /// Throws std::runtime_error when it cannot be loaded.
    explicit library(const std::string& path);

    /// Settings as they are without environment, no faults, no record. What is alive stays so.
    void reset() const { reset_(); }
    void set_devices(int count) const { set_devices_(count); }
    void set_arch(const std::string& arch) const { set_arch_(arch.c_str()); }
    void set_version(int version) const { set_version_(version); }
    /// What multiProcessorCount says; without this no number that a GPU can have.
    void set_compute_units(int count) const { set_compute_units_(count); }
    /// The k-th call of `name` from now on gives `error` and does nothing.
    void fail(const std::string& name, int k, int error) const { fail_(name.c_str(), k, error); }
    /// The calls since it was asked last.
    std::vector<call> take_record() const;
    live_objects live() const;

private:
    void (*reset_)();
    void (*set_devices_)(int);
    void (*set_arch_)(const char*);
    void (*set_version_)(int);
    void (*set_compute_units_)(int);
    void (*fail_)(const char*, int, int);
    void (*take_record_)(std::vector<call>*);
    void (*count_live_)(live_objects*);
};

}  // namespace mhc::fake_hip
