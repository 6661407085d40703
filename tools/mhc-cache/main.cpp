// tools/mhc-cache/main.cpp -- looks into and looks after databases of code objects.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <mhc/jit/cache.hpp>

#include "tools/common/engine_flags.hpp"
#include "tools/common/files.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-cache/care.hpp"
#include "tools/mhc-cache/report.hpp"

namespace mhc::tools {
namespace {

struct arguments : care_arguments {
    engine_flags engine;
    std::string family, key, extract;
    bool is_yes = false;
};

constexpr const char* examples =
    R"(Looks at the user database (see --cache-dir), or at any other by --database, such as a prebuilt mhc_gfx942.db.

Example:
  mhc-cache list --target gfx942
  mhc-cache show 3fa1 --extract post.co
  mhc-cache verify --database prebuilt/mhc_gfx942.db
  mhc-cache why-miss --op post_fwd --hidden-dim 4096 --target gfx942
  mhc-cache export kernels.db && mhc-cache import kernels.db --cache-dir elsewhere

Exit codes: 0 done; 1 the operation failed, verify found damage, doctor something bad, export or import an object that
it refused, or why-miss a kernel that is not stored; 2 bad arguments, or no such database or object.)";

constexpr const char* stats_help =
    R"(--json prints one object:
  objects, bytes, uses, compile_ms   sums over all objects
  failures                           compile failures that are remembered and still hold
  by_target_and_compiler             a list: target, compiler, and their objects, bytes, uses, compile_ms
  events.counts                      how often, of the last 1000 events: quarantine (objects damaged, or not loaded),
                                     collision_or_tamper (objects of another key), evict (objects made room),
                                     corrupt (the database before this one was damaged as a whole)
  events.last                        the newest 20: at (seconds since 1970), kind, detail
The counters of a running process are its engine's: mhc::jit::engine::stats().)";

int info(const arguments& args, const jit::engine_options& options)
{
    const jit::cache_info found = jit::inspect_cache(options, args.database).value();
    print(args.is_json ? info_json(found) : info_text(found));
    return exit_ok;
}

// "gfx942" also stands for gfx942:xnack+, and "host" for every CPU's host:<features>.
bool is_target(const jit::stored_object& one, const std::string& wanted)
{
    return one.target == wanted || one.target.starts_with(wanted + ":");
}

int list(const arguments& args, const jit::engine_options& options)
{
    std::vector<jit::stored_object> objects = jit::list_cache(options, args.database).value();
    std::erase_if(objects, [&](const jit::stored_object& one) {
        return (!args.family.empty() && one.family != args.family) || (!args.target.empty() && !is_target(one, args.target));
    });
    print(args.is_json ? list_json(objects) : list_text(objects));
    return exit_ok;
}

int show(const arguments& args, const jit::engine_options& options)
{
    if (!args.extract.empty()) pending_files::check(args.extract);
    const jit::stored_object found = jit::find_in_cache(options, args.key, args.database).value();
    if (!args.extract.empty()) {
        pending_files files;
        files.add(args.extract, jit::code_object_of(options, found, args.database).value());
        files.commit();
    }
    print(args.is_json ? object_json(found) : object_text(found));
    return exit_ok;
}

int verify(const arguments& args, const jit::engine_options& options)
{
    const jit::verify_report report = jit::verify_cache(options, args.database).value();
    print(args.is_json ? verify_json(report) : verify_text(report));
    return report.damaged.empty() ? exit_ok : exit_failed;
}

bool is_confirmed(const arguments& args, const jit::cache_info& found)
{
    if (args.is_yes) return true;
    if (isatty(STDIN_FILENO) == 0) fail_usage("clear removes every object; add --yes to do so without being asked");
    // On standard error, so that --json leaves one object on standard output.
    fmt::print(stderr, "Remove {} object(s) from {}? [y/N] ", found.objects, found.path);
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

int clear(const arguments& args, const jit::engine_options& options)
{
    if (!args.database.empty())
        fail_usage(fmt::format("--database {}: clear empties the user database alone; delete the file to be rid of another",
                               args.database));
    const jit::cache_info found = jit::inspect_cache(options).value();
    if (!is_confirmed(args, found)) fail("nothing was removed");
    const std::int64_t removed = jit::clear_cache(options).value();
    if (args.is_json) {
        print(fmt::format("{{\"removed\": {}}}\n", removed));
    } else {
        print(fmt::format("{} object(s) removed\n", removed));
    }
    return exit_ok;
}

void add_common_flags(CLI::App& app, arguments& args)
{
    add_cache_flag(app, args.engine);
    app.add_flag("--json", args.is_json, "Print one JSON object on standard output");
    app.add_option("--database", args.database, "A database file instead of the user's")->type_name("FILE");
}

CLI::App* add_command(CLI::App& app, arguments& args, const char* name, const char* text)
{
    CLI::App* command = app.add_subcommand(name, text);
    add_common_flags(*command, args);
    return command;
}

void declare_care(CLI::App& app, arguments& args)
{
    const CLI::Range days(std::int64_t{0}, std::int64_t{36500});
    add_command(app, args, "doctor", "Look at the folder, locks, databases and compilers; say what is wrong");
    add_command(app, args, "stats", "Objects, bytes, uses and compile times by target and compiler; what happened")
        ->footer(stats_help);
    CLI::App* const prune = add_command(app, args, "prune", "Remove objects that nobody needs from the user database");
    prune->add_option("--stale-days", args.stale_days, "Unused so long, of a compiler that is gone (default 30)")
        ->type_name("DAYS")
        ->check(days);
    prune->add_option("--unused-days", args.unused_days, "Unused so long, of any compiler")->type_name("DAYS")->check(days);
    prune->add_option("--max-mb", args.max_mb, "Then the least recently used, down to this (default: the cache's limit)")
        ->type_name("MB")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 24));
    CLI::App* const to = add_command(app, args, "export", "Write every whole object to a database FILE, to be shipped");
    to->add_option("FILE", args.file, "The file to write")->required()->type_name("");
    CLI::App* const from = add_command(app, args, "import", "Add the objects of a database FILE to the user database");
    from->add_option("FILE", args.file, "The file to read")->required()->type_name("");
    from->add_flag("--trust", args.is_trusted, "Even if the file belongs to another user, or others may write it");
    CLI::App* const why =
        add_command(app, args, "why-miss", "Whether an operator's kernels are stored; if not, what differs");
    why->add_option("--op", args.op, "The operator, such as post_fwd")->required()->type_name("OP");
    why->add_option("--target", args.target, "host, or an architecture such as gfx942")->required()->type_name("TARGET");
    why->add_option("--hidden-dim", args.hidden_dim, "Channels of a stream, C")->type_name("C");
    why->add_option("--n-streams", args.n_streams, "Streams of a token, n (default 4)")->type_name("N");
    why->add_option("--dtype", args.dtype, "Type of data: bf16 (default), fp16 or fp32")->type_name("TYPE");
    why->add_option("--set", args.settings, "Options of the spec, such as preset=deepseek")->type_name("OPTION=VALUE");
}

