// codegen/render.cpp -- from a plan to source text.
#include "codegen/render.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "codegen/templates.hpp"

namespace mhc::codegen {
namespace {

std::string_view text_of(std::string_view name)
{
    for (const template_file& file : template_files())
        if (file.name == name) return file.text;
    throw std::logic_error(fmt::format("no template '{}'", name));
}

using bindings = std::map<std::string, std::string>;

constexpr std::string_view include_start = "#include <mhc/";

/// "device/mix.hpp" of an include line, with holes filled; empty for any other line.
std::string included(std::string_view line, const bindings& holes)
{
    if (!line.starts_with(include_start)) return {};
    std::string name(line.substr(include_start.size(), line.find('>') - include_start.size()));
    if (const auto hole = name.find("${"); hole != std::string::npos) {
        const auto end = name.find('}', hole);
        name.replace(hole, end + 1 - hole, holes.at(name.substr(hole + 2, end - hole - 2)));
    }
    return name;
}

/// Calls take(name, text) for every header that `text` needs, each before what it includes itself.
template <class Take>
void visit_includes(std::string_view text, const bindings& holes, std::set<std::string>& seen, Take take)
{
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string name = included(text.substr(at, end - at), holes);
        if (!name.empty() && seen.insert(name).second) {
            const std::string_view header = text_of(name);
            // A vocabulary includes its parts between its own lines, so its text is taken as a whole, in place.
            take(name, header);
        }
        at = end + 1;
    }
}

/// `text` with every include replaced by the header, the first time, and nothing the second.
void expand(std::string_view text, const bindings& holes, std::set<std::string>& seen, std::string_view as_name,
            std::string& out)
{
    int line_number = 1;
    out += fmt::format("#line 1 \"{}\"\n", as_name);
    for (std::size_t at = 0; at < text.size(); ++line_number) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        const std::string name = included(line, holes);
        if (name.empty()) {
            out += line == "#pragma once" ? "" : line;
            out += '\n';
        } else if (seen.insert(name).second) {
            expand(text_of(name), holes, seen, "mhc/" + name, out);
            out += fmt::format("#line {} \"{}\"\n", line_number + 1, as_name);
        } else {
            out += '\n';
        }
        at = end + 1;
    }
}

/// The loader of `host` calls every kernel through one signature.
std::string host_entry(const kernel_plan& k, std::string_view symbol)
{
    const std::string& list = k.bindings.at("params");
    std::string values;
    std::size_t at = 0;
    for (const argument& arg : k.args) {
        const std::size_t end = std::min(list.find(", ", at), list.size());
        std::string type = list.substr(at, end - at);
        type.resize(type.rfind(' '));  // without the name
        if (const auto restrict_at = type.find(" __restrict__"); restrict_at != std::string::npos) type.resize(restrict_at);
        values += fmt::format("*reinterpret_cast<{} const*>(arguments + {}), ", type, arg.offset);
        at = end + 2;
    }
    return fmt::format(
        "\nextern \"C\" __attribute__((visibility(\"default\"))) void {0}(const char* arguments, mhc::i64 group)\n"
        "{{\n    {0}_group({1}group);\n}}\n",
        symbol, values);
}

}  // namespace

std::string fill(std::string_view text, const std::map<std::string, std::string>& bindings)
{
    std::string out;
    std::set<std::string, std::less<>> used;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t hole = text.find("${", at);
        out += text.substr(at, hole == std::string_view::npos ? hole : hole - at);
        if (hole == std::string_view::npos) break;
        const std::size_t end = text.find('}', hole);
        const std::string name(text.substr(hole + 2, end - hole - 2));
        const auto value = bindings.find(name);
        if (value == bindings.end()) throw std::logic_error(fmt::format("hole '{}' has no value", name));
        used.insert(name);
        out += value->second;
        at = end + 1;
    }
    for (const auto& [name, value] : bindings)
        if (!used.contains(name)) throw std::logic_error(fmt::format("value '{}' has no hole", name));
    return out;
}

std::string render(const kernel_plan& k, const target& on, std::string_view symbol)
{
    bindings holes = k.bindings;
    holes["kernel"] = symbol;

    std::string out = fmt::format("// {} for {}", symbol, on.name);
    for (const auto& [name, value] : k.bindings) out += fmt::format("\n//   {} = {}", name, value);
    out += '\n';
    // Holes are filled in the stub alone: a header is plain C++.
    const std::string stub = fill(text_of(k.family + ".in"), holes);
    std::set<std::string> seen;
    expand(stub, holes, seen, fmt::format("mhc/{}.in", k.family), out);
    if (on.kind == target_kind::host) out += host_entry(k, symbol);
    return out;
}

std::vector<std::string_view> texts_of(const kernel_plan& k)
{
    std::vector<std::string_view> texts{text_of(k.family + ".in")};
    std::set<std::string> seen;
    for (std::size_t i = 0; i < texts.size(); ++i)
        visit_includes(texts[i], k.bindings, seen,
                       [&](const std::string&, std::string_view text) { texts.push_back(text); });
    return texts;
}

}  // namespace mhc::codegen
