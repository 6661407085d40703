// tests/costs/host_costs.cpp -- what the library costs on the host, without any GPU: a known layer, a launch, a first
// kernel.
//
// Prints medians and percentiles beside the floor, what would be paid without the library. It decides nothing: figures of a
// quiet machine are recorded in docs/PERFORMANCE.md. The compiler is planted and the GPU a look-alike, neither of which is
// in what is timed.
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <mhc/jit.hpp>

#include "runtime/engine_impl.hpp"
#include "runtime/hip_api.hpp"
#include "runtime/hip_driver.hpp"
#include "tests/support/temporary_directory.hpp"

extern char** environ;

namespace {

using namespace mhc;
using clock_type = std::chrono::steady_clock;

constexpr int calls_a_batch = 100;

double nanoseconds_since(clock_type::time_point start)
{
    return std::chrono::duration<double, std::nano>(clock_type::now() - start).count();
}

struct percentiles {
    double p50 = 0, p99 = 0;
};

percentiles of(std::vector<double> samples)
{
    std::sort(samples.begin(), samples.end());
    return {samples[samples.size() / 2], samples[samples.size() * 99 / 100]};
}

/// Nanoseconds a call: medians and 99th percentiles over batches, because a clock is read as slowly as the call.
template <class Call>
percentiles time_call(int batches, const Call& call)
{
    std::vector<double> samples;
    for (int batch = 0; batch < batches; ++batch) {
        const auto start = clock_type::now();
        for (int i = 0; i < calls_a_batch; ++i) call();
        samples.push_back(nanoseconds_since(start) / calls_a_batch);
    }
    return of(std::move(samples));
}

void print_row(const char* what, const percentiles& time, const char* unit, const char* floor)
{
    std::printf("%-46s %9.1f %9.1f %-3s  %s\n", what, time.p50, time.p99, unit, floor);
}

jit::engine_options options_in(const std::string& dir)
{
    jit::engine_options options;
    options.target = "gfx942";
    options.device = 0;
    options.cache_dir = dir;
    options.worker = MHC_PLANTED_WORKER;
    options.level = jit::log_level::error;
    return options;
}

jit::layer_spec spec_of(int number)
{
    jit::layer_spec spec;
    spec.hidden_dim = 64 + number;
    spec.n_streams = 2;
    spec.wanted = {jit::operation::expand_fwd};
    return spec;
}

void time_known_layers(int batches)
{
    const test::temporary_directory dir;
    const auto engine = jit::engine::create(options_in(dir.path())).value();
    constexpr int layers = 16;
    std::vector<jit::layer_spec> specs;
    for (int number = 0; number < layers; ++number) {
        specs.push_back(spec_of(number));
        engine->layer(specs.back()).value();
    }
    int at = 0;
    const auto ask = [&] {
        if (!engine->layer(specs[static_cast<std::size_t>(at++ % layers)])) std::abort();
    };
    print_row("known layer again, of 16", time_call(batches, ask), "ns", "target: p50 <= 100 ns");
    std::atomic<bool> is_over{false};
    std::thread other([&] {
        for (int i = 0; !is_over; ++i)
            if (!engine->layer(specs[static_cast<std::size_t>(i % layers)])) std::abort();
    });
    print_row("  while another thread asks too", time_call(batches, ask), "ns", "");
    is_over = true;
    other.join();
}

std::uint64_t launches = 0;

/// A driver that does nothing: what is left is the way to it.
runtime::hip::status launch_nothing(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                                    void**, void**)
{
    ++launches;
    return runtime::hip::success;
}
runtime::hip::status device_zero(int* device) { return *device = 0, runtime::hip::success; }

void time_launches(int batches)
{
    const test::temporary_directory dir;
    static runtime::hip::api api = *runtime::hip::open().value();
    api.module_launch_kernel = launch_nothing;
    api.get_device = device_zero;
    runtime::selected_target chosen;
    chosen.on = runtime::target_named("gfx942").value();
    chosen.driver = runtime::open_hip_device(api, 0).value();
    jit::engine::impl engine(options_in(dir.path()), std::move(chosen));
    jit::layer_spec spec = spec_of(0);
    spec.wanted = {jit::operation::expand_fwd, jit::operation::post_fwd};
    const jit::compiled_layer layer = engine.make(spec).value();

    // No kernel runs: any aligned address will do.
    alignas(16) static unsigned char memory[64];
    float* const f32 = reinterpret_cast<float*>(memory);
    std::uintptr_t arguments[8]{};
    std::size_t bytes = sizeof arguments;
    void* extra[]{reinterpret_cast<void*>(runtime::hip::launch_param_buffer_pointer), arguments,
                  reinterpret_cast<void*>(runtime::hip::launch_param_buffer_size), &bytes,
                  reinterpret_cast<void*>(runtime::hip::launch_param_end)};
    const auto raw = [&] {
        if (api.module_launch_kernel(memory, 8, 1, 1, 256, 1, 1, 0, nullptr, nullptr, extra) != 0) std::abort();
    };
    const auto expand = [&] {
        if (!layer.expand_fwd({.h = memory, .x = memory, .tokens = 8, .x_strides = {}})) std::abort();
    };
    const auto post = [&] {
        if (!layer.post_fwd({.y = memory,
                             .x = memory,
                             .post = f32,
                             .mix = f32,
                             .out = memory,
                             .tokens = 8,
                             .x_strides = {},
                             .out_strides = {}}))
            std::abort();
    };
    const percentiles floor = time_call(batches, raw);
    print_row("floor: the raw driver call, of no driver", floor, "ns", "");
    print_row("launch of expand_fwd", time_call(batches, expand), "ns",
              fmt::format("target: p50 <= {:.1f} ns (floor + 150 ns)", floor.p50 + 150).c_str());
    print_row("launch of post_fwd", time_call(batches, post), "ns",
              fmt::format("target: p50 <= {:.1f} ns", floor.p50 + 150).c_str());
    if (launches != 3ULL * static_cast<unsigned>(batches) * calls_a_batch) std::abort();
}

/// Milliseconds of a process of this program.
struct process_time {
    double wall = 0, processor = 0;
};

process_time time_of(const char* what, const std::string& dir)
{
    const auto start = clock_type::now();
    const char* const arguments[] = {"host_costs", what, dir.c_str(), nullptr};
    pid_t child = 0;
    if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(arguments), environ) != 0) std::abort();
    int status = 0;
    rusage used{};
    if (wait4(child, &status, 0, &used) != child || status != 0) {
        std::fprintf(stderr, "a child (%s) failed\n", what);
        std::exit(1);
    }
    const auto milliseconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
    };
    return {nanoseconds_since(start) / 1e6, milliseconds(used.ru_utime) + milliseconds(used.ru_stime)};
}

