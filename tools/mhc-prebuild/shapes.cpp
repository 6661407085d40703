// tools/mhc-prebuild/shapes.cpp -- reads a shapes file: one spec a line, and which operators to build of it.
#include <fstream>

#include <fmt/format.h>

#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"
#include "tools/mhc-prebuild/request.hpp"

namespace mhc::tools {
namespace {

constexpr jit::operations layer_operators = {jit::operation::static_layer_fwd, jit::operation::dynamic_layer_fwd,
                                             jit::operation::static_layer_bwd, jit::operation::dynamic_layer_bwd};

std::vector<std::string> words_of(const std::string& line)
{
    constexpr const char* blanks = " \t\r";
    std::vector<std::string> words;
    const std::string text = line.substr(0, line.find('#'));
    for (std::size_t at = text.find_first_not_of(blanks); at != std::string::npos; at = text.find_first_not_of(blanks, at)) {
        const std::size_t end = std::min(text.find_first_of(blanks, at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

jit::operations line_operators(const std::string& text)
{
    const operator_choice choice = parse_operators(text);
    if (!choice.not_yet.empty())
        fail_usage(fmt::format("operators = '{}': no such kernels exist yet; name forward ones", text));
    return choice.chosen;
}

// The part of a line that shares a default preset: `part`, of the operators that the line asked for.
void add_item(const std::vector<setting>& settings, jit::operations asked, jit::operations part, jit::operation preset_of,
              std::vector<jit::prebuild_item>& items)
{
    if ((asked & part).empty()) return;
    jit::prebuild_item item;
    apply_settings(item.spec, preset_of, settings, {"operators"});
    if (item.spec.hidden_dim == 0) fail_usage("hidden_dim is missing; add hidden_dim=4096");
    item.spec.wanted = asked;  // some options want a certain operator, which may be in the other part
    jit::validate(item.spec).value();

    item.spec.wanted = asked & part;
    item.spec.norm_weight = item.spec.norm_weight && !(item.spec.wanted & jit::operations_with_norm_weight).empty();
    if ((item.spec.wanted & jit::operations_with_fn).empty()) {
        item.spec.fn_norm_weight = false;
        item.spec.fn_order = jit::fn_order::fn;
    }
    if ((item.spec.wanted & jit::operations_with_layer_input_quant).empty())
        item.spec.layer_input_quant = jit::layer_input_quant::none;
    item.spec.options.reference_rounding = item.spec.options.reference_rounding && !(part & layer_operators).empty();
    items.push_back(item);
}

// A line that names no preset means paper, and mhc_cu for mHC.cu's two layer operators.
void add_items(const std::vector<setting>& settings, jit::operations asked, std::vector<jit::prebuild_item>& items)
{
    jit::operations others;
    for (int i = 0; i < jit::operation_count; ++i) {
        const jit::operations one = {static_cast<jit::operation>(i)};
        if ((one & layer_operators).empty()) others = others | one;
    }
    add_item(settings, asked, others, jit::operation::pre_fwd, items);
    add_item(settings, asked, layer_operators, jit::operation::static_layer_fwd, items);
}

}  // namespace

std::vector<jit::prebuild_item> read_shapes(const std::string& path, jit::operations operators)
{
    std::ifstream file(path);
    if (!file) fail_usage(fmt::format("--shapes {}: cannot be read; name a text file with a shape a line", path));
    std::vector<jit::prebuild_item> items;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        const std::vector<std::string> words = words_of(line);
        if (words.empty()) continue;
        try {
            std::vector<setting> settings = parse_settings(words, "shape");
            const auto own = take(settings, "operators");
            add_items(settings, own ? line_operators(*own) : operators, items);
        } catch (const tool_error& e) {
            throw tool_error(e.code(), fmt::format("{}:{}: {}", path, number, e.what()));
        } catch (const jit::exception& e) {
            fail_usage(fmt::format("{}:{}: {}", path, number, e.what()));
        }
    }
    if (file.bad()) fail_usage(fmt::format("--shapes {}: cannot be read; name a text file", path));
    if (items.empty())
        fail_usage(
            fmt::format("--shapes {}: holds no shape; write lines such as hidden_dim=4096 n_streams=4 dtype=bf16", path));
    return items;
}

}  // namespace mhc::tools
