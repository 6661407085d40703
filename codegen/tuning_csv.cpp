// codegen/tuning_csv.cpp -- tables of tuned choices as text: a line that is wrong says so and costs no other line.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "codegen/tuning.hpp"

namespace mhc::jit {
namespace {

using codegen::target;

constexpr std::array<std::string_view, 5> shape_columns = {"target", "operator", "n_streams", "hidden_dim", "dtype"};
constexpr std::array<std::string_view, 2> time_columns = {"us", "default_us"};

std::vector<std::string_view> all_columns()
{
    std::vector<std::string_view> names(shape_columns.begin(), shape_columns.end());
    for (const tuning_choice& choice : tuning_choices) names.push_back(choice.name);
    names.insert(names.end(), time_columns.begin(), time_columns.end());
    return names;
}

std::string_view trimmed(std::string_view text)
{
    constexpr std::string_view blank = " \t\r";
    const std::size_t first = text.find_first_not_of(blank);
    return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::vector<std::string_view> cells_of(std::string_view line)
{
    std::vector<std::string_view> cells;
    for (std::size_t at = 0; at <= line.size();) {
        const std::size_t end = std::min(line.find(',', at), line.size());
        cells.push_back(trimmed(line.substr(at, end - at)));
        at = end + 1;
    }
    return cells;
}

/// What is wrong with a cell, in the words of a bad option.
failure bad_cell(std::string_view column, std::string_view value, std::string_view allowed)
{
    return {errc::bad_spec, fmt::format("{} = '{}': allowed is {}", column, value, allowed)};
}

template <class Number>
result<Number> number_of(std::string_view column, std::string_view text, Number min, Number max)
{
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_number = error == std::errc() && end == text.data() + text.size();
    if (!is_number || !(value >= min) || !(value <= max))
        return bad_cell(column, text,
                        fmt::format("{} {} to {}", std::is_integral_v<Number> ? "a whole number," : "a number,", min, max));
    return value;
}

using line_cells = std::map<std::string_view, std::string_view>;

result<void> read_shape(const line_cells& cells, tuned_row& row)
{
    const auto op = parse_operation(cells.at("operator"));
    if (!op) return op.error();
    row.op = *op;
    if (codegen::is_gradient(row.op)) return bad_cell("operator", cells.at("operator"), "no gradient: they have no choices");
    const auto n = number_of<std::int32_t>("n_streams", cells.at("n_streams"), 1, 32);
    if (!n) return n.error();
    row.n_streams = *n;
    const auto C = number_of<std::int64_t>("hidden_dim", cells.at("hidden_dim"), 1, 1 << 24);
    if (!C) return C.error();
    row.hidden_dim = *C;
    const auto type = parse_dtype(cells.at("dtype"));
    if (!type) return type.error();
    row.dtype = *type;
    return {};
}

result<void> read_choices(const line_cells& cells, const target& on, tuned_row& row)
{
    for (const tuning_choice& choice : tuning_choices) {
        const auto cell = cells.find(choice.name);
        if (cell == cells.end() || cell->second.empty()) continue;
        const auto value = number_of<std::int32_t>(choice.name, cell->second, 0, choice.max);
        if (!value) return value.error();
        row.choices.*choice.value = *value;
    }
    for (const auto& [column, to] : {std::pair{time_columns[0], &row.us}, {time_columns[1], &row.default_us}}) {
        const auto cell = cells.find(column);
        if (cell == cells.end() || cell->second.empty()) continue;
        const auto value = number_of<double>(column, cell->second, 0.0, 1e12);
        if (!value) return value.error();
        *to = *value;
    }
    return codegen::check_tuning(row.choices, on);
}

result<tuned_row> read_row(const line_cells& cells)
{
    const std::string_view name = cells.at("target");
    const auto on = name == "host" ? result<target>(codegen::host_target("x86_64", {})) : codegen::parse_target(name);
    if (!on) return on.error();
    tuned_row row;
    row.target = codegen::tuned_name(*on);
    if (auto ok = read_shape(cells, row); !ok) return ok.error();
    if (auto ok = read_choices(cells, *on, row); !ok) return ok.error();
    return row;
}

/// The columns, in order; nothing, and why, where a line could not be read by them.
std::optional<std::vector<std::string_view>> read_head(std::string_view line, std::string* why)
{
    const std::vector<std::string_view> known = all_columns(), names = cells_of(line);
    for (const std::string_view name : names)
        if (std::find(known.begin(), known.end(), name) == known.end() ||
            std::count(names.begin(), names.end(), name) != 1) {
            *why = fmt::format("column '{}': allowed is each of {} once; no line counts", name, fmt::join(known, ", "));
            return std::nullopt;
        }
    for (const std::string_view name : shape_columns)
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            *why = fmt::format("no column '{}'; the first line names the columns, of which a table has {}; no line counts",
                               name, fmt::join(shape_columns, ", "));
            return std::nullopt;
        }
    return names;
}

}  // namespace

tuned_lines parse_tuned(std::string_view csv)
{
    tuned_lines read;
    std::optional<std::vector<std::string_view>> columns;
    int number = 0;
    for (std::size_t at = 0; at < csv.size();) {
        const std::size_t end = std::min(csv.find('\n', at), csv.size());
        const std::string_view line = trimmed(csv.substr(at, end - at));
        at = end + 1;
        ++number;
        if (line.empty() || line.front() == '#') continue;
        const auto object = [&](std::string_view what) {
            read.problems.push_back(fmt::format("line {}: {}", number, what));
        };
        if (!columns) {
            std::string why;
            columns = read_head(line, &why);
            if (columns) continue;
            object(why);
            return read;
        }
        const std::vector<std::string_view> cells = cells_of(line);
        if (cells.size() != columns->size()) {
            object(fmt::format("{} cells: allowed is {}, as many as the first line names", cells.size(), columns->size()));
            continue;
        }
        line_cells by_name;
        for (std::size_t i = 0; i < cells.size(); ++i) by_name[(*columns)[i]] = cells[i];
        auto row = read_row(by_name);
        if (row)
            read.rows.push_back(std::move(*row));
        else
            object(row.error().message);
    }
    return read;
}

std::string format_tuned(const std::vector<tuned_row>& rows)
{
    const auto time = [](double us) { return us > 0 ? fmt::format("{:.2f}", us) : std::string(); };
    std::string text = fmt::format("{}\n", fmt::join(all_columns(), ","));
    for (const tuned_row& row : rows) {
        text += fmt::format("{},{},{},{},{}", row.target, to_string(row.op), row.n_streams, row.hidden_dim,
                            to_string(row.dtype));
        for (const tuning_choice& choice : tuning_choices) {
            const std::int32_t value = row.choices.*choice.value;
            text += value == 0 ? "," : fmt::format(",{}", value);
        }
        text += fmt::format(",{},{}\n", time(row.us), time(row.default_us));
    }
    return text;
}

}  // namespace mhc::jit
