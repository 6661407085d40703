// tests/support/fake_hip/streams.cpp -- streams, fills, events, capture and graphs. What is enqueued is done at once.
#include <chrono>
#include <type_traits>
#include <utility>

#include "runtime/hip_api.hpp"
#include "tests/support/fake_hip/state.hpp"

using namespace mhc::fake_hip;
using mhc::runtime::hip::api;

namespace {

/// The stream of a handle, of which null is a device's own: false if there is none.
bool is_stream(const state& s, void* handle) { return handle == nullptr || find(s.streams, handle) != nullptr; }

bool captures(const state& s, void* handle)
{
    const stream* of = find(s.streams, handle);
    return of != nullptr && of->capture != nullptr;
}

template <class Object>
int destroy(std::map<void*, std::unique_ptr<Object>>& among, void* handle, call& made)
{
    return among.erase(handle) == 0 ? refuse(made, invalid_handle, "nothing has the handle") : success;
}

}  // namespace

FAKE_HIP_EXPORT int hipStreamCreateWithFlags(void** into, unsigned flags)
{
    return entry("hipStreamCreateWithFlags", [&](state& s, call& made) -> int {
        if (flags != mhc::runtime::hip::stream_non_blocking)
            return refuse(made, invalid_value, "the stream would wait for the null stream");
        auto created = std::make_unique<stream>();
        created->device = current_device();
        made.stream = *into = keep(s.streams, std::move(created));
        return success;
    });
}

FAKE_HIP_EXPORT int hipStreamDestroy(void* handle)
{
    return entry("hipStreamDestroy", [&](state& s, call& made) {
        made.stream = handle;
        return destroy(s.streams, handle, made);
    });
}

FAKE_HIP_EXPORT int hipStreamSynchronize(void* handle)
{
    return entry("hipStreamSynchronize", [&](state& s, call& made) -> int {
        made.stream = handle;
        if (!is_stream(s, handle)) return refuse(made, invalid_handle, "no such stream");
        return captures(s, handle) ? refuse(made, capture_unsupported, "the stream captures") : success;
    });
}

FAKE_HIP_EXPORT int hipMemsetD32Async(void* to, int value, std::size_t count, void* handle)
{
    return entry("hipMemsetD32Async", [&](state& s, call& made) -> int {
        made.pointer = to;
        made.bytes = count * 4;
        made.stream = handle;
        if (!is_stream(s, handle)) return refuse(made, invalid_handle, "no such stream");
        const node what{made, nullptr, static_cast<std::uint32_t>(value)};
        if (!captures(s, handle)) return carry_out(s, what, made);
        made.by = call::how::captured;
        find(s.streams, handle)->capture->nodes.push_back(what);
        return success;
    });
}

FAKE_HIP_EXPORT int hipEventCreate(void** into)
{
    return entry("hipEventCreate", [&](state& s, call&) {
        *into = keep(s.events, std::make_unique<event>());
        return success;
    });
}

FAKE_HIP_EXPORT int hipEventDestroy(void* handle)
{
    return entry("hipEventDestroy", [&](state& s, call& made) { return destroy(s.events, handle, made); });
}

FAKE_HIP_EXPORT int hipEventRecord(void* handle, void* on)
{
    return entry("hipEventRecord", [&](state& s, call& made) -> int {
        made.stream = on;
        event* const of = find(s.events, handle);
        if (of == nullptr || !is_stream(s, on)) return refuse(made, invalid_handle, "no such event, or no such stream");
        of->is_recorded = true;
        of->at_ns = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
        return success;
    });
}

FAKE_HIP_EXPORT int hipEventSynchronize(void* handle)
{
    return entry("hipEventSynchronize",
                 [&](state& s, call&) { return find(s.events, handle) == nullptr ? invalid_handle : success; });
}

FAKE_HIP_EXPORT int hipEventElapsedTime(float* ms, void* first, void* second)
{
    return entry("hipEventElapsedTime", [&](state& s, call& made) -> int {
        const event *from = find(s.events, first), *to = find(s.events, second);
        if (from == nullptr || to == nullptr || !from->is_recorded || !to->is_recorded)
            return refuse(made, invalid_handle, "no such event, or one that was not recorded");
        *ms = static_cast<float>(to->at_ns - from->at_ns) * 1e-6F;
        return success;
    });
}

