// tests/fake_hip/driver_test.cpp -- which device is opened, what it says of itself, its memory, streams and events.
#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <thread>

#include "runtime/hip_driver.hpp"
#include "tests/fake_hip/fixture.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using jit::errc;
using runtime::open_hip_device;

}  // namespace

TEST_CASE("HIP driver: without a device it says what to look at")
{
    const fake_runtime& fake = fresh_fake();
    fake.control.set_devices(0);
    const auto opened = open_hip_device(fake.api, -1);
    REQUIRE(!opened);
    CHECK(opened.error().code == errc::unsupported_target);
    CHECK(contains(opened.error().message, "hipGetDeviceCount: hipErrorNoDevice (no ROCm-capable device is detected); "));
    CHECK(contains(opened.error().message, "/dev/kfd"));
}

TEST_CASE("HIP driver: an ordinal names a device that is shown, -1 the thread's current one")
{
    const fake_runtime& fake = fresh_fake();
    CHECK(fake.open(0)->name() == "Fake Instinct 0");
    CHECK(fake.open(1)->name() == "Fake Instinct 1");
    CHECK(fake.open(-1)->name() == "Fake Instinct 0");
    REQUIRE(fake.api.set_device(1) == 0);
    CHECK(fake.open(-1)->name() == "Fake Instinct 1");
    CHECK(fake.open(0)->name() == "Fake Instinct 0");
    CHECK(current_device(fake) == 1);

    for (const int ordinal : {2, 7, -2}) {
        const auto opened = open_hip_device(fake.api, ordinal);
        REQUIRE(!opened);
        CHECK(opened.error().code == errc::unsupported_target);
        CHECK(contains(opened.error().message, "HIP device " + std::to_string(ordinal) + ": the runtime shows 2, from 0"));
        CHECK(contains(opened.error().message, "HIP_VISIBLE_DEVICES"));
    }
    fake.control.set_devices(1);
    CHECK(fake.open(0)->name() == "Fake Instinct 0");
    CHECK(!open_hip_device(fake.api, 1));
}

TEST_CASE("HIP driver: versions 5, 6 and 7 are read by the structure that each fills")
{
    const fake_runtime& fake = fresh_fake();
    const fake_runtime hip5(MHC_FAKE_HIP5);
    const auto check = [](const fake_runtime& of, int version, const char* text, int code_object_version) {
        of.control.set_version(version);
        const auto device = of.open(1);
        CHECK(device->id() == "gfx942:sramecc+:xnack-");
        CHECK(device->name() == "Fake Instinct 1");
        CHECK(device->driver_version() == text);
        CHECK(device->code_object_version() == code_object_version);
    };
    hip5.control.take_record();
    check(hip5, 50221153, "5.2.21153", 4);
    CHECK(hip5.calls() == std::vector<std::string>{"hipGetDeviceCount", "hipRuntimeGetVersion", "hipGetDeviceProperties"});
    check(fake, 60342134, "6.3.42134", 5);
    CHECK(fake.calls() ==
          std::vector<std::string>{"hipGetDeviceCount", "hipRuntimeGetVersion", "hipGetDevicePropertiesR0600"});
    check(fake, 70051831, "7.0.51831", 5);
}

TEST_CASE("HIP driver: what does not look like an architecture's name is not believed")
{
    const fake_runtime& fake = fresh_fake();
    for (const char* arch : {"", "sm_90", "xgfx942", "gfx9\n42", "\xa5\xa5gfx942"}) {
        fake.control.set_arch(arch);
        const auto opened = open_hip_device(fake.api, 0);
        REQUIRE(!opened);
        CHECK(opened.error().code == errc::unsupported_target);
        CHECK(contains(opened.error().message, "hipGetDevicePropertiesR0600"));
        CHECK(contains(opened.error().message, "versions 5 to 7"));
    }
    fake.control.set_arch("gfx1100");
    CHECK(fake.open(0)->id() == "gfx1100");
}

TEST_CASE("HIP driver: memory comes aligned, is copied to and from, filled, and released")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    const auto before = fake.control.live();
    void* const memory = device->allocate(1000).value();
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % 256 == 0);
    CHECK(fake.control.live().allocations == before.allocations + 1);

    std::vector<std::uint32_t> sent(250), got(250);
    for (std::uint32_t i = 0; i < sent.size(); ++i) sent[i] = i * 2654435761U;
    CHECK(device->upload(memory, sent.data(), 1000));
    CHECK(device->download(got.data(), memory, 1000));
    CHECK(got == sent);

    void* const stream = device->create_stream().value();
    CHECK(device->fill(static_cast<std::uint32_t*>(memory) + 10, 0xFEDCBA98U, 20, stream));
    CHECK(device->synchronize(stream));
    CHECK(device->download(got.data(), memory, 1000));
    std::fill(sent.begin() + 10, sent.begin() + 30, 0xFEDCBA98U);
    CHECK(got == sent);
    device->destroy_stream(stream);

    device->release(memory);
    CHECK(fake.control.live() == before);
}

