// tools/mhc-bench/measure.cpp -- one operator, one shape, one target: its time, and its floor's in the same run.
#include "tools/mhc-bench/measure.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include <sched.h>

#include <fmt/format.h>

#include <mhc/jit/floor.hpp>

#include "tools/mhc-bench/operand_sets.hpp"
#include "tools/mhc-bench/traffic.hpp"

namespace mhc::tools {
namespace {

constexpr std::int64_t sets_max = 200;

/// The floor kernel on sets of its own.
timing time_floor(bench_target& on, const floor_shape& shape, std::int64_t sets, random_source& random,
                  const repetition& asked)
{
    const jit::floor_kernel floor =
        jit::floor_kernel::make(*on.engine, shape.rows_in, shape.rows_out, shape.hidden_dim, shape.type).value();
    std::vector<buffer> in, out;
    for (std::int64_t i = 0; i < sets; ++i) {
        const std::int64_t count = shape.tokens * shape.hidden_dim, size = jit::size_of(shape.type);
        in.emplace_back(*on.device, count * shape.rows_in * size);
        out.emplace_back(*on.device, count * shape.rows_out * size);
        random.fill(*on.device, in.back().get(), count * shape.rows_in, shape.type);
        random.fill(*on.device, out.back().get(), count * shape.rows_out, shape.type);  // touched, as the input is
    }
    const auto call = [&](std::size_t set, void* stream) {
        floor.launch(in[set].get(), out[set].get(), shape.tokens, stream).value();
    };
    return time_calls(*on.device, static_cast<std::size_t>(sets), call, asked);
}

unsigned usable_cpus()
{
    cpu_set_t mine;
    const bool is_known = sched_getaffinity(0, sizeof mine, &mine) == 0;
    return is_known ? static_cast<unsigned>(CPU_COUNT(&mine)) : std::max(1U, std::thread::hardware_concurrency());
}

/// One memcpy, cut into a part a thread. Starting the threads costs far less than copying what they copy.
void copy_on_all_threads(std::byte* to, const std::byte* from, std::size_t bytes)
{
    const std::size_t parts = usable_cpus(), part = (bytes + parts - 1) / parts;
    std::vector<std::jthread> others;
    for (std::size_t at = part; at < bytes; at += part)
        others.emplace_back([=] { std::memcpy(to + at, from + at, std::min(part, bytes - at)); });
    std::memcpy(to, from, std::min(part, bytes));
}

}  // namespace

std::int64_t sets_for(const jit::device& on, std::int64_t traffic_bytes)
{
    const std::int64_t cold = cold_bytes(on);
    return std::clamp<std::int64_t>((cold + traffic_bytes - 1) / traffic_bytes, 1, sets_max);
}

bench_target open_target(const jit::engine_options& options)
{
    bench_target made;
    made.engine = jit::engine::create(options).value();
    made.name = made.engine->target();
    made.device = jit::device::open(made.name, options.device).value();
    return made;
}

double measure_copy(bench_target& on, std::int64_t gpu_bytes, random_source& random, const repetition& asked)
{
    if (on.device->id() == "host") {
        const std::int64_t bytes = std::max<std::int64_t>(cold_bytes(*on.device), 64 << 20);
        const std::vector<std::byte> from(static_cast<std::size_t>(bytes), std::byte{0x3B});
        std::vector<std::byte> to(from.size());
        const auto call = [&](std::size_t, void*) { copy_on_all_threads(to.data(), from.data(), from.size()); };
        const timing time = time_calls(*on.device, 1, call, {asked.warmup, asked.iters.value_or(20), false});
        return 2.0 * static_cast<double>(bytes) / time.median_us / 1e3;
    }
    constexpr std::int64_t row_bytes = 2 * 8192;
    const floor_shape copy{1, 1, 8192, jit::dtype::bf16, gpu_bytes / row_bytes};
    return static_cast<double>(copy.bytes()) / time_floor(on, copy, 1, random, asked).median_us / 1e3;
}

bench_row measure(bench_target& on, const bench_case& what, random_source& random, const repetition& asked)
{
    bench_row row;
    row.what = what;
    row.target = on.name;
    row.ideal_bytes = traffic_of(what.op, what.spec).bytes(what.tokens);
    {
        const jit::compiled_layer made = on.engine->layer(what.spec).value();
        const jit::compiled_layer layer = asked.may_overlap ? made.overlapping() : made;
        const operand_sets sets(on, what, layer, random, sets_for(*on.device, row.ideal_bytes));
        row.time = time_calls(
            *on.device, sets.count(), [&](std::size_t set, void* stream) { sets.call(layer, set, stream); }, asked);
    }
    const floor_shape floor = floor_of(what.op, what.spec, what.tokens);
    row.floor_us = time_floor(on, floor, sets_for(*on.device, floor.bytes()), random, asked).median_us;
    row.gbps = static_cast<double>(row.ideal_bytes) / row.time.median_us / 1e3;
    row.share_of_copy = row.gbps / on.copy_gbps;
    return row;
}

}  // namespace mhc::tools
