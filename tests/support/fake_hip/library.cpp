// tests/support/fake_hip/library.cpp -- a test's way to the functions of a fake that HIP does not have.
#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

#include "tests/support/fake_hip/fake_hip.hpp"

namespace mhc::fake_hip {
namespace {

template <class Function>
void find(void* from, const char* name, Function* into)
{
    void* const found = ::dlsym(from, name);
    if (found == nullptr) throw std::runtime_error(std::string("not a fake HIP runtime: it lacks ") + name);
    std::memcpy(into, &found, sizeof found);
}

}  // namespace

library::library(const std::string& path)
{
    void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(::dlerror());
    find(handle, "fake_hip_reset", &reset_);
    find(handle, "fake_hip_set_devices", &set_devices_);
    find(handle, "fake_hip_set_arch", &set_arch_);
    find(handle, "fake_hip_set_version", &set_version_);
    find(handle, "fake_hip_set_compute_units", &set_compute_units_);
    find(handle, "fake_hip_fail", &fail_);
    find(handle, "fake_hip_take_record", &take_record_);
    find(handle, "fake_hip_count_live", &count_live_);
}

std::vector<call> library::take_record() const
{
    std::vector<call> taken;
    take_record_(&taken);
    return taken;
}

live_objects library::live() const
{
    live_objects counted;
    count_live_(&counted);
    return counted;
}

}  // namespace mhc::fake_hip