/// -1: none of these commands.
int run_care(const CLI::App& app, const arguments& args, const jit::engine_options& options)
{
    if (app.got_subcommand("doctor")) return doctor(args, options);
    if (app.got_subcommand("stats")) return stats(args, options);
    if (app.got_subcommand("prune")) return prune(args, options);
    if (app.got_subcommand("export")) return export_objects(args, options);
    if (app.got_subcommand("import")) return import_objects(args, options);
    if (app.got_subcommand("why-miss")) return why_miss(args, options);
    return -1;
}

}  // namespace
}  // namespace mhc::tools

int main(int argc, char** argv)
{
    using namespace mhc::tools;
    CLI::App app("Looks into and looks after databases of code objects.", "mhc-cache");
    arguments args;
    add_common_flags(app, args);
    const CLI::App* const do_info = add_command(app, args, "info", "The database's place, state and sizes");
    CLI::App* const do_list = add_command(app, args, "list", "Every object, a line each");
    CLI::App* const do_show = add_command(app, args, "show", "Everything about one object");
    const CLI::App* const do_verify =
        add_command(app, args, "verify", "Read every object and check hash, architecture and symbol");
    CLI::App* const do_clear =
        add_command(app, args, "clear", "Remove every object and remembered failure of the user database");
    do_list->add_option("--target", args.target, "Only objects of this target")->type_name("TARGET");
    do_list->add_option("--family", args.family, "Only objects of this kernel family")->type_name("FAMILY");
    do_show->add_option("KEY", args.key, "The key's first 4 or more hex digits")->required()->type_name("");
    do_show->add_option("--extract", args.extract, "Write the code object to FILE")->type_name("FILE");
    do_clear->add_flag("--yes", args.is_yes, "Do not ask");
    declare_care(app, args);
    app.footer(examples);
    return run_tool(app, argc, argv, [&]() -> int {
        const mhc::jit::engine_options options = options_of(args.engine);
        if (*do_info) return info(args, options);
        if (*do_list) return list(args, options);
        if (*do_show) return show(args, options);
        if (*do_verify) return verify(args, options);
        if (*do_clear) return clear(args, options);
        if (const int code = run_care(app, args, options); code >= 0) return code;
        fail_usage("no command is named; mhc-cache --help lists them");
    });
}
