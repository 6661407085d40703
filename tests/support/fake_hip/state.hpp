// tests/support/fake_hip/state.hpp -- the fake runtime's inside: settings, objects, record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/code_object.hpp"
#include "runtime/gpu_driver.hpp"
#include "tests/support/fake_hip/fake_hip.hpp"

/// What the library shows to others.
#define FAKE_HIP_EXPORT extern "C" __attribute__((visibility("default")))

namespace mhc::fake_hip {

// The errors it gives, as HIP numbers them.
inline constexpr int success = 0, invalid_value = 1, out_of_memory = 2, invalid_configuration = 9, insufficient_driver = 35,
                     no_device = 100, invalid_device = 101, invalid_image = 200, no_binary_for_gpu = 209,
                     invalid_handle = 400, not_found = 500, illegal_address = 700, launch_failure = 719,
                     capture_unsupported = 900, capture_unmatched = 903, capture_wrong_thread = 908, unknown = 999;

/// What executes kernels and has the memory for them: null in the fake, which does not execute, the emulator in
/// emulated_hip.
runtime::gpu_driver* executor();

struct module {
    int device = 0;
    const void* image = nullptr;
    std::string copy;  ///< of the image: what is read must stay what it was
    std::vector<runtime::kernel_metadata> kernels;
    void* executable = nullptr;  ///< the executor's module
};

struct function {
    const module* of = nullptr;
    runtime::kernel_metadata kernel;
    void* executable = nullptr;  ///< the executor's function
};

/// A recorded fill or launch.
struct node {
    call as_called;
    const function* launched = nullptr;  ///< null: a fill
    std::uint32_t word = 0;
};
struct graph {
    std::vector<node> nodes;
};

struct stream {
    int device = 0;
    std::unique_ptr<graph> capture;  ///< while it captures
    std::thread::id captured_by;
};

struct event {
    bool is_recorded = false;
    std::int64_t at_ns = 0;
};

struct allocation {
    std::size_t bytes = 0;
    int device = 0;
};

struct fault {
    std::string name;
    int calls_left = 0, error = 0;
};

struct state {
    std::recursive_mutex mutex;
    std::string arch = default_arch;
    int devices = default_devices, version = default_version;
    int compute_units = 0;  ///< 0: as of all that is not set
    std::vector<fault> faults;
    std::vector<call> record;

    std::map<std::uintptr_t, allocation> memory;
    std::map<void*, std::unique_ptr<stream>> streams;
    std::map<void*, std::unique_ptr<event>> events;
    std::map<void*, std::unique_ptr<module>> modules;
    std::map<void*, std::unique_ptr<function>> functions;
    std::map<void*, std::unique_ptr<graph>> graphs, executables;

    static state& instance();

    void reset();
    /// The error that was asked for; success: none.
    int fault_of(const std::string& name);
    /// Whether [at, at + bytes) lies in one live allocation.
    bool is_allocated(const void* at, std::size_t bytes) const;
    /// Whether the calling thread captures a stream.
    bool thread_captures() const;

private:
    state();
};

/// The calling thread's current device.
int& current_device();

/// One call: a fault if one was asked for, else `body`, which gives the result; then it is recorded.
int entry(const char* name, const std::function<int(state&, call&)>& body);

/// A result with the reason that HIP does not tell.
int refuse(call& made, int error, std::string why);

template <class Object>
Object* find(const std::map<void*, std::unique_ptr<Object>>& among, void* handle)
{
    const auto found = among.find(handle);
    return found == among.end() ? nullptr : found->second.get();
}

template <class Object>
void* keep(std::map<void*, std::unique_ptr<Object>>& among, std::unique_ptr<Object> made)
{
    void* const handle = made.get();
    among[handle] = std::move(made);
    return handle;
}

/// Whether a launch may be: arguments, geometry, the code still there. As launch.cpp says.
int check_launch(const state& s, const function& f, call& made);
/// Carries out a recorded or direct launch or fill.
int carry_out(state& s, const node& what, call& made);

}  // namespace mhc::fake_hip
