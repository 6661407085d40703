// tools/mhc-eval/list.cpp -- what mhc-eval can run: operators, their tensors and options.
#include "tools/mhc-eval/list.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mhc/jit/describe.hpp>

#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

struct option_text {
    std::string_view name, allowed;
};

constexpr std::string_view splits_allowed = "1 to 64 (default 1)";

bool has_streams_tensor(jit::operation op)
{
    for (const auto& tensor : jit::tensors_of(op))
        if (tensor.shape == "[T,n,C]") return true;
    return false;
}

std::vector<option_text> options_of(jit::operation op)
{
    std::vector<option_text> options;
    for (const setting_description& known : setting_descriptions())
        if (known.concerns(op)) options.push_back({known.name, known.allowed});
    if (op == jit::operation::pre_project_fwd) options.push_back({"splits", splits_allowed});
    if (has_streams_tensor(op))
        for (const std::string_view name : stride_settings) options.push_back({name, "elements, >= 0"});
    return options;
}

json tensors_json(jit::operation op, bool is_output)
{
    json list = json::array();
    for (const auto& tensor : jit::tensors_of(op))
        if (tensor.is_output == is_output)
            list.push_back(
                {{"name", tensor.name}, {"shape", tensor.shape}, {"type", tensor.type}, {"optional", tensor.optional}});
    return list;
}

std::string tensors_text(jit::operation op, bool is_output)
{
    std::string text;
    for (const auto& tensor : jit::tensors_of(op))
        if (tensor.is_output == is_output)
            text += fmt::format("  {:<4}{:<18}{:<18}{}{}\n", is_output ? "out" : "in", tensor.name, tensor.shape,
                                tensor.type, tensor.optional ? ", optional" : "");
    return text;
}

}  // namespace

std::string operators_text()
{
    std::string text =
        "T tokens, n streams, C channels, S splits and R rows of a projection or weight, L layers. data: dtype; weight: "
        "weight_dtype "
        "(default "
        "fp32); int32: a whole number in a float32 array.\n";
    std::vector<std::vector<std::string>> allowed = {{"option", "allowed"}};
    for (const setting_description& known : setting_descriptions())
        allowed.push_back({std::string(known.name), std::string(known.allowed)});
    allowed.push_back({"splits", std::string(splits_allowed)});
    for (const std::string_view name : stride_settings) allowed.push_back({std::string(name), "elements, >= 0"});

    for (int i = 0; i < jit::operation_count; ++i) {
        const auto op = static_cast<jit::operation>(i);
        std::vector<std::string_view> names;
        for (const option_text& option : options_of(op)) names.push_back(option.name);
        text += fmt::format("\n{}\n{}{}  options: {}\n", jit::to_string(op), tensors_text(op, false), tensors_text(op, true),
                            fmt::join(names, " "));
    }
    return text + '\n' + table_text(allowed);
}

std::string operators_json()
{
    json operators = json::array();
    for (int i = 0; i < jit::operation_count; ++i) {
        const auto op = static_cast<jit::operation>(i);
        json options = json::array();
        for (const option_text& option : options_of(op))
            options.push_back({{"name", option.name}, {"allowed", option.allowed}});
        operators.push_back({{"name", jit::to_string(op)},
                             {"default_preset", jit::to_string(default_preset(op))},
                             {"inputs", tensors_json(op, false)},
                             {"outputs", tensors_json(op, true)},
                             {"options", std::move(options)}});
    }
    return json{{"operators", std::move(operators)}}.dump(2) + '\n';
}

}  // namespace mhc::tools
