// tools/mhc-bench/report.cpp -- results as JSON and as a table, and an earlier file of them to compare with.
#include "tools/mhc-bench/report.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mhc/jit/version.hpp>

#include "tools/common/tool.hpp"
#include "tools/mhc-bench/counted_report.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

std::string identity(std::string_view op, std::int64_t tokens, std::int64_t hidden_dim, std::int64_t n_streams,
                     std::string_view type, std::string_view target)
{
    return fmt::format("{} {} {} {} {} {}", op, tokens, hidden_dim, n_streams, type, target);
}

std::string identity(const bench_case& what, std::string_view target)
{
    return identity(jit::to_string(what.op), what.tokens, what.spec.hidden_dim, what.spec.n_streams,
                    jit::to_string(what.spec.dtype), target);
}

std::string read_text(const std::string& path)
{
    std::string text;
    std::array<char, 4096> part;
    std::FILE* const file = std::fopen(path.c_str(), "rb");
    std::size_t count = 0;
    while (file != nullptr && (count = std::fread(part.data(), 1, part.size(), file)) != 0) text.append(part.data(), count);
    if (file == nullptr || std::ferror(file) != 0)  // a folder opens, and fails at the first read
        fail_usage(fmt::format("--baseline {}: cannot be read: {}", path, std::strerror(errno)));
    std::fclose(file);
    return text;
}

std::string device_names(const bench_report& report)
{
    std::vector<std::string> names;
    for (const bench_target& target : report.targets) names.push_back(target.device->name());
    for (const bench_target& target : report.counted_targets) names.push_back(target.device->name());
    return fmt::format("{}", fmt::join(names, ", "));
}

json row_json(const bench_row& row)
{
    return {{"op", jit::to_string(row.what.op)},
            {"tokens", row.what.tokens},
            {"hidden_dim", row.what.spec.hidden_dim},
            {"n_streams", row.what.spec.n_streams},
            {"dtype", jit::to_string(row.what.spec.dtype)},
            {"target", row.target},
            {"median_us", row.time.median_us},
            {"p10_us", row.time.p10_us},
            {"p90_us", row.time.p90_us},
            {"floor_us", row.floor_us},
            {"ideal_bytes", row.ideal_bytes},
            {"gbps", row.gbps},
            {"share_of_copy", row.share_of_copy}};
}

json first_use_json(const first_use_row& row)
{
    return {{"op", jit::to_string(row.what.op)},
            {"hidden_dim", row.what.spec.hidden_dim},
            {"n_streams", row.what.spec.n_streams},
            {"dtype", jit::to_string(row.what.spec.dtype)},
            {"target", row.target},
            {"kernels", row.kernels},
            {"empty_ms", row.empty_ms},
            {"full_ms", row.full_ms}};
}

std::vector<std::string> head_of(const bench_report& report)
{
    std::vector<std::string> head = {"op",     "tokens", "hidden_dim", "n",       "dtype",    "target", "median us",
                                     "p10 us", "p90 us", "floor us",   "x floor", "ideal MB", "GB/s",   "of copy"};
    if (report.targets.size() > 1) head.push_back("speed-up to " + report.targets.front().name);
    if (report.earlier) head.emplace_back("speed-up to baseline");
    return head;
}

std::string first_use_text(const bench_report& report)
{
    std::vector<std::vector<std::string>> table = {
        {"first use", "hidden_dim", "n", "dtype", "target", "kernels", "empty cache ms", "full cache ms"}};
    for (const first_use_row& row : report.first_uses)
        table.push_back({std::string(jit::to_string(row.what.op)), fmt::to_string(row.what.spec.hidden_dim),
                         fmt::to_string(row.what.spec.n_streams), std::string(jit::to_string(row.what.spec.dtype)),
                         row.target, fmt::to_string(row.kernels), fmt::format("{:.1f}", row.empty_ms),
                         fmt::format("{:.2f}", row.full_ms)});
    return '\n' + table_text(table);
}

std::string times_text(const bench_report& report)
{
    std::string text;
    for (const bench_target& target : report.targets)
        text += fmt::format("{}: {}, copy {:.0f} GB/s (read and written)\n", target.name, target.device->name(),
                            target.copy_gbps);
    if (report.may_overlap) text += "Each call may start before the one ahead has ended.\n";
    std::vector<std::vector<std::string>> table = {head_of(report)};
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
        const bench_row& row = report.rows[i];
        std::vector<std::string> cells = {std::string(jit::to_string(row.what.op)),
                                          fmt::to_string(row.what.tokens),
                                          fmt::to_string(row.what.spec.hidden_dim),
                                          fmt::to_string(row.what.spec.n_streams),
                                          std::string(jit::to_string(row.what.spec.dtype)),
                                          row.target,
                                          fmt::format("{:.2f}", row.time.median_us),
                                          fmt::format("{:.2f}", row.time.p10_us),
                                          fmt::format("{:.2f}", row.time.p90_us),
                                          fmt::format("{:.2f}", row.floor_us),
                                          fmt::format("{:.2f}", row.time.median_us / row.floor_us),
                                          fmt::format("{:.3f}", static_cast<double>(row.ideal_bytes) / 1e6),
                                          fmt::format("{:.1f}", row.gbps),
                                          fmt::format("{:.2f}", row.share_of_copy)};
        if (report.targets.size() > 1) cells.push_back(fmt::format("{:.2f}", report.speedup_to_first(i)));
        if (report.earlier) {
            const auto speedup = report.speedup_to_baseline(i);
            cells.push_back(speedup ? fmt::format("{:.2f}", *speedup) : "-");
        }
        table.push_back(std::move(cells));
    }
    return text + table_text(table);
}

