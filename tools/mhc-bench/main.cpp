// tools/mhc-bench/main.cpp -- times operators beside a floor kernel of the same traffic, on any targets.
#include <chrono>
#include <filesystem>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/common/files.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-bench/first_use.hpp"
#include "tools/mhc-bench/report.hpp"
#include "tools/mhc-bench/request.hpp"

namespace mhc::tools {
namespace {

constexpr const char* examples =
    R"(Lists are separated by commas and combined each with each. On a GPU a graph of back-to-back calls is replayed between
events; on host a clock runs round each call. Calls rotate over operands that no cache holds. Beside each operator, in
the same run: `floor`, a kernel that moves as many rows and does nothing else, and a large copy. GB/s are the ideal
bytes (each input read once, each output written once, parameters once) by the median; `of copy` is their share of the
copy's rate.

Emulated targets (emu:gfx942 and its kind) are counted, not timed: one call that begins with empty caches. The table has
counts a token; JSON has them as `counted`, with `counts` (exact, of the call) and `per_token`:
  wave_instructions    all that waves executed (a dual issue is one), and of these:
    vector transcendental scalar scalar_memory global lds matrix other
  barriers             arrivals of waves
  lds_conflict_cycles  that bank conflicts add
  bytes_read bytes_written   asked for by active lanes
  scalar_bytes_read    by scalar loads, without kernels' arguments
  shared_bytes         of these three, those of parameters that all tokens share: fn, phi, weights of norms, scales, biases
  lines_touched        distinct cache lines of line_bytes
  lines_missed         requests that the modelled last-level cache does not hold
missed_bytes_per_ideal_byte (`x ideal`) is lines_missed * line_bytes by the ideal bytes.
data_bytes_per_ideal_byte (`data x ideal`) is bytes_read + bytes_written + scalar_bytes_read - shared_bytes by
ideal_data_bytes, the ideal bytes without parameters: what is asked for of streams, layer_input, outputs, coefficients and
the workspace. emulator/COUNTERS.md has the models.

Example:
  mhc-bench --op pre_fwd,post_fwd --target auto,host --tokens 320,512 --hidden-dim 1280,1920 --output now.json
  mhc-bench --op post_fwd --tokens 8192 --hidden-dim 4096 --set preset=deepseek --baseline now.json
  mhc-bench --op post_fwd,pre_fwd --target emu:gfx942 --tokens 128 --hidden-dim 4096 --json

Exit codes: 0 done; 1 the operation failed; 2 bad arguments, a bad file, or a target that cannot be here.)";

void declare(CLI::App& app, bench_arguments& args)
{
    app.set_help_flag("-?,-h,--help", "Print this help message and exit");
    app.add_option("--op", args.ops, "Operators, or all (default: pre_fwd,post_fwd)")->type_name("OP[,OP]");
    app.add_option("--target", args.targets,
                   "Targets: auto, host, or architectures, emu:gfx942 (default: MHC_JIT_TARGET, else auto)")
        ->type_name("T[,T]");
    app.add_option("--tokens,--batch-sizes", args.tokens,
                   "Token counts (default rows, TOKENSxHIDDEN_DIM: 320x1280, 512x1920, 256x2560)")
        ->type_name("N[,N]");
    app.add_option("--hidden-dim,--hidden-dims", args.hidden_dims, "Hidden dimensions (default rows: the same)")
        ->type_name("N[,N]");
    app.add_option("--n-streams", args.n_streams, "Numbers of streams, 1 to 32 (default: 4)")->type_name("N[,N]");
    app.add_option("--dtype", args.dtypes, "Data types: bf16, fp16, fp32 (default: bf16)")->type_name("TYPE[,TYPE]");
    app.add_option("--set", args.settings, "Options of the operators, such as preset=deepseek (see mhc-eval --list)")
        ->type_name("NAME=VALUE");
    app.add_option("--warmup", args.warmup, "Replays (calls, on host) before timing (default: 3)")->type_name("N");
    app.add_option("--iters", args.iters, "Replays (calls, on host) that are timed (default: 20; 50 on host)")
        ->type_name("N");
    app.add_option("--copy-mb", args.copy_mb, "GPUs: megabytes that the large copy reads (default: 1024)")->type_name("MB");
    app.add_option("--output", args.output, "Write the results as JSON to this file")->type_name("FILE.json");
    app.add_option("--baseline", args.baseline, "Compare with the medians of a file that --output wrote")
        ->type_name("FILE.json");
    app.add_flag("--overlap", args.may_overlap,
                 "Each call may start before the one ahead has ended (compiled_layer::overlapping; NVIDIA from sm_90 on)");
    app.add_flag("--first-use", args.is_first_use, "Time layer() too, with an empty and with a full cache");
    app.add_option("--last-level-cache-mb", args.last_level_cache_mb,
                   "Emulated targets: size of the modelled last-level cache, 0 for none (default: the processor's)")
        ->type_name("MB");
    app.add_flag("--emulator-speed", args.wants_emulator_speed,
                 "Emulated targets: print how many wave instructions the emulator executes a second of CPU time");
    app.add_flag("--json", args.is_json, "Print the results as one JSON object instead of a table");
    add_cache_flag(app, args.engine);
    add_compiler_flags(app, args.engine);
    app.footer(examples);
}

jit::engine_options options_for(const bench_arguments& args, const std::string& target)
{
    engine_flags flags = args.engine;
    if (!target.empty()) flags.target = target;
    return options_of(flags);
}

void measure_all(const std::vector<bench_case>& cases, const repetition& asked, const counting_request& counting,
                 std::int64_t copy_bytes, bench_report& report)
{
    progress_line progress;
    random_source random;
    const std::size_t targets = report.targets.size() + report.counted_targets.size();
    const int total = static_cast<int>(cases.size() * targets + report.targets.size());
    int done = 0;
    const auto show = [&](const bench_target& target, const bench_case& what) {
        progress.show(target.name, done++, total,
                      fmt::format("{} {}x{}", jit::to_string(what.op), what.tokens, what.spec.hidden_dim));
    };
    for (bench_target& target : report.targets) {
        progress.show(target.name, done++, total, "copy");
        target.copy_gbps = measure_copy(target, copy_bytes, random, asked);
    }
    for (const bench_case& what : cases) {
        for (bench_target& target : report.targets) {
            show(target, what);
            report.rows.push_back(measure(target, what, random, asked));
        }
        for (bench_target& target : report.counted_targets) {
            show(target, what);
            report.counted.push_back(count(target, what, random, counting));
        }
    }
}

void open_targets(const bench_arguments& args, const std::vector<std::string>& names, bench_report& report)
{
    for (const std::string& name : names) {
        bench_target target = open_target(options_for(args, name));
        (counts_instead_of_timing(target) ? report.counted_targets : report.targets).push_back(std::move(target));
    }
    check_options_apply(args, !report.targets.empty(), !report.counted_targets.empty());
}

int bench(const bench_arguments& args, const std::string& command)
{
    const std::vector<bench_case> cases = cases_of(args);
    const std::vector<std::string> targets = targets_of(args);
    const repetition asked = repetition_of(args);
    const counting_request counting = counting_of(args);
    if (!args.output.empty()) pending_files::check(args.output);

    bench_report report;
    report.may_overlap = args.may_overlap;
    report.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::now()));
    report.command = command;
    if (!args.baseline.empty()) report.earlier.emplace(args.baseline);
    open_targets(args, targets, report);
    if (report.earlier) report.earlier->check_covers(cases, report.targets);

    if (args.is_first_use)
        for (const std::string& target : targets)
            for (first_use_row& row : time_first_uses(options_for(args, target), cases))
                report.first_uses.push_back(std::move(row));
    measure_all(cases, asked, counting, copy_bytes_of(args), report);

    if (!args.output.empty()) {
        pending_files files;
        files.make_folders(std::filesystem::path(args.output).parent_path().string());
        files.add(args.output, report_json(report));
        files.commit();
    }
    print(args.is_json ? report_json(report) : report_text(report));
    return exit_ok;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    CLI::App app("Times operators beside a floor kernel of the same traffic, on any targets.", "mhc-bench");
    mhc::tools::bench_arguments args;
    mhc::tools::declare(app, args);
    std::string command = "mhc-bench";
    for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
    return mhc::tools::run_tool(app, argc, argv, [&] { return mhc::tools::bench(args, command); });
}
