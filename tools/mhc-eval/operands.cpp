// tools/mhc-eval/operands.cpp -- an operator's tensors matched with the arrays given for them, and the sizes that follow.
#include "tools/mhc-eval/operands.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

// A size and what it was taken from, for messages.
struct known_size {
    std::int64_t value = 0;
    std::string source;  ///< empty: not known
};
using known_sizes = std::array<known_size, symbol_count>;

struct given_array {
    jit::tensor_description tensor;
    npy_array array;
    shape_rule rule;
    bool is_static = false;
};

constexpr std::array<std::string_view, symbol_count> size_names = {"tokens", "n_streams", "hidden_dim",
                                                                   "splits", "rows",      "layers"};

std::string joined_names(const std::vector<jit::tensor_description>& tensors, bool is_output)
{
    std::vector<std::string> names;
    for (const auto& tensor : tensors)
        if (tensor.is_output == is_output) names.push_back(tensor.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

// A parameter's gradient, or that of x: what a gradient can be added to.
bool can_be_added_to(jit::operation op, const jit::tensor_description& tensor)
{
    const bool never =
        !jit::operator_of_gradient(op) || op == jit::operation::sinkhorn_bwd || op == jit::operation::expand_bwd;
    if (never || !tensor.is_output) return false;
    const std::vector<shape_rule> rules = parse_shape_rules(tensor.shape);
    const auto has_tokens = [](const size_rule& dim) { return dim.mentions(symbol::T); };
    return tensor.name == "d_x" || std::none_of(rules.back().dims.begin(), rules.back().dims.end(), has_tokens);
}

void check_names(jit::operation op, const std::vector<jit::tensor_description>& tensors, const std::vector<setting>& inputs)
{
    for (const setting& input : inputs) {
        const auto has_name = [&](const auto& tensor) {
            return tensor.name == input.name && (!tensor.is_output || can_be_added_to(op, tensor));
        };
        if (std::none_of(tensors.begin(), tensors.end(), has_name))
            fail_usage(fmt::format("--in {}={}: {} has no input '{}'; its inputs are {}", input.name, input.value,
                                   jit::to_string(op), input.name, joined_names(tensors, false)));
    }
    std::vector<std::string> missing;
    for (const auto& tensor : tensors) {
        const auto is_it = [&](const setting& input) { return input.name == tensor.name; };
        if (!tensor.is_output && !tensor.optional && std::none_of(inputs.begin(), inputs.end(), is_it))
            missing.push_back(fmt::format("--in {}=FILE.npy (shape {})", tensor.name, tensor.shape));
    }
    if (!missing.empty())
        fail_usage(fmt::format("{} lacks an input; add {}", jit::to_string(op), fmt::join(missing, " and ")));
}

// The alternative of a tensor's shape with as many dimensions as the array.
given_array match_rank(const jit::tensor_description& tensor, npy_array array)
{
    const std::vector<shape_rule> rules = parse_shape_rules(tensor.shape);
    for (const shape_rule& rule : rules)
        if (rule.dims.size() == array.shape.size())
            return {tensor, std::move(array), rule, rule.dims.size() < rules.front().dims.size()};
    fail_usage(fmt::format("{} has shape {}, expected {}: {} dimension(s) instead of {}", tensor.name,
                           shape_text(array.shape), tensor.shape, array.shape.size(), rules.front().dims.size()));
}

std::vector<given_array> read_arrays(const std::vector<jit::tensor_description>& tensors, const std::vector<setting>& inputs)
{
    std::vector<given_array> arrays;
    for (const auto& tensor : tensors)
        for (const setting& input : inputs)
            if (input.name == tensor.name) {
                auto array = read_npy(input.value);
                if (!array) fail_usage(fmt::format("--in {}: {}", input.name, array.error().message));
                arrays.push_back(match_rank(tensor, std::move(*array)));
            }
    return arrays;
}

std::int64_t parse_splits(const std::string& text)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
        fail_usage(fmt::format("splits = '{}': allowed is a whole number, 1 to 64", text));
    return value;
}

known_sizes find_sizes(const std::vector<given_array>& arrays, const std::vector<setting>& settings,
                       const jit::layer_spec& spec)
{
    known_sizes known;
    for (const setting& next : settings) {
        if (next.name == "n_streams") known[1] = {spec.n_streams, "--set"};
        if (next.name == "hidden_dim") known[2] = {spec.hidden_dim, "--set"};
        if (next.name == "splits") known[3] = {parse_splits(next.value), "--set"};
    }
    for (const given_array& given : arrays)
        for (std::size_t i = 0; i < given.rule.dims.size(); ++i)
            if (const auto name = given.rule.dims[i].bare()) {
                known_size& size = known[static_cast<std::size_t>(*name)];
                if (size.source.empty())
                    size = {given.array.shape[i], fmt::format("{} {}", given.tensor.name, shape_text(given.array.shape))};
            }
    return known;
}

bool is_needed(jit::operation op, const std::vector<jit::tensor_description>& tensors, symbol which)
{
    // The mean of a token's squares is over n*C, though no tensor of these has channels.
    const jit::operation forward = jit::operator_of_gradient(op).value_or(op);
    const bool has_mean = forward == jit::operation::split_mixes_fwd || forward == jit::operation::coeffs_fwd;
    if (which == symbol::C && has_mean) return true;
    for (const auto& tensor : tensors)
        for (const shape_rule& rule : parse_shape_rules(tensor.shape))
            for (const size_rule& dim : rule.dims)
                if (dim.mentions(which)) return true;
    return false;
}

// Sizes an operator does not have keep what the spec has, or the least it may have.
void complete_sizes(jit::operation op, const std::vector<jit::tensor_description>& tensors, const jit::layer_spec& spec,
                    known_sizes& known)
{
    constexpr std::size_t splits = static_cast<std::size_t>(symbol::S);
    if (known[splits].source.empty()) known[splits] = {1, "default"};
    for (std::size_t i = 0; i < known.size(); ++i)
        if (known[i].source.empty() && is_needed(op, tensors, static_cast<symbol>(i)))
            fail_usage(fmt::format("{} needs {}, which is in the shape of none of its inputs; add --set {}=4",
                                   jit::to_string(op), size_names[i], size_names[i]));
    if (known[1].source.empty()) known[1].value = spec.n_streams;
    if (known[2].source.empty()) known[2].value = 1;
}

void check_ranges(jit::operation op, const known_sizes& known)
{
    const auto check = [&](std::size_t which, std::int64_t max) {
        if (known[which].value >= 1 && known[which].value <= max) return;
        fail_usage(fmt::format("{} = {} (from {}): allowed is 1 to {}", size_names[which], known[which].value,
                               known[which].source, max));
    };
    check(1, 32);
    check(2, 1 << 24);
    check(3, 64);
    const std::int64_t n = known[1].value;
    const std::int64_t rows_max = op == jit::operation::rmsnorm_matmul_fwd ? 1 << 24 : n * n + 2 * n;
    if (!known[4].source.empty()) check(4, rows_max);
    if (!known[5].source.empty()) check(5, 65536);
}

void check_shape(const given_array& given, const known_sizes& known, const sizes& values)
{
    const std::vector<std::int64_t> expected = given.rule.shape(values);
    if (expected == given.array.shape) return;
    std::vector<std::string> reasons;
    for (std::size_t i = 0; i < known.size(); ++i) {
        const auto has_it = [&](const size_rule& dim) { return dim.mentions(static_cast<symbol>(i)); };
        if (std::any_of(given.rule.dims.begin(), given.rule.dims.end(), has_it))
            reasons.push_back(fmt::format("{} = {} from {}", symbol_names[i], known[i].value, known[i].source));
    }
    fail_usage(fmt::format("{} has shape {}, expected {}: {}{}{}", given.tensor.name, shape_text(given.array.shape),
                           shape_text(expected), given.rule.text, reasons.empty() ? "" : " with ",
                           fmt::join(reasons, ", ")));
}

void check_whole(const given_array& given)
{
    if (given.tensor.type != "int32") return;
    const float value = given.array.values.at(0);
    if (!(value >= -0x1p31F && value < 0x1p31F && value == std::floor(value)))
        fail_usage(fmt::format("{} = {}: allowed is a whole number of 32 bits", given.tensor.name, value));
}

// A weight of a norm is there iff its array is.
void check_norm_weight(const std::string& name, const std::vector<given_array>& arrays, const std::vector<setting>& settings,
                       bool& is_on)
{
    const bool is_given =
        std::any_of(arrays.begin(), arrays.end(), [&](const given_array& given) { return given.tensor.name == name; });
    const auto names_it = [&](const setting& next) { return next.name == name; };
    if (std::any_of(settings.begin(), settings.end(), names_it) && is_on != is_given)
        fail_usage(fmt::format("{0} is {1} by --set, but --in {0}=FILE.npy is {2}; give --in alone", name,
                               is_on ? "on" : "off", is_given ? "given" : "missing"));
    is_on = is_given;
}

// A gradient has the shape of the array that it is the gradient of.
bool is_gradient_of_static(const std::string& name, const std::vector<operand>& inputs)
{
    return std::any_of(inputs.begin(), inputs.end(),
                       [&](const operand& one) { return one.is_static && name == "d_" + one.name; });
}

void add_earlier_values(operand& output, given_array& given)
{
    if (output.has_tokens && output.name != "d_x")
        fail_usage(fmt::format(
            "--in {}: the gradient of coefficients of each token is written, never added to; leave it out", output.name));
    if (given.array.shape != output.shape)
        fail_usage(fmt::format("{} has shape {}, expected {}: that of its result, which is added to it", output.name,
                               shape_text(given.array.shape), shape_text(output.shape)));
    output.values = std::move(given.array.values);
}

// The library adds to all gradients of parameters or to none.
void check_additions(const problem& what)
{
    const operand *added = nullptr, *written = nullptr;
    for (const operand& one : what.operands)
        if (one.is_output && one.name != "d_x" && !one.has_tokens) (one.values.empty() ? written : added) = &one;
    if (added != nullptr && written != nullptr)
        fail_usage(fmt::format("--in {} is given to be added to, but --in {} is not; give those of all parameters or none",
                               added->name, written->name));
}

}  // namespace