FAKE_HIP_EXPORT int hipStreamBeginCapture(void* handle, int mode)
{
    return entry("hipStreamBeginCapture", [&](state& s, call& made) -> int {
        made.stream = handle;
        stream* const of = find(s.streams, handle);
        if (of == nullptr) return refuse(made, capture_unsupported, "the null stream cannot be captured");
        if (of->capture != nullptr) return refuse(made, invalid_value, "the stream captures already");
        if (mode != mhc::runtime::hip::capture_mode_thread_local)
            return refuse(made, invalid_value, "other threads would be kept from allocating");
        of->capture = std::make_unique<graph>();
        of->captured_by = std::this_thread::get_id();
        return success;
    });
}

FAKE_HIP_EXPORT int hipStreamEndCapture(void* handle, void** into)
{
    return entry("hipStreamEndCapture", [&](state& s, call& made) -> int {
        made.stream = handle;
        stream* const of = find(s.streams, handle);
        if (of == nullptr || of->capture == nullptr) return refuse(made, capture_unmatched, "the stream does not capture");
        if (of->captured_by != std::this_thread::get_id()) return capture_wrong_thread;
        *into = keep(s.graphs, std::exchange(of->capture, nullptr));
        return success;
    });
}

FAKE_HIP_EXPORT int hipGraphInstantiate(void** into, void* handle, void**, char*, std::size_t)
{
    return entry("hipGraphInstantiate", [&](state& s, call& made) -> int {
        const graph* const of = find(s.graphs, handle);
        if (of == nullptr) return refuse(made, invalid_value, "no such graph");
        *into = keep(s.executables, std::make_unique<graph>(*of));
        return success;
    });
}

FAKE_HIP_EXPORT int hipGraphLaunch(void* handle, void* on)
{
    return entry("hipGraphLaunch", [&](state& s, call& made) -> int {
        made.stream = on;
        const graph* const of = find(s.executables, handle);
        if (of == nullptr || !is_stream(s, on)) return refuse(made, invalid_value, "no such graph, or no such stream");
        if (captures(s, on)) return refuse(made, capture_unsupported, "the stream captures");
        for (const node& what : of->nodes) {
            call again = what.as_called;
            again.by = call::how::replayed;
            again.stream = on;
            again.result = carry_out(s, what, again);
            s.record.push_back(again);
            if (again.result != success) return refuse(made, again.result, again.refusal);
        }
        return success;
    });
}

FAKE_HIP_EXPORT int hipGraphDestroy(void* handle)
{
    return entry("hipGraphDestroy", [&](state& s, call& made) { return destroy(s.graphs, handle, made); });
}

FAKE_HIP_EXPORT int hipGraphExecDestroy(void* handle)
{
    return entry("hipGraphExecDestroy", [&](state& s, call& made) { return destroy(s.executables, handle, made); });
}

// The types that the library calls them by.
static_assert(std::is_same_v<decltype(&hipStreamCreateWithFlags), decltype(api::stream_create_with_flags)>);
static_assert(std::is_same_v<decltype(&hipStreamDestroy), decltype(api::stream_destroy)>);
static_assert(std::is_same_v<decltype(&hipStreamSynchronize), decltype(api::stream_synchronize)>);
static_assert(std::is_same_v<decltype(&hipMemsetD32Async), decltype(api::memset_d32_async)>);
static_assert(std::is_same_v<decltype(&hipEventCreate), decltype(api::event_create)>);
static_assert(std::is_same_v<decltype(&hipEventDestroy), decltype(api::event_destroy)>);
static_assert(std::is_same_v<decltype(&hipEventRecord), decltype(api::event_record)>);
static_assert(std::is_same_v<decltype(&hipEventSynchronize), decltype(api::event_synchronize)>);
static_assert(std::is_same_v<decltype(&hipEventElapsedTime), decltype(api::event_elapsed_time)>);
static_assert(std::is_same_v<decltype(&hipStreamBeginCapture), decltype(api::stream_begin_capture)>);
static_assert(std::is_same_v<decltype(&hipStreamEndCapture), decltype(api::stream_end_capture)>);
static_assert(std::is_same_v<decltype(&hipGraphInstantiate), decltype(api::graph_instantiate)>);
static_assert(std::is_same_v<decltype(&hipGraphLaunch), decltype(api::graph_launch)>);
static_assert(std::is_same_v<decltype(&hipGraphDestroy), decltype(api::graph_destroy)>);
static_assert(std::is_same_v<decltype(&hipGraphExecDestroy), decltype(api::graph_exec_destroy)>);