TEST_CASE("HIP driver: nothing is asked of the runtime for no bytes and no memory")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    fake.control.take_record();
    CHECK(device->upload(nullptr, nullptr, 0));
    CHECK(device->download(nullptr, nullptr, 0));
    CHECK(device->fill(nullptr, 1, 0, nullptr));
    device->release(nullptr);
    device->destroy_stream(nullptr);
    device->destroy_event(nullptr);
    device->destroy_graph(nullptr);
    device->unload_module(nullptr);
    CHECK(fake.control.take_record().empty());
}

TEST_CASE("HIP driver: microseconds between two events")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    const auto before = fake.control.live();
    void* const first = device->create_event().value();
    void* const second = device->create_event().value();
    CHECK(device->record(first, nullptr));
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    CHECK(device->record(second, nullptr));
    fake.control.take_record();
    const double us = device->elapsed_us(first, second).value();
    CHECK(us >= 3000);
    CHECK(us < 3e6);
    CHECK(fake.calls() == std::vector<std::string>{"hipEventSynchronize", "hipEventElapsedTime"});
    device->destroy_event(first);
    device->destroy_event(second);
    CHECK(fake.control.live() == before);
}

TEST_CASE("HIP driver: every call works on the driver's device and leaves the thread's current one")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(1);
    const std::string code = small_code_object();
    void *memory = nullptr, *stream = nullptr, *module = nullptr, *function = nullptr, *event = nullptr, *graph = nullptr;
    std::uint32_t word = 0;
    small_arguments arguments;
    const std::vector<std::function<void()>> calls{
        [&] { memory = arguments.pointer = device->allocate(64).value(); },
        [&] { device->upload(memory, &word, 4).value(); },
        [&] { device->download(&word, memory, 4).value(); },
        [&] { stream = device->create_stream().value(); },
        [&] { device->fill(memory, 1, 16, stream).value(); },
        [&] { device->synchronize(stream).value(); },
        [&] { event = device->create_event().value(); },
        [&] { device->record(event, stream).value(); },
        [&] { device->elapsed_us(event, event).value(); },
        [&] { module = device->load_module(code).value(); },
        [&] { function = device->function_of(module, "k").value(); },
        [&] { device->launch(function, 3, 256, &arguments, sizeof arguments, stream).value(); },
        [&] { device->begin_capture(stream).value(); },
        [&] { graph = device->end_capture(stream).value(); },
        [&] { device->replay(graph, stream).value(); },
        [&] { device->destroy_graph(graph); },
        [&] { device->unload_module(module); },
        [&] { device->destroy_event(event); },
        [&] { device->destroy_stream(stream); },
        [&] { device->release(memory); },
    };
    const auto before = fake.control.live();
    for (const bool is_current : {false, true}) {
        REQUIRE(fake.api.set_device(is_current ? 1 : 0) == 0);
        for (const auto& one : calls) {
            fake.control.take_record();
            one();
            const auto record = fake.control.take_record();
            CHECK(current_device(fake) == (is_current ? 1 : 0));
            int switches = 0, works = 0;
            for (const fake_hip::call& made : record) {
                CHECK(made.result == 0);
                switches += made.name == "hipSetDevice" ? 1 : 0;
                if (made.name == "hipSetDevice" || made.name == "hipGetDevice") continue;
                CHECK_MESSAGE(made.device == 1, made.name);
                ++works;
            }
            CHECK(works >= 1);
            CHECK_MESSAGE((switches == 0) == is_current, record.back().name);
        }
        CHECK(fake.control.live() == before);
    }
}

TEST_CASE("HIP driver: threads each keep their own current device")
{
    const fake_runtime& fake = fresh_fake();
    const std::shared_ptr<runtime::gpu_driver> devices[] = {fake.open(0), fake.open(1)};
    std::vector<std::thread> threads;
    int wrong[4] = {};
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            fake.api.set_device(t % 2);
            for (int i = 0; i < 200; ++i) {
                const auto memory = devices[i % 2]->allocate(16);
                if (memory) devices[i % 2]->release(*memory);
                wrong[t] += memory && current_device(fake) == t % 2 ? 0 : 1;
            }
        });
    }
    for (std::thread& one : threads) one.join();
    for (const int one : wrong) CHECK(one == 0);
    for (const fake_hip::call& made : fake.control.take_record()) REQUIRE(made.result == 0);
}
