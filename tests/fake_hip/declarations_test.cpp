// tests/fake_hip/declarations_test.cpp -- device properties as both generations of HIP lay them out, with no header needed.
#include <doctest/doctest.h>

#include "runtime/hip_api.hpp"
#include "tests/support/fake_hip/properties.hpp"

namespace {

namespace hip = mhc::runtime::hip;
using namespace mhc::fake_hip;

}  // namespace

TEST_CASE("HIP declarations: texts are read where each structure has them")
{
    CHECK(hip::properties_r0000.name == offsetof(properties_r0000, name));
    CHECK(hip::properties_r0000.compute_units == offsetof(properties_r0000, processors));
    CHECK(hip::properties_r0600.compute_units == offsetof(properties_r0600, processors));
    CHECK(hip::properties_r0000.arch_name == offsetof(properties_r0000, arch_name));
    CHECK(hip::properties_r0000.size == sizeof(properties_r0000));
    CHECK(hip::properties_r0600.name == offsetof(properties_r0600, name));
    CHECK(hip::properties_r0600.arch_name == offsetof(properties_r0600, arch_name));
    CHECK(hip::properties_r0600.size == sizeof(properties_r0600));
    CHECK(hip::properties_text_bytes == sizeof(properties_r0000::arch_name));
    CHECK(hip::properties_text_bytes == sizeof(properties_r0600::arch_name));
}

TEST_CASE("HIP declarations: a version's number is read as major, minor, patch")
{
    CHECK(hip::version_text(50221153) == "5.2.21153");
    CHECK(hip::version_text(60342134) == "6.3.42134");
    CHECK(hip::version_text(70051831) == "7.0.51831");
    CHECK(hip::major_version(50799999) == 5);
    CHECK(hip::major_version(60000000) == 6);
    CHECK(hip::major_version(70226015) == 7);
}
