// tools/common/engine_flags.cpp -- the command-line flags that say which engine a tool works with.
#include "tools/common/engine_flags.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

jit::compiler_backend parse_backend(const std::string& name)
{
    if (name == "auto") return jit::compiler_backend::automatic;
    if (name == "hiprtc") return jit::compiler_backend::hiprtc;
    if (name == "clang") return jit::compiler_backend::clang;
    fail_usage(fmt::format("--backend {}: unknown; use auto, hiprtc or clang", name));
}

}  // namespace

void add_target_flag(CLI::App& app, engine_flags& flags)
{
    app.add_option("--target", flags.target, "host, or an architecture such as gfx942 (see mhc-show --toolchains)")
        ->type_name("TARGET");
}

void add_cache_flag(CLI::App& app, engine_flags& flags)
{
    app.add_option("--cache-dir", flags.cache_dir,
                   "Folder of the user database (default: MHC_JIT_DIR, else ~/.cache/mhc/v1)")
        ->type_name("DIR");
}

void add_compiler_flags(CLI::App& app, engine_flags& flags)
{
    app.add_option("--backend", flags.backend, "Compiler: auto, hiprtc or clang (default: MHC_JIT_BACKEND, else auto)")
        ->type_name("NAME");
    app.add_flag("--strict", flags.is_strict, "Never compile: what is in no database is an error");
}

jit::engine_options options_of(const engine_flags& flags)
{
    jit::engine_options options = jit::engine_options::from_environment().value();
    if (flags.target) {
        if (flags.target->empty()) fail_usage("--target '': empty; use host or an architecture such as gfx942");
        options.target = *flags.target;
    }
    if (flags.cache_dir) {
        if (flags.cache_dir->empty()) fail_usage("--cache-dir '': empty; name a folder");
        options.cache_dir = flags.cache_dir;
    }
    if (!flags.backend.empty()) options.backend = parse_backend(flags.backend);
    if (flags.is_strict) options.strict = true;
    return options;
}

}  // namespace mhc::tools
