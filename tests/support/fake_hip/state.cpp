// tests/support/fake_hip/state.cpp -- settings, faults, the record, and the functions for tests.
#include "tests/support/fake_hip/state.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace mhc::fake_hip {

state& state::instance()
{
    static state* const the_one = new state;  // never destroyed: programs call HIP until they end
    return *the_one;
}

state::state()
{
    if (executor() != nullptr) devices = 1;
    if (const char* text = std::getenv("FAKE_HIP_ARCH")) arch = text;
    if (const char* text = std::getenv("FAKE_HIP_DEVICES")) devices = std::atoi(text);
    if (const char* text = std::getenv("FAKE_HIP_VERSION")) version = std::atoi(text);
    if (const char* text = std::getenv("FAKE_HIP_FAIL")) {
        std::istringstream list(text);
        for (std::string one; std::getline(list, one, ',');) {
            std::istringstream parts(one);
            fault made;
            char colon = 0;
            std::getline(parts, made.name, ':');
            if (parts >> made.calls_left >> colon >> made.error) faults.push_back(made);
        }
    }
}

void state::reset()
{
    arch = default_arch;
    devices = default_devices;
    version = default_version;
    compute_units = 0;
    faults.clear();
    record.clear();
}

int state::fault_of(const std::string& name)
{
    int error = success;
    for (fault& one : faults)
        if (one.name == name && --one.calls_left == 0) error = one.error;
    std::erase_if(faults, [](const fault& one) { return one.calls_left <= 0; });
    return error;
}

bool state::is_allocated(const void* at, std::size_t bytes) const
{
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    auto behind = memory.upper_bound(address);
    if (behind == memory.begin()) return false;
    const auto& [start, of] = *std::prev(behind);
    return address - start < of.bytes && bytes <= of.bytes - (address - start);
}

bool state::thread_captures() const
{
    return std::any_of(streams.begin(), streams.end(), [](const auto& one) {
        return one.second->capture != nullptr && one.second->captured_by == std::this_thread::get_id();
    });
}

int& current_device()
{
    thread_local int device = 0;
    return device;
}

int entry(const char* name, const std::function<int(state&, call&)>& body)
{
    state& s = state::instance();
    const std::lock_guard lock(s.mutex);
    call made;
    made.name = name;
    made.device = current_device();
    made.result = s.fault_of(name);
    if (made.result == success) made.result = body(s, made);
    s.record.push_back(made);
    return made.result;
}

int refuse(call& made, int error, std::string why)
{
    made.refusal = std::move(why);
    return error;
}

}  // namespace mhc::fake_hip

using mhc::fake_hip::state;

FAKE_HIP_EXPORT void fake_hip_reset()
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().reset();
}

FAKE_HIP_EXPORT void fake_hip_set_devices(int count)
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().devices = count;
}

FAKE_HIP_EXPORT void fake_hip_set_arch(const char* arch)
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().arch = arch;
}

FAKE_HIP_EXPORT void fake_hip_set_version(int version)
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().version = version;
}
FAKE_HIP_EXPORT void fake_hip_set_compute_units(int count)
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().compute_units = count;
}

FAKE_HIP_EXPORT void fake_hip_fail(const char* name, int k, int error)
{
    const std::lock_guard lock(state::instance().mutex);
    state::instance().faults.push_back({name, k, error});
}

FAKE_HIP_EXPORT void fake_hip_take_record(std::vector<mhc::fake_hip::call>* into)
{
    const std::lock_guard lock(state::instance().mutex);
    *into = std::move(state::instance().record);
    state::instance().record.clear();
}

FAKE_HIP_EXPORT void fake_hip_count_live(mhc::fake_hip::live_objects* into)
{
    state& s = state::instance();
    const std::lock_guard lock(s.mutex);
    *into = {s.memory.size(), s.streams.size(), s.events.size(), s.modules.size(), s.graphs.size(), s.executables.size()};
}
