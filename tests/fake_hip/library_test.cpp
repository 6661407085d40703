// tests/fake_hip/library_test.cpp -- which library is opened, what it must have, and AMD's own where it is installed.
#include <doctest/doctest.h>

#include <filesystem>

#include "runtime/hip_driver.hpp"
#include "tests/fake_hip/fixture.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using jit::errc;
namespace hip = mhc::runtime::hip;

}  // namespace

TEST_CASE("HIP library: the runtime that the process has loaded already is the one that is used")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = runtime::open_hip(1);
    REQUIRE(device);
    CHECK((*device)->name() == "Fake Instinct 1");
    CHECK(fake.calls() ==
          std::vector<std::string>{"hipGetDeviceCount", "hipRuntimeGetVersion", "hipGetDevicePropertiesR0600"});
    CHECK(hip::open().value()->path == MHC_FAKE_HIP);
    CHECK(hip::open().value() == hip::open().value());

    // Behind another that would have to be loaded first, too.
    CHECK(hip::open_library({MHC_FAKE_HIP_WITHOUT_GRAPHS "-not-loaded", "libamdhip64.so.6"}).value().path == MHC_FAKE_HIP);
}

TEST_CASE("HIP library: where there is none, it says what was tried and what to install")
{
    const auto opened = hip::open_library({"libmhc-not-there.so.7", "/not/there/libamdhip64.so"});
    REQUIRE(!opened);
    CHECK(opened.error().code == errc::unsupported_target);
    CHECK(opened.error().message ==
          "no HIP runtime: tried libmhc-not-there.so.7, /not/there/libamdhip64.so; install ROCm's hip-runtime-amd or "
          "Debian's libamdhip64-5");
}

TEST_CASE("HIP library: one that cannot be loaded, or lacks a function, is passed over and named")
{
    const fake_runtime& fake = fresh_fake();
    const auto none = hip::open_library({"/dev/null", MHC_FAKE_HIP_WITHOUT_LAUNCH});
    REQUIRE(!none);
    CHECK(none.error().code == errc::unsupported_target);
    CHECK(contains(none.error().message, "; /dev/null: "));
    CHECK(contains(none.error().message, MHC_FAKE_HIP_WITHOUT_LAUNCH " lacks hipModuleLaunchKernel"));
    CHECK(hip::open_library({MHC_FAKE_HIP_WITHOUT_LAUNCH, MHC_FAKE_HIP}).value().path == fake.api.path);
}

TEST_CASE("HIP library: the newest structure of properties is asked for where there is one")
{
    CHECK(fresh_fake().api.properties == &hip::properties_r0600);
    CHECK(fresh_fake().api.properties_call == std::string("hipGetDevicePropertiesR0600"));
    const fake_runtime hip5(MHC_FAKE_HIP5);
    CHECK(hip5.api.properties == &hip::properties_r0000);
    CHECK(hip5.api.properties_call == std::string("hipGetDeviceProperties"));
}

TEST_CASE("HIP library: AMD's own has every function and says why it shows no device")
{
    fresh_fake();  // so that it stays the first that was loaded
    const char* installed = nullptr;
    for (const char* path : {"/opt/rocm/lib/libamdhip64.so", "/usr/lib/x86_64-linux-gnu/libamdhip64.so.7",
                             "/usr/lib/x86_64-linux-gnu/libamdhip64.so.6", "/usr/lib/x86_64-linux-gnu/libamdhip64.so.5"})
        if (installed == nullptr && std::filesystem::exists(path)) installed = path;
    if (installed == nullptr) {
        MESSAGE("not run: AMD's HIP runtime is not installed; Debian's is libamdhip64-5");
        return;
    }
    const auto real = hip::open_library({installed});
    REQUIRE(real);
    CHECK(real->missing_of_graphs.empty());
    int version = 0;
    CHECK(real->runtime_get_version(&version) == 0);
    CHECK(hip::major_version(version) >= 5);
    CHECK((hip::major_version(version) >= 6) == (real->properties == &hip::properties_r0600));
    const auto device = runtime::open_hip_device(*real, 0);
    if (device) {
        CHECK((*device)->id().starts_with("gfx"));
        MESSAGE(std::string(installed) << ", HIP " << hip::version_text(version) << ": " << (*device)->name() << ", "
                                       << (*device)->id());
    } else {
        CHECK(contains(device.error().message, "hipErrorNoDevice"));
        CHECK(contains(device.error().message, "/dev/kfd"));
        MESSAGE(std::string(installed) << ", HIP " << hip::version_text(version) << ": " << device.error().message);
    }
}
