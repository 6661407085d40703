// tools/mhc-tune/report.cpp -- what was measured, as a table for people and as JSON.
#include "tools/mhc-tune/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mhc/jit/version.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using ordered = nlohmann::ordered_json;

ordered choices_json(const jit::tuning& choices)
{
    ordered made = ordered::object();
    for (const jit::tuning_choice& choice : jit::tuning_choices)
        if (const std::int32_t value = choices.*choice.value; value != 0) made[std::string(choice.name)] = value;
    return made;
}

std::string verdict(const tune_report& report, const tune_result& result)
{
    const timed_candidate& best = result.candidates[static_cast<std::size_t>(result.best)];
    const std::string spread = fmt::format("two timings of the default differ by {:.1f} %", 100 * result.spread);
    if (result.candidates.size() == 1) return "nothing to choose";
    if (!result.wins) return fmt::format("default kept: {}, and nothing wins by more", spread);
    return fmt::format("{} wins by {:.1f} %; {}; {}", to_text(best.choices), 100 * (1 - best.ratio), spread,
                       report.stores ? "stored" : "not stored");
}

std::string result_text(const tune_report& report, const tune_result& result)
{
    const jit::layer_spec& spec = result.what.what.spec;
    std::vector<std::string> head = {"candidate"};
    for (const std::int64_t tokens : result.what.tokens) head.push_back(fmt::format("T={} us", tokens));
    head.emplace_back("x default");
    std::vector<std::vector<std::string>> table = {std::move(head)};
    for (const timed_candidate& one : result.candidates) {
        std::vector<std::string> cells = {to_text(one.choices)};
        for (const double us : one.median_us) cells.push_back(fmt::format("{:.2f}", us));
        cells.push_back(fmt::format("{:.3f}", one.ratio));
        table.push_back(std::move(cells));
    }
    return fmt::format("{} n_streams={} hidden_dim={} {}: {}\n{}", jit::to_string(result.what.what.op), spec.n_streams,
                       spec.hidden_dim, jit::to_string(spec.dtype), verdict(report, result), table_text(table));
}

ordered result_json(const tune_report& report, const tune_result& result)
{
    const jit::layer_spec& spec = result.what.what.spec;
    ordered list = ordered::array();
    for (const timed_candidate& one : result.candidates)
        list.push_back(
            {{"choices", choices_json(one.choices)}, {"median_us", one.median_us}, {"ratio_to_default", one.ratio}});
    return {{"op", jit::to_string(result.what.what.op)}, {"n_streams", spec.n_streams},  {"hidden_dim", spec.hidden_dim},
            {"dtype", jit::to_string(spec.dtype)},       {"tokens", result.what.tokens}, {"candidates", std::move(list)},
            {"spread_of_default", result.spread},        {"best", result.best},          {"wins", result.wins},
            {"stored", result.wins && report.stores}};
}

}  // namespace

std::string tune_json(const tune_report& report)
{
    ordered results = ordered::array();
    for (const tune_result& result : report.results) results.push_back(result_json(report, result));
    const ordered whole = {{"version", jit::version()},   {"device", report.device},     {"target", report.target},
                           {"date", report.date},         {"command", report.command},   {"table", report.table},
                           {"imported", report.imported}, {"exported", report.exported}, {"results", std::move(results)}};
    return whole.dump(2, ' ', false, ordered::error_handler_t::replace) + '\n';
}

std::string tune_text(const tune_report& report)
{
    std::string text;
    if (!report.results.empty()) text += fmt::format("{}: {}; table {}\n", report.target, report.device, report.table);
    for (const tune_result& result : report.results) text += '\n' + result_text(report, result);
    return text;
}

}  // namespace mhc::tools
