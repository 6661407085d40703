// tests/fake_hip/graph_test.cpp -- what is captured is recorded and not done, and a graph does it again.
#include <doctest/doctest.h>

#include <cstring>
#include <thread>

#include "tests/fake_hip/fixture.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;
using jit::errc;

std::vector<call> named(const std::vector<call>& record, const char* name)
{
    std::vector<call> found;
    for (const call& one : record)
        if (one.name == name) found.push_back(one);
    return found;
}

}  // namespace

TEST_CASE("HIP graphs: launches and fills are recorded, then done at each replay")
{
    const fake_runtime& fake = fresh_fake();
    const auto before = fake.control.live();
    const auto device = fake.open(0);
    void* const memory = device->allocate(16).value();
    void *const stream = device->create_stream().value(), *const other = device->create_stream().value();
    void* const module = device->load_module(small_code_object()).value();
    void* const function = device->function_of(module, "k").value();
    std::uint32_t word = 5;
    REQUIRE(device->upload(memory, &word, 4));
    fake.control.take_record();

    REQUIRE(device->begin_capture(stream));
    {
        small_arguments arguments{nullptr, memory};
        REQUIRE(device->launch(function, 7, 256, &arguments, sizeof arguments, stream));
        REQUIRE(device->fill(memory, 9, 1, stream));
        arguments.pointer = nullptr;  // the graph keeps what was passed
    }
    void* const graph = device->end_capture(stream).value();
    const auto captured = named(fake.control.take_record(), "hipModuleLaunchKernel");
    REQUIRE(captured.size() == 1);
    CHECK(captured[0].by == call::how::captured);
    REQUIRE(device->download(&word, memory, 4));
    CHECK(word == 5);

    for (int i = 0; i < 2; ++i) {
        fake.control.take_record();
        REQUIRE(device->replay(graph, other));
        const auto record = fake.control.take_record();
        CHECK(named(record, "hipGraphLaunch").size() == 1);
        const auto launches = named(record, "hipModuleLaunchKernel");
        REQUIRE(launches.size() == 1);
        CHECK(launches[0].by == call::how::replayed);
        CHECK(launches[0].grid == 7);
        CHECK(launches[0].block == 256);
        CHECK(launches[0].stream == other);
        void* passed = nullptr;
        REQUIRE(launches[0].arguments.size() == 16);
        std::memcpy(&passed, launches[0].arguments.data() + 8, 8);
        CHECK(passed == memory);
        REQUIRE(device->download(&word, memory, 4));
        CHECK(word == 9);
        word = 5;
        REQUIRE(device->upload(memory, &word, 4));
    }
    device->destroy_graph(graph);
    device->unload_module(module);
    device->destroy_stream(other);
    device->destroy_stream(stream);
    device->release(memory);
    CHECK(fake.control.live() == before);  // the graph that the executable one was made from is gone too
}

TEST_CASE("HIP graphs: what a capture forbids is refused, and the reason told")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    void* const stream = device->create_stream().value();
    REQUIRE(device->begin_capture(stream));
    const auto memory = device->allocate(16);
    REQUIRE(!memory);
    CHECK(contains(memory.error().message, "hipErrorStreamCaptureUnsupported"));
    CHECK(contains(memory.error().message, "while this thread captures"));
    CHECK(!device->synchronize(stream));
    jit::result<void*> elsewhere = jit::failure{};
    std::thread([&] { elsewhere = device->allocate(16); }).join();
    REQUIRE(elsewhere);  // another thread may
    device->destroy_graph(device->end_capture(stream).value());
    device->release(*elsewhere);
    CHECK(device->synchronize(stream));

    const auto not_begun = device->end_capture(stream);
    REQUIRE(!not_begun);
    CHECK(not_begun.error().code == errc::launch_failed);
    CHECK(contains(not_begun.error().message, "hipStreamEndCapture: hipErrorStreamCaptureUnmatched"));
    CHECK(!device->begin_capture(nullptr));
    device->destroy_stream(stream);
}

TEST_CASE("HIP graphs: a graph that cannot be instantiated is not left behind")
{
    const fake_runtime& fake = fresh_fake();
    const auto device = fake.open(0);
    void* const stream = device->create_stream().value();
    const auto before = fake.control.live();
    REQUIRE(device->begin_capture(stream));
    fake.control.fail("hipGraphInstantiate", 1, 2);
    const auto graph = device->end_capture(stream);
    REQUIRE(!graph);
    CHECK(graph.error().code == errc::launch_failed);
    CHECK(contains(graph.error().message, "hipGraphInstantiate: hipErrorOutOfMemory"));
    CHECK(fake.control.live() == before);
    device->destroy_stream(stream);
}

TEST_CASE("HIP graphs: a runtime without them opens, and each graph call says what is missing")
{
    fresh_fake();
    const fake_runtime fake(MHC_FAKE_HIP_WITHOUT_GRAPHS);
    const auto device = fake.open(0);
    void* const stream = device->create_stream().value();
    const auto check = [](const auto& got) {
        REQUIRE(!got);
        CHECK(got.error().code == errc::launch_failed);
        CHECK(got.error().message == "HIP 6.3.42134 has no graphs: " MHC_FAKE_HIP_WITHOUT_GRAPHS " lacks hipGraphLaunch");
    };
    check(device->begin_capture(stream));
    check(device->end_capture(stream));
    check(device->replay(stream, stream));
    device->destroy_stream(stream);
    CHECK(fake.control.live() == fake_hip::live_objects{});
}
