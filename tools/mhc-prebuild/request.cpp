// tools/mhc-prebuild/request.cpp -- what to build, from flags over MHC_ variables over AITER's bare names.
#include "tools/mhc-prebuild/request.hpp"

#include <charconv>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include <mhc/jit/describe.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

// A value and where it was found, for messages.
struct sourced_value {
    std::string source, text;
};

std::optional<sourced_value> find_value(const std::string& flag, const std::string& given, const std::string& variable)
{
    if (!given.empty()) return sourced_value{flag, given};
    for (const std::string& name : {"MHC_" + variable, variable}) {
        const char* const value = std::getenv(name.c_str());
        if (value != nullptr && *value != '\0') return sourced_value{name, value};
    }
    return std::nullopt;
}

int parse_whole_number(const sourced_value& from, int least, int most, std::string_view allowed)
{
    int value = 0;
    const char* const end = from.text.data() + from.text.size();
    const auto [stop, error] = std::from_chars(from.text.data(), end, value);
    if (error != std::errc() || stop != end || value < least || value > most)
        fail_usage(fmt::format("{} = '{}': allowed is {}", from.source, from.text, allowed));
    return value;
}

jit::operations operators_that_are(bool gradients)
{
    jit::operations found;
    for (int i = 0; i < jit::operation_count; ++i) {
        const auto op = static_cast<jit::operation>(i);
        if (jit::operator_of_gradient(op).has_value() == gradients) found = found | jit::operations{op};
    }
    return found;
}

std::vector<jit::prebuild_item> from_catalogue(int level, const std::optional<operator_choice>& choice)
{
    std::vector<jit::prebuild_item> items = jit::catalogue(level).value();
    if (!choice) return items;
    for (jit::prebuild_item& item : items) {
        item.spec.wanted = item.spec.wanted & choice->chosen;
        item.spec.norm_weight = item.spec.norm_weight && !(item.spec.wanted & jit::operations_with_norm_weight).empty();
    }
    std::erase_if(items, [](const jit::prebuild_item& item) { return item.spec.wanted.empty(); });
    return items;
}

}  // namespace

prebuild_request resolve_request(const prebuild_flags& flags)
{
    prebuild_request request;
    const auto archs = find_value("--archs", flags.archs, "GPU_ARCHS");
    request.archs = archs ? archs->text : "native";
    if (const auto level = find_value("--level", flags.level, "PREBUILD_KERNELS"))
        request.level = parse_whole_number(*level, 0, 3, "0 (JIT only), 1, 2 or 3");
    if (const auto jobs = find_value("--jobs", flags.jobs, "MAX_JOBS"))
        request.jobs =
            parse_whole_number(*jobs, 1, 4096, "a whole number, 1 to 4096; leave it out to choose by CPUs and memory");

    std::optional<operator_choice> choice;
    if (!flags.operators.empty()) {
        choice = parse_operators(flags.operators);
        request.not_yet = choice->not_yet;
        request.level = 1;  // every operator to choose from, whatever PREBUILD_KERNELS says
    }
    if (request.level == 0) return request;
    if (flags.shapes.empty()) {
        request.items = from_catalogue(request.level, choice);
    } else {
        // As for the catalogue: level 3 is what `layer` makes by default, 2 every forward operator, 1 their gradients too.
        const jit::operations by_level = request.level == 3   ? jit::layer_spec().wanted
                                         : request.level == 2 ? operators_that_are(false)
                                                              : jit::operations::all();
        request.items = read_shapes(flags.shapes, choice ? choice->chosen : by_level);
    }
    return request;
}

operator_choice parse_operators(std::string_view text)
{
    operator_choice choice;
    while (!text.empty()) {
        const std::size_t comma = text.find(',');
        const std::string word(text.substr(0, comma));
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        if (word == "tune") {
            choice.not_yet.push_back(word);
        } else if (word == "all") {
            choice.chosen = jit::operations::all();
        } else if (word == "forward" || word == "backward") {
            choice.chosen = choice.chosen | operators_that_are(word == "backward");
        } else if (const auto op = jit::parse_operation(word)) {
            choice.chosen = choice.chosen | jit::operations{*op};
        } else {
            fail_usage(fmt::format("operators = '{}': allowed are forward, backward, tune, all, or names of operators: {}",
                                   word, op.error().message));
        }
    }
    return choice;
}

}  // namespace mhc::tools
