// tests/fake_hip/module_test.cpp -- code objects in pages of their own, and launches as the runtime gets them.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>

#include "tests/fake_hip/fixture.hpp"
#include "tests/support/made_elf.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;
using jit::errc;

/// "r--p" of the mapping that `at` lies in; empty: it is not mapped.
std::string permissions_of(const void* at)
{
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t from = 0, to = 0;
        char permissions[5] = {};
        if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, permissions) != 3) continue;
        const auto address = reinterpret_cast<std::uintptr_t>(at);
        if (from <= address && address < to) return permissions;
    }
    return {};
}

/// The last call of that name.
call last(const fake_runtime& fake, const char* name)
{
    call found;
    for (call& one : fake.control.take_record())
        if (one.name == name) found = std::move(one);
    return found;
}

struct loaded_kernel {
    const fake_runtime& fake = fresh_fake();
    std::shared_ptr<runtime::gpu_driver> device = fake.open(0);
    void* module = device->load_module(small_code_object()).value();
    void* function = device->function_of(module, "k").value();
    void* stream = device->create_stream().value();
    small_arguments arguments{nullptr, device->allocate(64).value()};

    ~loaded_kernel()
    {
        device->release(arguments.pointer);
        device->destroy_stream(stream);
        device->unload_module(module);
    }
    jit::result<void> launch(std::int64_t groups, std::int32_t block, std::size_t bytes = sizeof(small_arguments))
    {
        return device->launch(function, groups, block, &arguments, bytes, stream);
    }
};

}  // namespace

TEST_CASE("HIP modules: the runtime gets whole read-only pages that live as long as the module")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::string code = " " + small_code_object();
    code.resize(code.size() + 3 * page, '\x01');  // what follows is not the object's
    void* const module = device->load_module(std::string_view(code).substr(1)).value();
    const call load = last(fake, "hipModuleLoadData");
    REQUIRE(load.result == 0);
    CHECK(load.bytes == small_code_object().size());
    CHECK(reinterpret_cast<std::uintptr_t>(load.pointer) % page == 0);
    CHECK(permissions_of(load.pointer) == "r--p");
    const auto* const bytes = static_cast<const char*>(load.pointer);
    const std::size_t used = (code.size() - 1 + page - 1) / page * page;
    CHECK(permissions_of(bytes + used - 1) == "r--p");
    CHECK(std::string_view(bytes, code.size() - 1) == std::string_view(code).substr(1));
    for (std::size_t at = code.size() - 1; at < used; ++at) REQUIRE(bytes[at] == '\0');

    std::fill(code.begin(), code.end(), '\xff');
    code = std::string();
    CHECK(device->function_of(module, "k"));  // the fake compares the image with what it was
    device->unload_module(module);
    const call unload = last(fake, "hipModuleUnload");
    CHECK(unload.result == 0);
    CHECK(unload.pointer == load.pointer);
    std::vector<unsigned char> resident(1);
    CHECK(::mincore(const_cast<void*>(load.pointer), page, resident.data()) != 0);  // unmapped
}

TEST_CASE("HIP modules: what cannot be loaded is load_failed, and nothing stays mapped")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    const auto refused = [&](const std::string& code, const char* error) {
        fake.control.take_record();
        const auto module = device->load_module(code);
        REQUIRE(!module);
        CHECK(module.error().code == errc::load_failed);
        CHECK(contains(module.error().message, std::string("hipModuleLoadData: ") + error));
        const call load = last(fake, "hipModuleLoadData");
        std::vector<unsigned char> resident(1);
        CHECK(::mincore(const_cast<void*>(load.pointer), 1, resident.data()) != 0);
    };
    const std::string good = small_code_object();
    CHECK(device->load_module(good));
    refused("", "hipErrorInvalidImage");
    refused("not an ELF file", "hipErrorInvalidImage");
    refused(good.substr(0, 100), "hipErrorInvalidImage");
    refused(make_elf({.machine = EM_X86_64}), "hipErrorNoBinaryForGpu");
    refused(make_elf({.flags = 0x53f}), "hipErrorNoBinaryForGpu");            // gfx90a
    refused(make_elf({.flags = 0x74c}), "hipErrorNoBinaryForGpu");            // xnack+
    refused(make_elf({.flags = 0x94c}), "hipErrorNoBinaryForGpu");            // sramecc-
    refused(make_elf({.flags = 0x54c, .note = ""}), "hipErrorInvalidImage");  // no metadata
    CHECK(device->load_module(make_elf({.flags = 0xe4c})));                   // sramecc+:xnack-, as the device is
    CHECK(device->load_module(make_elf({.abi_version = 4})));                 // version 6
    fake.control.set_version(50221153);
    refused(make_elf({.abi_version = 4}), "hipErrorNoBinaryForGpu");
}

