// tools/mhc-show/toolchains.cpp -- the compilers found here, and what can be compiled for and run.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mhc/jit/engine.hpp>

#include "tools/common/tool.hpp"
#include "tools/mhc-show/report.hpp"

namespace mhc::tools {

using json = nlohmann::ordered_json;

std::string toolchains_text(const jit::engine_options& options)
{
    std::string text;
    for (const jit::toolchain_info& one : jit::toolchains(options)) {
        if (one.available) {
            text += fmt::format("{} {}\n  targets      {}\n  fingerprint  {}\n", one.name, one.version,
                                fmt::join(one.targets, " "), one.fingerprint);
        } else {
            text += fmt::format("{}: not available: {}\n", one.name, one.why_not);
        }
    }
    std::vector<std::vector<std::string>> rows = {{"target", "compile", "run", "compilers", "why not"}};
    std::string above;
    for (const jit::target_info& one : jit::targets(options)) {
        const bool is_repeated = !one.why_not.empty() && one.why_not == above;
        rows.push_back({one.name, one.can_compile ? "yes" : "no", one.can_run ? "yes" : "no", one.compilers,
                        is_repeated ? "as above" : one.why_not});
        above = one.why_not;
    }
    return text + '\n' + table_text(rows);
}

std::string toolchains_json(const jit::engine_options& options)
{
    json toolchains = json::array(), targets = json::array();
    for (const jit::toolchain_info& one : jit::toolchains(options))
        toolchains.push_back({{"name", one.name},
                              {"available", one.available},
                              {"version", one.version},
                              {"fingerprint", one.fingerprint},
                              {"targets", one.targets},
                              {"why_not", one.why_not}});
    for (const jit::target_info& one : jit::targets(options))
        targets.push_back({{"name", one.name},
                           {"can_compile", one.can_compile},
                           {"can_run", one.can_run},
                           {"compilers", one.compilers},
                           {"why_not", one.why_not}});
    const json report = {{"toolchains", std::move(toolchains)}, {"targets", std::move(targets)}};
    return report.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace mhc::tools
