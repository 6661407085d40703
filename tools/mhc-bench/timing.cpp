// tools/mhc-bench/timing.cpp -- how long a call takes: graphs between events on a GPU, a clock round each call on host.
#include "tools/mhc-bench/timing.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace mhc::tools {
namespace {

constexpr int default_warmup = 3, default_replays = 20, default_calls = 50;
constexpr std::size_t graph_calls_min = 20;  // a replay has some 3 us of its own: 0.15 us a call

/// A driver's handle and the device's way to give it up.
class handle {
public:
    using give_up = void (jit::device::*)(void*) noexcept;
    handle(jit::device& on, void* made, give_up by) : on_(on), made_(made), by_(by) {}
    handle(const handle&) = delete;
    handle& operator=(const handle&) = delete;
    ~handle() { (on_.*by_)(made_); }
    void* get() const { return made_; }

private:
    jit::device& on_;
    void* made_;
    give_up by_;
};

void* record_graph(jit::device& on, void* stream, std::size_t calls, std::size_t sets, const timed_call& call)
{
    on.begin_capture(stream).value();
    try {
        for (std::size_t i = 0; i < calls; ++i) call(i % sets, stream);
    } catch (...) {  // a stream left in capture would fail whatever comes next
        if (auto graph = on.end_capture(stream)) on.destroy_graph(*graph);
        throw;
    }
    return on.end_capture(stream).value();
}

timing time_replays(jit::device& on, std::size_t sets, const timed_call& call, const repetition& asked)
{
    const handle stream(on, on.create_stream().value(), &jit::device::destroy_stream);
    call(0, stream.get());  // whatever a driver does at a kernel's first launch is not recorded
    on.synchronize(stream.get()).value();
    const std::size_t calls = (graph_calls_min + sets - 1) / sets * sets;
    const handle graph(on, record_graph(on, stream.get(), calls, sets, call), &jit::device::destroy_graph);
    const handle first(on, on.create_event().value(), &jit::device::destroy_event);
    const handle second(on, on.create_event().value(), &jit::device::destroy_event);

    for (int i = 0; i < asked.warmup.value_or(default_warmup); ++i) on.replay(graph.get(), stream.get()).value();
    on.synchronize(stream.get()).value();
    std::vector<double> samples;
    for (int i = 0; i < asked.iters.value_or(default_replays); ++i) {
        on.record(first.get(), stream.get()).value();
        on.replay(graph.get(), stream.get()).value();
        on.record(second.get(), stream.get()).value();
        samples.push_back(on.elapsed_us(first.get(), second.get()).value() / static_cast<double>(calls));
    }
    return percentiles(std::move(samples));
}

timing time_on_host(std::size_t sets, const timed_call& call, const repetition& asked)
{
    using clock = std::chrono::steady_clock;
    std::size_t next = 0;
    for (int i = 0; i < asked.warmup.value_or(default_warmup); ++i) call(next++ % sets, nullptr);
    std::vector<double> samples;
    for (int i = 0; i < asked.iters.value_or(default_calls); ++i) {
        const auto start = clock::now();
        call(next++ % sets, nullptr);
        samples.push_back(std::chrono::duration<double, std::micro>(clock::now() - start).count());
    }
    return percentiles(std::move(samples));
}

}  // namespace

timing time_calls(jit::device& on, std::size_t sets, const timed_call& call, const repetition& asked)
{
    return on.id() == "host" ? time_on_host(sets, call, asked) : time_replays(on, sets, call, asked);
}

timing percentiles(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    const auto at = [&](double share) {
        const double position = share * static_cast<double>(samples.size() - 1);
        const auto below = static_cast<std::size_t>(position);
        const std::size_t above = std::min(below + 1, samples.size() - 1);
        return std::lerp(samples[below], samples[above], position - static_cast<double>(below));
    };
    return {at(0.5), at(0.1), at(0.9)};
}

}  // namespace mhc::tools