problem read_problem(jit::operation op, const std::vector<setting>& inputs, const std::vector<setting>& settings,
                     jit::layer_spec& spec)
{
    const std::vector<jit::tensor_description> tensors = jit::tensors_of(op, spec);
    check_names(op, tensors, inputs);
    std::vector<given_array> arrays = read_arrays(tensors, inputs);

    known_sizes known = find_sizes(arrays, settings, spec);
    complete_sizes(op, tensors, spec, known);
    check_ranges(op, known);
    sizes values{};
    std::transform(known.begin(), known.end(), values.begin(), [](const known_size& size) { return size.value; });
    for (const given_array& given : arrays) check_shape(given, known, values);
    for (const given_array& given : arrays) check_whole(given);

    check_norm_weight("norm_weight", arrays, settings, spec.norm_weight);
    // rmsnorm_matmul_fwd takes one whatever the spec says.
    spec.norm_weight = spec.norm_weight && jit::operations_with_norm_weight.contains(op);
    check_norm_weight("fn_norm_weight", arrays, settings, spec.fn_norm_weight);
    spec.n_streams = static_cast<std::int32_t>(values[1]);
    spec.hidden_dim = values[2];

    problem result{op, values[0], values[2], spec.n_streams, values[3], values[4], {}, values[5]};
    for (given_array& given : arrays) {
        if (given.tensor.is_output) continue;
        result.operands.push_back({given.tensor.name, false, given.is_static, given.rule.is("[T,n,C]"), given.tensor.type,
                                   std::move(given.array.shape), std::move(given.array.values)});
    }
    const bool has_bias =
        std::any_of(result.operands.begin(), result.operands.end(), [](const operand& one) { return one.name == "bias"; });
    for (const auto& tensor : jit::tensors_of(op, spec)) {  // again: how many scales there are depends on hidden_dim
        if (!tensor.is_output || !has_weight(op, spec, tensor.name)) continue;
        if (tensor.name == "d_bias" && !has_bias) continue;
        const bool is_static = is_gradient_of_static(tensor.name, result.operands);
        const std::vector<shape_rule> rules = parse_shape_rules(tensor.shape);
        const shape_rule& rule = is_static ? rules.back() : rules.front();
        result.operands.push_back({tensor.name, true, is_static, rule.is("[T,n,C]"), tensor.type, rule.shape(values), {}});
        const auto has_tokens = [](const size_rule& dim) { return dim.mentions(symbol::T); };
        result.operands.back().has_tokens = std::any_of(rule.dims.begin(), rule.dims.end(), has_tokens);
        for (given_array& given : arrays)
            if (given.tensor.name == tensor.name) add_earlier_values(result.operands.back(), given);
    }
    check_additions(result);
    return result;
}

}  // namespace mhc::tools
