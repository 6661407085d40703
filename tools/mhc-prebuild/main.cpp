// tools/mhc-prebuild/main.cpp -- compiles a catalogue for several architectures into databases that ship with a program.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <mhc/jit/prebuild.hpp>

#include "tools/common/engine_flags.hpp"
#include "tools/common/progress.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-prebuild/request.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

constexpr int exit_nothing = 2;
constexpr int exit_architecture = 3;

struct arguments {
    prebuild_flags flags;
    std::string out_dir = "prebuilt", signing_key_file;
    std::vector<std::string> merged_files;
    bool is_check = false, is_json = false;
    engine_flags engine;
};

/// What became of one architecture.
struct outcome {
    jit::prebuild_report report;
    std::optional<jit::failure> why;  ///< no report then
    bool is_complete() const
    {
        return !why && report.kernels_failed == 0 && report.kernels_produced == report.kernels_expected;
    }
};

constexpr const char* examples =
    R"(Needs no GPU. Writes DIR/mhc_ARCH.db and DIR/mhc_ARCH.json for each architecture; nothing for one of which a kernel
failed. Levels, as in AITER, are not nested: 0 nothing (JIT only); 1 forward and backward; 2 every forward operator
(the default); 3 the default operators of the n = 4 bf16 rows. --operators is the unambiguous spelling.
A shapes file has a spec a line: hidden_dim=4096 n_streams=4 dtype=bf16 [preset=deepseek ...] [operators=pre_fwd,post_fwd]
Variables: GPU_ARCHS, PREBUILD_KERNELS, MAX_JOBS; with MHC_ before the name they win over these, and flags over both.

Example:
  mhc-prebuild --archs "gfx90a;gfx942" --level 3 --out prebuilt
  GPU_ARCHS=gfx942 PREBUILD_KERNELS=2 MAX_JOBS=8 mhc-prebuild --json
  mhc-prebuild --archs gfx942 --shapes shapes.txt --out prebuilt --check
  mhc-prebuild --merge one/mhc_gfx942.db two/mhc_gfx942.db --out prebuilt --sign key.pem

A signing key: openssl genpkey -algorithm ed25519 -out key.pem; its public half, which a program demands by
engine_options::prebuilt_key or MHC_JIT_PREBUILT_KEY: openssl pkey -in key.pem -pubout -out public.pem

Exit codes: 0 complete (and level 0, which says "JIT only"); 1 some failed, or --check found some missing; 2 nothing was
produced, or bad arguments; 3 an unsupported or undetectable architecture.)";

void declare(CLI::App& app, arguments& args)
{
    app.add_option("--archs", args.flags.archs,
                   "Architectures, ';' or ',' between; native, all (default: GPU_ARCHS, else native)")
        ->type_name("ARCHS");
    CLI::Option* level =
        app.add_option("--level", args.flags.level, "0 to 3 (default: PREBUILD_KERNELS, else 2)")->type_name("N");
    app.add_option("--operators", args.flags.operators, "forward, backward, tune, all or operators' names, ',' between")
        ->type_name("LIST")
        ->excludes(level);
    app.add_option("--shapes", args.flags.shapes, "A file of specs instead of the catalogue")->type_name("FILE");
    app.add_option("--jobs", args.flags.jobs, "Compilations at once (default: MAX_JOBS, else from CPUs and memory)")
        ->type_name("N");
    app.add_option("--out", args.out_dir, "Folder of the databases (default: prebuilt)")->type_name("DIR");
    app.add_option("--sign", args.signing_key_file,
                   "Sign each manifest with this Ed25519 private key, into mhc_ARCH.json.sig")
        ->type_name("KEY.pem");
    CLI::Option* const merge = app.add_option("--merge", args.merged_files,
                                              "Compile nothing: put the objects of these databases of one architecture, "
                                              "made on several machines, into one")
                                   ->type_name("FILE...");
    for (const char* other : {"--archs", "--level", "--operators", "--shapes", "--jobs"}) merge->excludes(other);
    app.add_flag("--check", args.is_check, "Compile nothing: say whether DIR's databases hold every expected kernel")
        ->excludes("--sign")
        ->excludes(merge);
    app.add_flag("--json", args.is_json, "Print one JSON object on standard output");
    app.add_option("--backend", args.engine.backend, "Compiler: auto, hiprtc or clang (default: MHC_JIT_BACKEND, else auto)")
        ->type_name("NAME");
    app.footer(examples);
}

std::vector<std::string> parse_archs(const std::string& text)
{
    const auto archs = jit::parse_gpu_archs(text);
    if (!archs) throw tool_error(exit_architecture, archs.error().message);
    return *archs;
}

jit::prebuild_options options_for(const arguments& args)
{
    jit::prebuild_options options;
    options.out_dir = args.out_dir;
    options.check_only = args.is_check;
    options.engine = options_of(args.engine);
    if (args.signing_key_file.empty()) return options;
    std::ifstream file(args.signing_key_file, std::ios::binary);
    options.signing_key.assign(std::istreambuf_iterator<char>(file), {});
    if (!file || options.signing_key.empty())
        fail_usage(
            fmt::format("--sign {}: cannot be read; name a PEM file with an Ed25519 private key", args.signing_key_file));
    return options;
}

