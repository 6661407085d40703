// tests/fake_hip/errors_test.cpp -- every HIP error becomes one line: what was called, what HIP says, what to do.
#include <doctest/doctest.h>

#include <cerrno>
#include <functional>

#include "runtime/hip_driver.hpp"
#include "tests/fake_hip/fixture.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using jit::errc;
namespace hip = mhc::runtime::hip;

/// What a device's calls are made with.
struct objects {
    std::shared_ptr<runtime::gpu_driver> device;
    void *memory, *stream, *event, *module, *function, *graph;
    small_arguments arguments;

    explicit objects(const fake_runtime& fake)
        : device(fake.open(1)),
          memory(device->allocate(64).value()),
          stream(device->create_stream().value()),
          event(device->create_event().value()),
          module(device->load_module(small_code_object()).value()),
          function(device->function_of(module, "k").value())
    {
        arguments.pointer = memory;
        device->begin_capture(stream).value();
        graph = device->end_capture(stream).value();
        device->record(event, stream).value();
    }
    ~objects()
    {
        device->destroy_graph(graph);
        device->unload_module(module);
        device->destroy_event(event);
        device->destroy_stream(stream);
        device->release(memory);
    }
};

/// The failure of a call: its code and message; "" without one.
struct outcome {
    errc code = errc::bad_spec;
    std::string message;
};
template <class T>
outcome of(const jit::result<T>& result)
{
    return result ? outcome() : outcome{result.error().code, result.error().message};
}

struct failing_call {
    const char* name;
    errc code;
    std::function<outcome(objects&)> make;
};

const std::vector<failing_call>& failing_calls()
{
    static std::uint32_t word = 0;
    static const std::vector<failing_call> list{
        {"hipMalloc", errc::load_failed, [](objects& o) { return of(o.device->allocate(64)); }},
        {"hipMemcpy", errc::launch_failed, [](objects& o) { return of(o.device->upload(o.memory, &word, 4)); }},
        {"hipMemcpy", errc::launch_failed, [](objects& o) { return of(o.device->download(&word, o.memory, 4)); }},
        {"hipMemsetD32Async", errc::launch_failed, [](objects& o) { return of(o.device->fill(o.memory, 0, 1, o.stream)); }},
        {"hipStreamCreateWithFlags", errc::launch_failed, [](objects& o) { return of(o.device->create_stream()); }},
        {"hipStreamSynchronize", errc::launch_failed, [](objects& o) { return of(o.device->synchronize(o.stream)); }},
        {"hipStreamBeginCapture", errc::launch_failed, [](objects& o) { return of(o.device->begin_capture(o.stream)); }},
        {"hipGraphLaunch", errc::launch_failed, [](objects& o) { return of(o.device->replay(o.graph, o.stream)); }},
        {"hipEventCreate", errc::launch_failed, [](objects& o) { return of(o.device->create_event()); }},
        {"hipEventRecord", errc::launch_failed, [](objects& o) { return of(o.device->record(o.event, o.stream)); }},
        {"hipEventSynchronize", errc::launch_failed, [](objects& o) { return of(o.device->elapsed_us(o.event, o.event)); }},
        {"hipEventElapsedTime", errc::launch_failed, [](objects& o) { return of(o.device->elapsed_us(o.event, o.event)); }},
        {"hipModuleLoadData", errc::load_failed, [](objects& o) { return of(o.device->load_module(small_code_object())); }},
        {"hipModuleGetFunction", errc::load_failed, [](objects& o) { return of(o.device->function_of(o.module, "k")); }},
        {"hipModuleLaunchKernel", errc::launch_failed,
         [](objects& o) { return of(o.device->launch(o.function, 1, 256, &o.arguments, sizeof o.arguments, o.stream)); }},
    };
    return list;
}

}  // namespace