TEST_CASE("HIP modules: a symbol that the object lacks is named")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    void* const module = device->load_module(small_code_object()).value();
    const auto function = device->function_of(module, "mhc_post_n4");
    REQUIRE(!function);
    CHECK(function.error().code == errc::load_failed);
    CHECK(function.error().message == "hipModuleGetFunction(mhc_post_n4): hipErrorNotFound (named symbol not found)");
    device->unload_module(module);

    void* const without_descriptor = device->load_module(make_elf({.symbols = {{"k"}}})).value();
    CHECK(!device->function_of(without_descriptor, "k"));
    device->unload_module(without_descriptor);
}

TEST_CASE("HIP launches: geometry, stream and the argument block arrive as given")
{
    loaded_kernel k;
    k.fake.control.take_record();
    REQUIRE(k.launch(12345, 256));
    const auto record = k.fake.control.take_record();
    REQUIRE(record.size() == 2);  // hipGetDevice, and
    const call& launch = record[1];
    CHECK(launch.name == "hipModuleLaunchKernel");
    CHECK(launch.by == call::how::called);
    CHECK(launch.symbol == "k");
    CHECK(launch.grid == 12345);
    CHECK(launch.block == 256);
    CHECK(launch.stream == k.stream);
    REQUIRE(launch.arguments.size() == sizeof k.arguments);
    CHECK(std::memcmp(launch.arguments.data(), &k.arguments, sizeof k.arguments) == 0);
}

TEST_CASE("HIP launches: a grid that HIP cannot count is refused before the runtime is asked")
{
    loaded_kernel k;
    k.fake.control.take_record();
    for (const std::int64_t groups : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 24, std::int64_t{1} << 32,
                                      std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::max()}) {
        const auto launched = k.launch(groups, 256);
        REQUIRE(!launched);
        CHECK(launched.error().code == errc::launch_failed);
        CHECK(contains(launched.error().message, std::to_string(groups) + " work-groups of 256"));
    }
    CHECK(!k.launch(1, 0));
    CHECK(k.fake.calls().empty());
    CHECK(k.launch((std::int64_t{1} << 24) - 1, 256));
}

TEST_CASE("HIP launches: the fake refuses wrong blocks, arguments and pointers, and says why")
{
    loaded_kernel k;
    const auto refused = [&](const jit::result<void>& launched, const char* error, const char* why) {
        REQUIRE(!launched);
        CHECK(launched.error().code == errc::launch_failed);
        CHECK(contains(launched.error().message, std::string("hipModuleLaunchKernel: ") + error));
        CHECK(contains(last(k.fake, "hipModuleLaunchKernel").refusal, why));
    };
    CHECK(k.launch(1, 256));
    refused(k.launch(1, 512), "hipErrorLaunchFailure", "launch bounds");
    refused(k.launch(1, 128), "hipErrorInvalidConfiguration", "not the block");
    refused(k.launch(1, 256, 8), "hipErrorInvalidValue", "argument block");
    refused(k.launch(1, 256, 24), "hipErrorInvalidValue", "argument block");
    void* const good = k.arguments.pointer;
    k.arguments.pointer = static_cast<char*>(good) + 64;  // one past its end
    refused(k.launch(1, 256), "hipErrorIllegalAddress", "argument 0");
    k.arguments.pointer = &k;
    refused(k.launch(1, 256), "hipErrorIllegalAddress", "argument 0");
    k.arguments.pointer = static_cast<char*>(good) + 63;
    CHECK(k.launch(1, 256));
    k.arguments.pointer = nullptr;
    CHECK(k.launch(1, 256));
    k.arguments.pointer = good;
    CHECK(k.launch(1, 256));

    const auto other = k.fake.open(1);
    void* const stream_of_other = other->create_stream().value();
    refused(k.device->launch(k.function, 1, 256, &k.arguments, sizeof k.arguments, stream_of_other), "hipErrorInvalidDevice",
            "another device");
    refused(other->launch(k.function, 1, 256, &k.arguments, sizeof k.arguments, nullptr), "hipErrorInvalidDevice",
            "another device");
    other->destroy_stream(stream_of_other);
}
