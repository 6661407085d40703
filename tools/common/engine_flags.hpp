// tools/common/engine_flags.hpp -- the command-line flags that say which engine a tool works with.
#pragma once

#include <optional>
#include <string>

#include <mhc/jit/engine.hpp>

namespace CLI {
class App;
}

namespace mhc::tools {

/// Flags as given; absent ones leave the environment's choice.
struct engine_flags {
    std::optional<std::string> target;
    std::optional<std::string> cache_dir;
    std::string backend;  ///< empty: not given
    bool is_strict = false;
};

void add_target_flag(CLI::App& app, engine_flags& flags);     ///< --target
void add_cache_flag(CLI::App& app, engine_flags& flags);      ///< --cache-dir
void add_compiler_flags(CLI::App& app, engine_flags& flags);  ///< --backend, --strict

/// The environment's options, changed by the flags. Throws mhc::jit::exception.
jit::engine_options options_of(const engine_flags& flags);

}  // namespace mhc::tools
