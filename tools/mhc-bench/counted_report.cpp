// tools/mhc-bench/counted_report.cpp -- one list of the counts' names, for JSON and for the table.
#include "tools/mhc-bench/counted_report.hpp"

#include <array>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

struct named_count {
    const char *field, *head;  ///< in JSON, above the column
    std::uint64_t jit::execution_counts::*value;
};
constexpr std::array names = {
    named_count{"vector", "VALU", &jit::execution_counts::vector},
    named_count{"transcendental", "trans", &jit::execution_counts::transcendental},
    named_count{"scalar", "SALU", &jit::execution_counts::scalar},
    named_count{"scalar_memory", "SMEM", &jit::execution_counts::scalar_memory},
    named_count{"global", "global", &jit::execution_counts::global},
    named_count{"lds", "LDS", &jit::execution_counts::lds},
    named_count{"matrix", "matrix", &jit::execution_counts::matrix},
    named_count{"other", "other", &jit::execution_counts::other},
    named_count{"barriers", "barriers", &jit::execution_counts::barriers},
    named_count{"lds_cycles", "LDS cycles", &jit::execution_counts::lds_cycles},
    named_count{"lds_conflict_cycles", "conflicts", &jit::execution_counts::lds_conflict_cycles},
    named_count{"bytes_read", "read B", &jit::execution_counts::bytes_read},
    named_count{"bytes_written", "written B", &jit::execution_counts::bytes_written},
    named_count{"scalar_bytes_read", "SMEM B", &jit::execution_counts::scalar_bytes_read},
    named_count{"shared_bytes", "shared B", &jit::execution_counts::shared_bytes},
    named_count{"lines_touched", "lines", &jit::execution_counts::lines_touched},
    named_count{"lines_missed", "missed", &jit::execution_counts::lines_missed},
};

/// Bytes that come from or go to memory behind the cache, against the least there are.
double missed_share(const counted_row& row)
{
    return static_cast<double>(row.counts.lines_missed) * static_cast<double>(row.cache.line_bytes) /
           static_cast<double>(row.ideal_bytes);
}

std::vector<std::string> head_of(bool has_speed)
{
    std::vector<std::string> head = {"a token", "tokens", "hidden_dim", "n", "dtype", "target", "instructions"};
    for (const named_count& each : names) head.emplace_back(each.head);
    head.emplace_back("x ideal");
    head.emplace_back("data x ideal");
    if (has_speed) head.emplace_back("emulated M/CPU s");
    return head;
}

}  // namespace

json counted_json(const counted_row& row)
{
    json whole = {{"wave_instructions", row.counts.wave_instructions()}};
    for (const named_count& each : names) whole[each.field] = row.counts.*each.value;
    json of_token;
    for (const auto& [field, value] : whole.items())
        of_token[field] = value.get<double>() / static_cast<double>(row.what.tokens);
    json made = {{"op", jit::to_string(row.what.op)},
                 {"tokens", row.what.tokens},
                 {"hidden_dim", row.what.spec.hidden_dim},
                 {"n_streams", row.what.spec.n_streams},
                 {"dtype", jit::to_string(row.what.spec.dtype)},
                 {"target", row.target},
                 {"ideal_bytes", row.ideal_bytes},
                 {"ideal_data_bytes", row.ideal_data_bytes},
                 {"last_level_cache_bytes", row.cache.bytes},
                 {"line_bytes", row.cache.line_bytes},
                 {"missed_bytes_per_ideal_byte", missed_share(row)},
                 {"data_bytes_per_ideal_byte", data_share(row)},
                 {"counts", std::move(whole)},
                 {"per_token", std::move(of_token)}};
    if (row.instructions_per_cpu_second != 0)
        made["emulator_wave_instructions_per_cpu_second"] = row.instructions_per_cpu_second;
    return made;
}

std::string counted_text(const std::vector<counted_row>& rows)
{
    const bool has_speed = !rows.empty() && rows.front().instructions_per_cpu_second != 0;
    std::vector<std::vector<std::string>> table = {head_of(has_speed)};
    for (const counted_row& row : rows) {
        const auto of_token = [&](std::uint64_t count) {
            return fmt::format("{:.1f}", static_cast<double>(count) / static_cast<double>(row.what.tokens));
        };
        std::vector<std::string> cells = {
            std::string(jit::to_string(row.what.op)),         fmt::to_string(row.what.tokens),
            fmt::to_string(row.what.spec.hidden_dim),         fmt::to_string(row.what.spec.n_streams),
            std::string(jit::to_string(row.what.spec.dtype)), row.target,
            of_token(row.counts.wave_instructions())};
        for (const named_count& each : names) cells.push_back(of_token(row.counts.*each.value));
        cells.push_back(fmt::format("{:.2f}", missed_share(row)));
        cells.push_back(fmt::format("{:.2f}", data_share(row)));
        if (has_speed) cells.push_back(fmt::format("{:.2f}", row.instructions_per_cpu_second / 1e6));
        table.push_back(std::move(cells));
    }
    return table_text(table);
}

}  // namespace mhc::tools