std::string counts_text(const bench_report& report)
{
    std::string text;
    for (std::size_t i = 0; i < report.counted_targets.size(); ++i) {
        const bench_target& target = report.counted_targets[i];
        const jit::modelled_cache& cache = report.counted[i].cache;  // the first case's rows are in the targets' order
        text += fmt::format("{}: {}: counted, not timed; last-level cache {}, lines of {} bytes\n", target.name,
                            target.device->name(), bytes_text(cache.bytes), cache.line_bytes);
    }
    return text + counted_text(report.counted);
}

}  // namespace

baseline::baseline(const std::string& path) : path_(path)
{
    const std::string text = read_text(path);
    try {
        const json rows = json::parse(text).at("rows");
        for (const json& row : rows)
            medians_[identity(row.at("op").get<std::string>(), row.at("tokens").get<std::int64_t>(),
                              row.at("hidden_dim").get<std::int64_t>(), row.at("n_streams").get<std::int64_t>(),
                              row.at("dtype").get<std::string>(), row.at("target").get<std::string>())] =
                row.at("median_us").get<double>();
    } catch (const json::exception& e) {
        fail_usage(fmt::format("--baseline {}: is no file that mhc-bench --output wrote ({})", path, e.what()));
    }
    if (medians_.empty()) fail_usage(fmt::format("--baseline {}: has no rows; write one with --output", path));
}

std::optional<double> baseline::median_us(const bench_row& row) const
{
    const auto found = medians_.find(identity(row.what, row.target));
    return found == medians_.end() ? std::nullopt : std::optional(found->second);
}

void baseline::check_covers(const std::vector<bench_case>& cases, const std::vector<bench_target>& targets) const
{
    for (const bench_target& target : targets)
        for (const bench_case& what : cases)
            if (medians_.contains(identity(what, target.name))) return;
    fail_usage(
        fmt::format("--baseline {}: has none of the rows asked for, such as {} with {} tokens, hidden_dim {} on {}; it "
                    "has '{}', ...",
                    path_, jit::to_string(cases.front().op), cases.front().tokens, cases.front().spec.hidden_dim,
                    targets.front().name, medians_.begin()->first));
}

double bench_report::speedup_to_first(std::size_t row) const
{
    const std::size_t first = row / targets.size() * targets.size();
    return rows[first].time.median_us / rows[row].time.median_us;
}

std::optional<double> bench_report::speedup_to_baseline(std::size_t row) const
{
    const auto before = earlier->median_us(rows[row]);
    return before ? std::optional(*before / rows[row].time.median_us) : std::nullopt;
}

std::string report_json(const bench_report& report)
{
    json copies = json::object(), rows = json::array();
    for (const bench_target& target : report.targets) copies[target.name] = target.copy_gbps;
    for (const bench_row& row : report.rows) rows.push_back(row_json(row));
    json whole = {{"version", jit::version()}, {"device", device_names(report)}, {"date", report.date},
                  {"command", report.command}, {"may_overlap", report.may_overlap}, {"copy_gbps", std::move(copies)}, {"rows", std::move(rows)}};
    if (report.targets.size() > 1)
        for (std::size_t i = 0; i < report.rows.size(); ++i)
            whole["speedup_to_first_target"].push_back(report.speedup_to_first(i));
    if (report.earlier) {
        whole["baseline"] = report.earlier->path();
        for (std::size_t i = 0; i < report.rows.size(); ++i) {
            const auto speedup = report.speedup_to_baseline(i);
            whole["speedup_to_baseline"].push_back(speedup ? json(*speedup) : json());
        }
    }
    for (const counted_row& row : report.counted) whole["counted"].push_back(counted_json(row));
    for (const first_use_row& row : report.first_uses) whole["first_use"].push_back(first_use_json(row));
    return whole.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string report_text(const bench_report& report)
{
    std::string text;
    if (!report.rows.empty()) text += times_text(report);
    if (!report.rows.empty() && !report.counted.empty()) text += '\n';
    if (!report.counted.empty()) text += counts_text(report);
    return report.first_uses.empty() ? text : text + first_use_text(report);
}

}  // namespace mhc::tools