TEST_CASE("HIP errors: the call, its error's name and text, and the thread's device as before")
{
    const fake_runtime& fake = fresh_fake();
    objects made(fake);
    for (const failing_call& one : failing_calls()) {
        CAPTURE(one.name);
        fake.control.fail(one.name, 1, 999);
        const outcome got = one.make(made);
        CHECK(got.code == one.code);
        CHECK(contains(got.message, one.name));
        CHECK(contains(got.message, "hipErrorUnknown (unknown error)"));
        CHECK(!contains(got.message, "\n"));
        CHECK(current_device(fake) == 0);
        const outcome after = one.make(made);
        CHECK(after.message.empty());  // the fault was for one call
        if (std::string_view(one.name) == "hipStreamBeginCapture")
            made.device->destroy_graph(*made.device->end_capture(made.stream));
    }
}

TEST_CASE("HIP errors: a device that cannot be made current is named by the call that failed")
{
    const fake_runtime& fake = fresh_fake();
    objects made(fake);
    for (const char* name : {"hipGetDevice", "hipSetDevice"}) {
        fake.control.take_record();
        fake.control.fail(name, 1, 101);
        const outcome got = of(made.device->synchronize(made.stream));
        CHECK(got.code == errc::launch_failed);
        CHECK(contains(got.message, name));
        CHECK(contains(got.message, "hipErrorInvalidDevice"));
        CHECK(fake.calls().empty());  // nothing was done on another device
        CHECK(current_device(fake) == 0);
    }
}

TEST_CASE("HIP errors: a failed opening names what failed")
{
    const fake_runtime& fake = fresh_fake();
    for (const char* name : {"hipGetDeviceCount", "hipRuntimeGetVersion", "hipGetDevicePropertiesR0600"}) {
        fake.control.fail(name, 1, 35);
        const auto opened = runtime::open_hip_device(fake.api, 0);
        REQUIRE(!opened);
        CHECK(opened.error().code == errc::unsupported_target);
        CHECK(contains(opened.error().message, std::string(name) + ": hipErrorInsufficientDriver"));
        CHECK(contains(opened.error().message, "kernel driver is too old"));
    }
}

TEST_CASE("HIP errors: what is known to help is said")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    const auto memory = device->allocate(std::size_t{1} << 50);
    REQUIRE(!memory);
    CHECK(memory.error().code == errc::load_failed);
    CHECK(
        memory.error().message ==
        "hipMalloc(1125899906842624 bytes): hipErrorOutOfMemory (out of memory); the device has not that much memory free");

    CHECK(contains(hip::describe(fake.api, "call", 700), "the process cannot use it any more"));
    CHECK(contains(hip::describe(fake.api, "call", 719), "the process cannot use it any more"));
    CHECK(contains(hip::describe(fake.api, "call", 209), "is not one for this GPU"));
    CHECK(contains(hip::describe(fake.api, "call", 200), "is not one for this GPU"));
    CHECK(contains(hip::describe(fake.api, "call", 900), "while this thread captures"));
    CHECK(hip::describe(fake.api, "call", 1) == "call: hipErrorInvalidValue (invalid argument)");
}

TEST_CASE("HIP errors: without a device, /dev/kfd is judged by how it was refused")
{
    CHECK(contains(hip::why_no_device(ENOENT), "the amdgpu kernel driver is not loaded"));
    CHECK(contains(hip::why_no_device(ENOENT), "--device=/dev/kfd"));
    CHECK(contains(hip::why_no_device(EACCES), "groups render and video"));
    CHECK(contains(hip::why_no_device(0), "HIP_VISIBLE_DEVICES"));
    CHECK(contains(hip::why_no_device(EBUSY), "/dev/kfd cannot be opened: Device or resource busy"));
}

TEST_CASE("HIP errors: a runtime's texts are told once, on one line, and need not be there")
{
    hip::api told;
    told.get_error_name = [](int) { return "hipErrorOdd"; };
    told.get_error_string = [](int) { return "hipErrorOdd"; };  // as HIP 5 has it
    CHECK(hip::describe(told, "call", 1) == "call: hipErrorOdd");
    told.get_error_string = [](int) { return "odd,\nvery odd"; };
    CHECK(hip::describe(told, "call", 1) == "call: hipErrorOdd (odd, very odd)");
    told.get_error_name = told.get_error_string = [](int) -> const char* { return nullptr; };
    CHECK(hip::describe(told, "call", 4711) == "call: error 4711");
}
