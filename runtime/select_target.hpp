// runtime/select_target.hpp -- which target an engine works on, on which device, and what that device is.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/engine.hpp>

#include "codegen/target.hpp"
#include "runtime/gpu_driver.hpp"

namespace mhc::runtime {

struct selected_target {
    codegen::target on;                  ///< what kernels are compiled for
    std::shared_ptr<gpu_driver> driver;  ///< null: this process, on `host`
    std::optional<codegen::target>
        exact;                       ///< an AMD device's own id with its features, where `on` names the processor alone
    std::vector<std::string> notes;  ///< INFO lines: what "auto" found, what a fallback replaced

    /// The target as users name it: "host", "gfx942", "emu:gfx942".
    std::string name() const;
};

/// "auto" is HIP, CUDA, host, in that order; a named target that cannot run here fails naming what was tried, unless
/// `allow_fallback`. Errors: unsupported_target.
jit::result<selected_target> select_target(const jit::engine_options& options);

/// Whether a target is executed by the emulator: "emu:gfx942".
bool is_emulated(std::string_view name);

/// The target a name means for code generation: as codegen::parse_target, and "host" is this CPU; "emu:gfx942" is gfx942.
jit::result<codegen::target> target_named(std::string_view name);

/// Whether code for `on` runs on the device of this driver. Errors: unsupported_target, saying what the device is.
jit::result<void> runs_on(const codegen::target& on, const gpu_driver& driver);

/// The processors of all GPUs of this machine, each once. Empty: `why` says what was tried.
std::vector<std::string> native_targets(std::string* why);

}  // namespace mhc::runtime
