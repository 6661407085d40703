// tools/mhc-show/roofline.cpp -- counts of one emulated call, divided by what the processor can do.
#include "tools/mhc-show/roofline.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "emulator/processor_facts.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-bench/counted_report.hpp"

namespace mhc::tools {
namespace {

using emulator::processor_facts;
using json = nlohmann::ordered_json;

constexpr double matrix_flop = 2.0 * 16 * 16 * 16;

/// Seconds that one resource is busy, were it alone.
struct busy {
    const char* name;
    double seconds;
};
using busy_list = std::array<busy, 4>;

busy_list times_of(const jit::execution_counts& counts, const processor_facts& on)
{
    const auto number = [](std::uint64_t count) { return static_cast<double>(count); };
    const double unit_cycles = on.compute_units * 1e6 * on.clock_mhz;  // a second
    const double vector =
        number(counts.vector) * on.vector_cycles + number(counts.transcendental) * on.transcendental_cycles;
    return {{{"memory", number(counts.lines_missed) * on.line_bytes / (1e9 * on.memory_gbps)},
             {"vector", vector / (unit_cycles * on.simds_of_unit)},
             {"matrix", number(counts.matrix) * matrix_flop / (1e12 * on.matrix_tflops)},
             {"lds", number(counts.lds_cycles) / unit_cycles}}};
}

const busy& longest(const busy_list& of)
{
    return *std::max_element(of.begin(), of.end(), [](const busy& a, const busy& b) { return a.seconds < b.seconds; });
}

struct roofline {
    const processor_facts* on;
    counted_row row;
    busy_list times;
    double ideal_seconds;  ///< of the bytes that cannot be avoided
};

const processor_facts& product_of(const std::string& gpu)
{
    if (const processor_facts* const found = emulator::find_product(gpu)) return *found;
    fail_usage(fmt::format("--gpu {}: known are {}", gpu, emulator::product_names()));
}

roofline made(const shown_operator& shown, const jit::engine_options& options, const std::string& gpu)
{
    if (shown.tokens == 0) fail_usage("--roofline with --tokens 0: nothing is executed; give 1 or more");
    const std::string& target = shown.description.target;
    const std::string processor = target.substr(0, target.find(':'));
    if (!processor.starts_with("gfx"))
        fail_usage(fmt::format("--roofline with --target {}: it is of AMD GPUs, such as gfx942", options.target));
    const processor_facts& facts = gpu.empty() ? emulator::facts_of(processor) : product_of(gpu);
    if (facts.name != processor) fail_usage(fmt::format("--gpu {} has {}, not {}", gpu, facts.name, processor));
    jit::engine_options emulated = options;
    emulated.target = "emu:" + processor;
    ::setenv("MHC_EMULATOR_GPU", std::string(facts.gpu).c_str(), 1);  // the plan is for this one's compute units
    bench_target on = open_target(emulated);
    random_source random;
    roofline of{&facts,
                count(on, {.op = shown.op, .spec = shown.spec, .tokens = shown.tokens}, random,
                      {.cache_bytes = static_cast<std::int64_t>(facts.cache_bytes)}),
                {},
                0};
    of.times = times_of(of.row.counts, *of.on);
    of.ideal_seconds = static_cast<double>(of.row.ideal_bytes) / (1e9 * of.on->memory_gbps);
    return of;
}

}  // namespace

std::string processor_of_gpu(const std::string& gpu) { return std::string(product_of(gpu).name); }

std::string roofline_text(const shown_operator& shown, const jit::engine_options& options, const std::string& gpu)
{
    const roofline of = made(shown, options, gpu);
    std::string text =
        fmt::format("{} on {} ({}): hidden_dim {}, n_streams {}, {}, {} token(s). A model, of emulated counts.\n\n",
                    jit::to_string(shown.op), of.on->name, of.on->product, shown.spec.hidden_dim, shown.spec.n_streams,
                    jit::to_string(shown.spec.dtype), shown.tokens);
    text += counted_text({of.row}) + '\n';
    std::vector<std::vector<std::string>> rows = {{"launch", "waves/SIMD", "VGPRs", "LDS B", "scratch B"}};
    for (const jit::launch_description& launch : shown.description.launches)
        rows.push_back({launch.symbol, fmt::to_string(launch.resources.waves_per_simd),
                        fmt::to_string(launch.resources.vgprs), fmt::to_string(launch.resources.lds_bytes),
                        fmt::to_string(launch.resources.scratch_bytes)});
    text += table_text(rows) + '\n';
    const busy& bound = longest(of.times);
    rows = {{"resource", "us", "of memory's"}};
    for (const busy& each : of.times)
        rows.push_back({each.name, fmt::format("{:.3g}", 1e6 * each.seconds),
                        fmt::format("{:.0f} %", 100 * each.seconds / of.times.front().seconds)});
    text += table_text(rows);
    return text + fmt::format("\nbound by {}: {:.3g} us, {:.2f} times what the least bytes take ({:.3g} us)\n", bound.name,
                              1e6 * bound.seconds, bound.seconds / of.ideal_seconds, 1e6 * of.ideal_seconds);
}

std::string roofline_json(const shown_operator& shown, const jit::engine_options& options, const std::string& gpu)
{
    const roofline of = made(shown, options, gpu);
    json report = counted_json(of.row);
    report["processor"] = {{"name", of.on->name},
                           {"gpu", of.on->gpu},
                           {"product", of.on->product},
                           {"compute_units", of.on->compute_units},
                           {"simds_of_unit", of.on->simds_of_unit},
                           {"clock_mhz", of.on->clock_mhz},
                           {"memory_gbps", of.on->memory_gbps},
                           {"matrix_tflops", of.on->matrix_tflops},
                           {"vector_cycles", of.on->vector_cycles},
                           {"transcendental_cycles", of.on->transcendental_cycles}};
    for (const jit::launch_description& launch : shown.description.launches)
        report["launches"].push_back({{"symbol", launch.symbol},
                                      {"waves_per_simd", launch.resources.waves_per_simd},
                                      {"vgprs", launch.resources.vgprs},
                                      {"lds_bytes", launch.resources.lds_bytes},
                                      {"scratch_bytes", launch.resources.scratch_bytes}});
    for (const busy& each : of.times) report["us"][each.name] = 1e6 * each.seconds;
    report["bound"] = longest(of.times).name;
    report["predicted_us"] = 1e6 * longest(of.times).seconds;
    report["ideal_us"] = 1e6 * of.ideal_seconds;
    return report.dump(2) + '\n';
}

}  // namespace mhc::tools
