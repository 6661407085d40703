// runtime/select_target.hpp -- which target an engine works on, and who loads its kernels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <mhc/jit/engine.hpp>

#include "codegen/target.hpp"
#include "runtime/loader.hpp"

namespace mhc::runtime {

struct selected_target {
    codegen::target on;
    std::unique_ptr<loader> by;
    std::vector<std::string> notes;  ///< INFO lines: what "auto" found, what a fallback replaced
};

/// "auto" is HIP, CUDA, host, in that order; a named target without a loader here fails naming what was tried, unless
/// `allow_fallback`. Errors: unsupported_target.
jit::result<selected_target> select_target(const jit::engine_options& options);

/// The target a name means for code generation: as codegen::parse_target, and "host" is this CPU.
jit::result<codegen::target> target_named(std::string_view name);

}  // namespace mhc::runtime
