// tools/mhc-bench/counting.cpp -- one counted call; for the emulator's speed, as many uncounted ones as a second takes.
#include "tools/mhc-bench/counting.hpp"

#include <ctime>

#include "tools/mhc-bench/operand_sets.hpp"
#include "tools/mhc-bench/traffic.hpp"

namespace mhc::tools {
namespace {

/// Of all threads of this process.
double cpu_seconds()
{
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double calls_per_cpu_second(const jit::compiled_layer& layer, const operand_sets& sets)
{
    constexpr double enough = 1.0;
    const double begin = cpu_seconds();
    for (int calls = 1;; ++calls) {
        sets.call(layer, 0, nullptr);
        const double spent = cpu_seconds() - begin;
        if (spent >= enough) return calls / spent;
    }
}

}  // namespace

double data_share(const counted_row& row)
{
    const jit::execution_counts& of = row.counts;
    const std::uint64_t data = of.bytes_read + of.bytes_written + of.scalar_bytes_read - of.shared_bytes;
    return static_cast<double>(data) / static_cast<double>(row.ideal_data_bytes);
}

counted_row count(bench_target& on, const bench_case& what, random_source& random, const counting_request& asked)
{
    const jit::compiled_layer layer = on.engine->layer(what.spec).value();
    const operand_sets sets(on, what, layer, random, 1);
    jit::execution_counter& counter = *on.device->counter();

    counted_row row;
    row.what = what;
    row.target = on.name;
    const traffic least = traffic_of(what.op, what.spec);
    row.ideal_bytes = least.bytes(what.tokens);
    row.ideal_data_bytes = least.per_token * what.tokens;
    row.cache = counter.cache();
    if (asked.cache_bytes >= 0) row.cache.bytes = asked.cache_bytes;
    counter.start(asked.cache_bytes, sets.shared()).value();
    sets.call(layer, 0, nullptr);
    row.counts = counter.stop();
    if (asked.wants_speed)
        row.instructions_per_cpu_second =
            static_cast<double>(row.counts.wave_instructions()) * calls_per_cpu_second(layer, sets);
    return row;
}

}  // namespace mhc::tools
