// runtime/nearest_key.cpp -- clear-text keys compared field by field.
#include "runtime/nearest_key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

namespace mhc::runtime {
namespace {

using difference = jit::miss_explanation::difference;
using fields = std::map<std::string, std::string>;

fields fields_of(const std::string& key_json)
{
    fields found;
    const auto json = nlohmann::json::parse(key_json, nullptr, false);
    if (json.is_object())
        for (const auto& [name, value] : json.items())
            found[name] = value.is_string() ? value.get<std::string>() : value.dump();
    return found;
}

std::vector<difference> differences_of(const fields& wanted, const fields& stored)
{
    std::vector<difference> all;
    for (const auto& [name, value] : wanted) {
        const auto at = stored.find(name);
        if (at == stored.end() || at->second != value)
            all.push_back({name, value, at == stored.end() ? std::string() : at->second});
    }
    for (const auto& [name, value] : stored)
        if (!wanted.contains(name) && name != "toolchain") all.push_back({name, {}, value});
    return all;
}

/// Fields that follow from others, options from the target for one, come last.
int rank_of(const std::string& field)
{
    if (field == "target") return 0;
    if (field.starts_with("plan.")) return 1;
    if (field.starts_with("options.") || field.starts_with("target.")) return 3;
    return 2;
}

constexpr std::size_t shown_max = 40;

std::string shortened(const std::string& value)
{
    std::string line = value.size() <= shown_max ? value : value.substr(0, shown_max) + "...";
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line.empty() ? "none" : line;
}

/// Of long values, what follows the words with which both begin.
void drop_common_start(difference& of)
{
    const auto first = std::mismatch(of.wanted.begin(), of.wanted.end(), of.stored.begin(), of.stored.end()).first;
    const std::size_t word = of.wanted.rfind(' ', static_cast<std::size_t>(first - of.wanted.begin()));
    if (word == std::string::npos || std::max(of.wanted.size(), of.stored.size()) <= shown_max) return;
    for (std::string* value : {&of.wanted, &of.stored}) *value = "..." + value->substr(std::min(word, value->size()));
}

/// Of options, a line each, the first that the two do not share; else all of the values.
difference essence_of(const difference& whole)
{
    const auto lines_without = [](const std::string& text, const std::string& other) {
        std::string left;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = std::min(text.find('\n', at), text.size());
            const std::string line = text.substr(at, end - at);
            if (left.empty() && ("\n" + other + "\n").find("\n" + line + "\n") == std::string::npos) left = line;
            at = end + 1;
        }
        return left;
    };
    if (!whole.field.starts_with("options.")) return whole;
    return {whole.field, lines_without(whole.wanted, whole.stored), lines_without(whole.stored, whole.wanted)};
}

}  // namespace

nearest_key nearer_of(nearest_key best, const std::vector<cache::code_row>& rows, const std::string& wanted_json)
{
    const fields wanted = fields_of(wanted_json);
    for (const cache::code_row& row : rows) {
        auto differences = differences_of(wanted, fields_of(row.key_json));
        if (!best.symbol.empty() && differences.size() >= best.differences.size()) continue;
        best = {row.key, row.symbol, std::move(differences)};
    }
    return best;
}

std::string differences_text(const nearest_key& nearest)
{
    constexpr std::size_t named = 2;
    std::vector<difference> sorted = nearest.differences;
    const auto order = [](const difference& of) {
        return std::pair(rank_of(of.field), of.wanted.size() + of.stored.size());
    };
    std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return order(a) < order(b); });
    std::string text;
    for (std::size_t i = 0; i < std::min(named, sorted.size()); ++i) {
        difference each = essence_of(sorted[i]);
        drop_common_start(each);
        text += fmt::format("{}{} ({} stored, {} wanted)", i == 0 ? "" : ", ", each.field, shortened(each.stored),
                            shortened(each.wanted));
    }
    if (sorted.size() > named) text += fmt::format(" and {} more", sorted.size() - named);
    return text.empty() ? "nothing: its object is damaged, or did not load" : text;
}

}  // namespace mhc::runtime