outcome build_one(const std::string& arch, const prebuild_request& request, jit::prebuild_options options,
                  progress_line& progress)
{
    options.jobs_max = request.jobs;
    options.progress = [&](int done, int total, std::string_view what) { progress.show(arch, done, total, what); };
    const auto report = jit::prebuild(arch, request.items, options);
    progress.clear();
    if (report) return {*report, std::nullopt};
    outcome failed{{}, report.error()};
    failed.report.target = arch;
    return failed;
}

int exit_code(const std::vector<outcome>& outcomes, bool is_check)
{
    const auto is_unsupported = [](const outcome& one) { return one.why && one.why->code == jit::errc::unsupported_target; };
    const auto has_some = [](const outcome& one) { return one.report.kernels_produced > 0; };
    if (std::any_of(outcomes.begin(), outcomes.end(), is_unsupported)) return exit_architecture;
    if (std::all_of(outcomes.begin(), outcomes.end(), [](const outcome& one) { return one.is_complete(); })) return exit_ok;
    return is_check || std::any_of(outcomes.begin(), outcomes.end(), has_some) ? exit_failed : exit_nothing;
}

std::string outcome_text(const outcome& one, bool is_check)
{
    const jit::prebuild_report& report = one.report;
    std::string text =
        fmt::format("{}: {} of {} kernel(s)", report.target, report.kernels_produced, report.kernels_expected);
    if (is_check) {
        text += one.is_complete() ? ", none missing\n" : fmt::format(", {} missing:\n", report.kernels_failed);
    } else if (one.is_complete()) {
        text += fmt::format(", {} in {:.1f} s -> {}\n", bytes_text(report.bytes), report.seconds, report.database);
    } else {
        text += fmt::format(", {} failed; nothing was installed:\n", report.kernels_failed);
    }
    for (const std::string& line : report.failures) text += fmt::format("  {}\n", line);
    return text;
}

json outcome_json(const outcome& one)
{
    const jit::prebuild_report& report = one.report;
    json value = {{"target", report.target},
                  {"complete", one.is_complete()},
                  {"database", report.database},
                  {"manifest", report.manifest},
                  {"kernels_expected", report.kernels_expected},
                  {"kernels_produced", report.kernels_produced},
                  {"kernels_failed", report.kernels_failed},
                  {"seconds", report.seconds},
                  {"bytes", report.bytes},
                  {"failures", report.failures}};
    if (!report.signature.empty()) value["signature"] = report.signature;
    if (one.why) value["error"] = one.why->message;
    return value;
}

int print_json(int level, const std::string& out_dir, const std::vector<outcome>& outcomes, int code)
{
    json list = json::array();
    for (const outcome& one : outcomes) list.push_back(outcome_json(one));
    json report = {{"level", level}, {"complete", code == exit_ok}, {"out", out_dir}, {"targets", std::move(list)}};
    if (level == 0) report["message"] = "JIT only";
    print(report.dump(2, ' ', false, json::error_handler_t::replace) + '\n');
    return code;
}

int merge(const arguments& args)
{
    const outcome merged{jit::merge_prebuilt(args.merged_files, options_for(args)).value(), std::nullopt};
    print(args.is_json ? outcome_json(merged).dump(2, ' ', false, json::error_handler_t::replace) + '\n'
                       : outcome_text(merged, false));
    return exit_ok;
}

int build(const arguments& args)
{
    if (!args.merged_files.empty()) return merge(args);
    const prebuild_request request = resolve_request(args.flags);
    if (request.level == 0) {
        if (args.is_json) return print_json(0, args.out_dir, {}, exit_ok);
        print("JIT only: nothing is prebuilt at level 0\n");
        return exit_ok;
    }
    for (const std::string& kind : request.not_yet) {
        const std::string note = fmt::format("no {} kernels exist yet", kind);
        if (request.items.empty())
            throw tool_error(exit_nothing, note + ", and nothing else was asked for; use --operators forward");
        print_error("mhc-prebuild", note + "; the rest is built");
    }
    const std::vector<std::string> archs = parse_archs(request.archs);
    const jit::prebuild_options options = options_for(args);

    std::vector<outcome> outcomes;
    progress_line progress;
    for (const std::string& arch : archs) {
        outcomes.push_back(build_one(arch, request, options, progress));
        const outcome& last = outcomes.back();
        if (last.why) print_error("mhc-prebuild", last.why->message);
        if (!last.why && !args.is_json) print(outcome_text(last, args.is_check));
    }
    const int code = exit_code(outcomes, args.is_check);
    return args.is_json ? print_json(request.level, args.out_dir, outcomes, code) : code;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    CLI::App app("Compiles kernels ahead of time into databases that ship with a program.", "mhc-prebuild");
    mhc::tools::arguments args;
    mhc::tools::declare(app, args);
    return mhc::tools::run_tool(app, argc, argv, [&] { return mhc::tools::build(args); });
}
