// tools/mhc-tune/main.cpp -- measures the candidates of a plan on the device and keeps what wins.
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/common/files.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-bench/counting.hpp"
#include "tools/mhc-tune/report.hpp"
#include "tools/mhc-tune/request.hpp"

namespace mhc::tools {
namespace {

constexpr const char* examples =
    R"(Candidates are other blocks, shares of a row and grids of the same kernels: at most 16 an operator, and none changes a bit
of a result. Each is timed as mhc-bench times an operator, on the same operands, which no cache holds, for every number of
tokens; the plan's own choices (`default`) are timed first and last. The ratio to the default is the geometric mean over the
tokens, the lower of its two timings counting. The least ratio is timed a second time, the higher timing counting, and is
stored where it still wins by more than the default's two timings differ.

Winners go to mhc_tuned.csv in the folder of the user database, a line for each target, operator, n_streams, hidden_dim and
dtype; engines made from then on plan by it. Lists are separated by commas. --export and --import without --op or --shapes
measure nothing.

Example:
  mhc-tune --op post_fwd,pre_fwd --shapes 4x4096xbf16,4x7168xbf16 --tokens 128,2048,8192
  mhc-tune --target host --op all --shapes 4x1280xbf16 --tokens 64 --export tuned.csv
  mhc-tune --import tuned.csv

Exit codes: 0 done; 1 the operation failed, or a line of an imported table is none (the others are stored); 2 bad arguments,
a bad file, or a target that cannot be here.)";

void declare(CLI::App& app, tune_arguments& args)
{
    add_target_flag(app, args.engine);
    app.add_option("--op", args.ops, "Operators, or all that have a choice (default: post_fwd,pre_fwd)")
        ->type_name("OP[,OP]");
    app.add_option("--shapes", args.shapes,
                   "Shapes: HIDDEN_DIM, N_STREAMSxHIDDEN_DIM or N_STREAMSxHIDDEN_DIMxDTYPE (default: 4x4096xbf16)")
        ->type_name("SHAPE[,SHAPE]");
    app.add_option("--tokens", args.tokens, "Token counts that share a choice (default: 128,2048,8192; on host 64,512)")
        ->type_name("N[,N]");
    app.add_option("--set", args.settings, "Options of the operators, such as preset=deepseek (see mhc-eval --list)")
        ->type_name("NAME=VALUE");
    app.add_option("--warmup", args.warmup, "Replays (calls, on host) before timing (default: 3)")->type_name("N");
    app.add_option("--iters", args.iters, "Replays (calls, on host) that are timed (default: 20; 50 on host)")
        ->type_name("N");
    app.add_flag("!--no-store", args.stores, "Measure and print, store nothing");
    app.add_option("--import", args.import_file, "Add the lines of this table to the user's first")->type_name("FILE.csv");
    app.add_option("--export", args.export_file, "Write the user's table to this file at the end")->type_name("FILE.csv");
    app.add_flag("--json", args.is_json, "Print the results as one JSON object instead of tables");
    add_cache_flag(app, args.engine);
    add_compiler_flags(app, args.engine);
    app.footer(examples);
}

std::string text_of(const std::string& path)
{
    std::string text;
    char part[4096];
    std::size_t count = 0;
    std::FILE* const file = std::fopen(path.c_str(), "rb");
    while (file != nullptr && (count = std::fread(part, 1, sizeof part, file)) != 0) text.append(part, count);
    if (file == nullptr || std::ferror(file) != 0)  // a folder opens, and fails at the first read
        fail_usage(fmt::format("--import {}: cannot be read: {}", path, std::strerror(errno)));
    std::fclose(file);
    return text;
}

/// Stores the good lines and says what is wrong with the others. The exit code.
int import_table(const tune_arguments& args, const jit::engine_options& options, tune_report& report)
{
    const jit::tuned_lines lines = jit::parse_tuned(text_of(args.import_file));
    for (const std::string& problem : lines.problems)
        print_error("mhc-tune", fmt::format("--import {}: {}; the line is left out", args.import_file, problem));
    if (lines.rows.empty() && lines.problems.empty())
        fail_usage(fmt::format("--import {}: has no lines; mhc-tune --export writes such a table", args.import_file));
    if (!lines.rows.empty()) jit::store_tuned(options, lines.rows).value();
    report.imported = static_cast<int>(lines.rows.size());
    return lines.problems.empty() ? exit_ok : exit_failed;
}

void export_table(const tune_arguments& args, const jit::engine_options& options, tune_report& report)
{
    const std::vector<jit::tuned_row> rows = jit::user_tuned(options).value().rows;
    pending_files files;
    files.make_folders(std::filesystem::path(args.export_file).parent_path().string());
    files.add(args.export_file, jit::format_tuned(rows));
    files.commit();
    report.exported = static_cast<int>(rows.size());
}

/// What would keep a winner from being stored is said before anything is timed.
void check_table(const jit::engine_options& options)
{
    if (options.read_only)
        fail_usage("MHC_JIT_READONLY: winners could not be stored; turn it off, or use --no-store to measure alone");
    const jit::tuned_lines lines = jit::user_tuned(options).value();
    if (!lines.problems.empty())
        fail_usage(fmt::format("{}: {}; correct the line or remove it", jit::tuned_path(options), lines.problems.front()));
}

void measure_all(const tune_arguments& args, const jit::engine_options& options, tune_report& report)
{
    bench_arguments timing;
    timing.warmup = args.warmup;
    timing.iters = args.iters;
    const repetition asked = repetition_of(timing);
    bench_target target = open_target(options);
    if (counts_instead_of_timing(target))
        fail_usage(
            fmt::format("--target {}: an emulator has no times to choose by; tune on the GPU itself (mhc-bench counts "
                        "what an emulated target executes)",
                        target.name));
    report.target = target.name;
    report.device = target.device->name();
    const std::vector<tune_case> cases = tune_cases_of(args, target.name);
    if (report.stores) check_table(options);
    progress_line progress;
    random_source random;
    int done = 0;
    for (const tune_case& next : cases) {
        const auto show = [&](const std::string& what) {
            progress.show(target.name, done, static_cast<int>(cases.size()), what);
        };
        report.results.push_back(tune(target, next, random, asked, show));
        const tune_result& result = report.results.back();
        // At once, so that an operator that fails later costs nothing that was measured.
        if (result.wins && report.stores)
            jit::store_tuned(options, {result.row(jit::tuned_target(target.name).value())}).value();
        ++done;
    }
}

int run(const tune_arguments& args, const std::string& command)
{
    const jit::engine_options options = options_of(args.engine);
    if (!args.export_file.empty()) pending_files::check(args.export_file);
    tune_report report;
    report.date = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::now()));
    report.command = command;
    report.table = jit::tuned_path(options);
    report.stores = args.stores;
    int code = exit_ok;
    if (!args.import_file.empty()) code = import_table(args, options, report);
    if (args.measures()) measure_all(args, options, report);
    if (!args.export_file.empty()) export_table(args, options, report);
    if (args.is_json)
        print(tune_json(report));
    else {
        std::string text = tune_text(report);
        if (!args.import_file.empty()) text += fmt::format("{}: {} lines stored\n", report.table, report.imported);
        if (!args.export_file.empty()) text += fmt::format("{}: {} lines written\n", args.export_file, report.exported);
        print(text);
    }
    return code;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    CLI::App app("Measures the candidates of a plan on the device and keeps what wins.", "mhc-tune");
    mhc::tools::tune_arguments args;
    mhc::tools::declare(app, args);
    std::string command = "mhc-tune";
    for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
    return mhc::tools::run_tool(app, argc, argv, [&] { return mhc::tools::run(args, command); });
}