/// What the child does: a first kernel, found in the user database.
int load_first(const std::string& dir)
{
    const auto engine = jit::engine::create(options_in(dir)).value();
    const auto layer = engine->layer(spec_of(0));
    return layer && engine->stats().l2_hit == 1 && engine->stats().compiled == 0 ? 0 : 1;
}

void time_second_process(int runs)
{
    const test::temporary_directory dir;
    {
        const auto engine = jit::engine::create(options_in(dir.path())).value();
        engine->layer(spec_of(0)).value();
    }
    std::vector<double> nothing, first, beyond, processor;
    for (int i = 0; i < runs; ++i) {  // in turns, so that what the machine does besides meets both
        const process_time floor = time_of("--nothing", dir.path()), whole = time_of("--first", dir.path());
        nothing.push_back(floor.wall);
        first.push_back(whole.wall);
        beyond.push_back(whole.wall - floor.wall);
        processor.push_back(whole.processor - floor.processor);
    }
    print_row("floor: a process that does nothing", of(nothing), "ms", "");
    print_row("a process that loads a first, stored kernel", of(first), "ms", "");
    print_row("  beyond its floor", of(beyond), "ms", "target: p50 <= 5 ms");
    print_row("  of that, processor time", of(processor), "ms", "what a busy machine shows of it");
}

}  // namespace

int main(int count, char** arguments)
try {
    if (count == 3 && std::strcmp(arguments[1], "--nothing") == 0) return 0;
    if (count == 3 && std::strcmp(arguments[1], "--first") == 0) return load_first(arguments[2]);
    const bool is_quick = count == 2 && std::strcmp(arguments[1], "--quick") == 0;
    if (count != 1 && !is_quick) return std::fprintf(stderr, "usage: mhc_host_costs [--quick]\n"), 2;
    std::printf("%-46s %9s %9s\n", "", "p50", "p99");
    time_known_layers(is_quick ? 10 : 5000);
    time_launches(is_quick ? 10 : 5000);
    time_second_process(is_quick ? 2 : 100);
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
}
