// tools/mhc-show/main.cpp -- one operator of one spec on one target: launches, arguments, resources, source, assembly.
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/common/engine_flags.hpp"
#include "tools/common/files.hpp"
#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-show/report.hpp"
#include "tools/mhc-show/roofline.hpp"

namespace mhc::tools {
namespace {

struct arguments {
    std::string op, hidden_dim, n_streams, dtype;
    std::vector<std::string> settings;
    std::int64_t tokens = 1024;
    bool is_source = false, is_assembly = false, is_json = false, is_toolchains = false, is_support = false,
         is_roofline = false;
    std::string extract, gpu;
    engine_flags engine;
};

constexpr const char* examples =
    R"(Needs no GPU. Without --source, --asm or --extract: a table of the launches. With --json: one object, enough to
launch the code objects with any other loader; --source, --asm and --extract add to it what they say.
--extract writes the code object to FILE; an operator of several launches writes FILE with the launch's number before
its extension (pre.co becomes pre.0.co, pre.1.co), and the paths are printed.

Example:
  mhc-show --op post_fwd --hidden-dim 4096 --n-streams 4 --dtype bf16 --target gfx942
  mhc-show --op pre_fwd --hidden-dim 7168 --n-streams 4 --dtype bf16 --target gfx942 --set preset=deepseek --json
  mhc-show --op post_fwd --hidden-dim 4096 --tokens 512 --target gfx942 --roofline
  mhc-show --op post_fwd --hidden-dim 4096 --tokens 512 --gpu mi308x --roofline

Exit codes: 0 done; 1 the operation failed; 2 bad arguments, or a target that cannot be compiled for here.)";

void declare(CLI::App& app, arguments& args)
{
    app.add_option("--op", args.op, "The operator, such as post_fwd")->type_name("OP");
    app.add_option("--hidden-dim", args.hidden_dim, "Channels of a stream, C")->type_name("C");
    app.add_option("--n-streams", args.n_streams, "Streams of a token, n (default 4)")->type_name("N");
    app.add_option("--dtype", args.dtype, "Type of data: bf16 (default), fp16 or fp32")->type_name("TYPE");
    app.add_option("--set", args.settings, "Options of the spec, such as preset=deepseek")->type_name("OPTION=VALUE");
    app.add_option("--tokens", args.tokens, "Tokens the geometry and sizes are for (default 1024)")
        ->type_name("T")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
    CLI::Option* source = app.add_flag("--source", args.is_source, "Print the text the compiler sees; compiles nothing");
    CLI::Option* assembly = app.add_flag("--asm", args.is_assembly, "Print the machine code's assembly");
    CLI::Option* extract = app.add_option("--extract", args.extract, "Write the code object to FILE")->type_name("FILE");
    source->excludes(assembly)->excludes(extract);
    assembly->excludes(extract);
    app.add_flag("--json", args.is_json, "Print one JSON object on standard output");
    app.add_flag("--toolchains", args.is_toolchains, "Print the compilers found here and what they can compile for");
    app.add_flag("--support", args.is_support,
                 "Print which operators, types and shapes exist for which target, and what has run");
    CLI::Option* roofline =
        app.add_flag("--roofline", args.is_roofline,
                     "Emulate and count the operator, and print what bounds it by a model of the AMD GPU")
            ->excludes(source)
            ->excludes(assembly)
            ->excludes(extract);
    app.add_option("--gpu", args.gpu, "The product that --roofline is of, such as mi308x; --target may then be left out")
        ->type_name("NAME")
        ->needs(roofline);
    add_target_flag(app, args.engine);
    add_cache_flag(app, args.engine);
    add_compiler_flags(app, args.engine);
    app.footer(examples);
}

// The flags are settings with names of their own, so that one place checks both.
std::vector<setting> all_settings(const arguments& args)
{
    std::vector<std::string> texts = args.settings;
    if (!args.hidden_dim.empty()) texts.push_back("hidden_dim=" + args.hidden_dim);
    if (!args.n_streams.empty()) texts.push_back("n_streams=" + args.n_streams);
    if (!args.dtype.empty()) texts.push_back("dtype=" + args.dtype);
    return parse_settings(texts, "--set");
}

shown_operator asked(const arguments& args)
{
    if (args.op.empty()) fail_usage("--op is missing; name an operator, such as --op post_fwd");
    if (!args.engine.target)
        fail_usage("--target is missing; name one, such as --target gfx942 (see mhc-show --toolchains)");
    shown_operator shown;
    shown.op = jit::parse_operation(args.op).value();
    shown.tokens = args.tokens;
    shown.spec.wanted = {shown.op};
    const std::vector<setting> settings = all_settings(args);
    const auto is_size = [](const setting& next) { return next.name == "hidden_dim"; };
    if (std::none_of(settings.begin(), settings.end(), is_size))
        fail_usage("--hidden-dim is missing; give the channels of a stream, such as --hidden-dim 4096");
    apply_settings(shown.spec, shown.op, settings);
    jit::validate(shown.spec).value();
    return shown;
}

// pre.co -> pre.0.co, pre.1.co when there are several.
std::string extract_path(const std::string& file, std::size_t index, std::size_t count)
{
    if (count == 1) return file;
    const std::filesystem::path path(file);
    return (path.parent_path() / fmt::format("{}.{}{}", path.stem().string(), index, path.extension().string())).string();
}

void extract(const std::string& file, shown_operator& shown)
{
    pending_files files;
    const auto& launches = shown.description.launches;
    for (std::size_t i = 0; i < launches.size(); ++i) {
        shown.files.push_back(extract_path(file, i, launches.size()));
        files.add(shown.files.back(), launches[i].code_object);
    }
    files.commit();
}

std::string output(const arguments& args, const shown_operator& shown)
{
    if (args.is_json) return report_json(shown);
    std::string text;
    if (args.is_source)
        for (const jit::launch_description& launch : shown.description.launches) text += launch.source + '\n';
    if (args.is_assembly)
        for (const std::string& assembly : shown.assembly) text += assembly + '\n';
    for (const std::string& file : shown.files) text += file + '\n';
    return text.empty() ? report_text(shown) : text;
}

int show(arguments args)
{
    if (!args.gpu.empty()) {
        const std::string processor = processor_of_gpu(args.gpu);
        if (!args.engine.target) args.engine.target = processor;
    }
    const jit::engine_options options = options_of(args.engine);
    if (args.is_toolchains) {
        print(args.is_json ? toolchains_json(options) : toolchains_text(options));
        return exit_ok;
    }
    if (args.is_support) {
        print(args.is_json ? support_json(options) : support_text(options));
        return exit_ok;
    }
    shown_operator shown = asked(args);
    if (!args.extract.empty()) pending_files::check(args.extract);

    // Only --source alone can do without a compiler for the target.
    const bool is_compiled = args.is_json || !args.is_source;
    shown.description = jit::describe(shown.op, shown.spec, options.target, shown.tokens, is_compiled, options).value();
    shown.has_source = args.is_source;
    if (args.is_assembly)
        for (const jit::launch_description& launch : shown.description.launches)
            shown.assembly.push_back(jit::disassemble(shown.description.target, launch.code_object, options).value());
    if (!args.extract.empty()) extract(args.extract, shown);
    if (args.is_roofline) {
        print(args.is_json ? roofline_json(shown, options, args.gpu) : roofline_text(shown, options, args.gpu));
        return exit_ok;
    }
    print(output(args, shown));
    return exit_ok;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    CLI::App app("Shows one operator of one spec on one target: launches, arguments, resources, source, assembly.",
                 "mhc-show");
    mhc::tools::arguments args;
    mhc::tools::declare(app, args);
    return mhc::tools::run_tool(app, argc, argv, [&] { return mhc::tools::show(args); });
}
