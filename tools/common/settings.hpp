// tools/common/settings.hpp -- NAME=VALUE settings on a command line or in a shapes file, and the spec they make.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/spec.hpp>

namespace mhc::tools {

struct setting {
    std::string name, value;
};

/// "NAME=VALUE" as `--set` takes it. Fails with exit code 2 for anything else; `flag` names where it stood.
setting parse_setting(std::string_view text, std::string_view flag);

/// The same for a list, in which a name may stand once.
std::vector<setting> parse_settings(const std::vector<std::string>& texts, std::string_view flag);

/// Takes a setting that is the tool's own out of the list; its value, if it was there.
std::optional<std::string> take(std::vector<setting>& settings, std::string_view name);

/// The preset of an operator for which none was named: mhc_cu for mHC.cu's two layer operators, else paper.
jit::preset default_preset(jit::operation op) noexcept;

/// Applies settings to a spec, `preset` (or the operator's default) first, wherever it stood in the list. Does not
/// validate the whole. Throws mhc::jit::exception, or tool_error listing the names for one that is unknown; `own` are
/// further names that the tool itself takes, for that list.
void apply_settings(jit::layer_spec& spec, jit::operation op, const std::vector<setting>& settings,
                    const std::vector<std::string_view>& own = {});

/// What can be set, for help texts.
struct setting_description {
    std::string_view name;
    std::string_view allowed;  ///< such as "out_in, src_dst"
    bool (*of_operator)(jit::operation);

    /// A gradient has its operator's options.
    bool concerns(jit::operation op) const;
};
const std::vector<setting_description>& setting_descriptions();

}  // namespace mhc::tools
