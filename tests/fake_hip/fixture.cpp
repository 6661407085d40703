// tests/fake_hip/fixture.cpp -- opens the look-alike runtimes.
#include "tests/fake_hip/fixture.hpp"

#include <algorithm>

#include "runtime/hip_driver.hpp"
#include "tests/support/made_elf.hpp"

namespace mhc::testing {

fake_runtime::fake_runtime(const char* path) : control(path), api(runtime::hip::open_library({path}).value()) {}

std::shared_ptr<runtime::gpu_driver> fake_runtime::open(int ordinal) const
{
    return runtime::open_hip_device(api, ordinal).value();
}

std::vector<std::string> fake_runtime::calls() const
{
    std::vector<std::string> names;
    for (const fake_hip::call& one : control.take_record())
        if (one.name != "hipGetDevice" && one.name != "hipSetDevice") names.push_back(one.name);
    return names;
}

const fake_runtime& fresh_fake()
{
    static const fake_runtime the_one(MHC_FAKE_HIP);
    the_one.control.reset();
    the_one.api.set_device(0);
    the_one.control.take_record();
    return the_one;
}

int current_device(const fake_runtime& of)
{
    int device = -1;
    of.api.get_device(&device);
    return device;
}

std::string small_code_object() { return make_elf({}); }

}  // namespace mhc::testing
