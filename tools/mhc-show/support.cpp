// tools/mhc-show/support.cpp -- what exists: every operator asked of every target, and what has ever run there.
//
// Asked, not listed by hand: whether an operator of a spec has a plan is a matter of microseconds. What a target's code was
// run on is a fact about the project's tests, and stands here, next to the table that a user reads it with.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <mhc/jit/engine.hpp>

#include "tools/mhc-show/report.hpp"

namespace mhc::tools {
namespace {

using json = nlohmann::ordered_json;

constexpr std::array data_types{jit::dtype::fp32, jit::dtype::fp16, jit::dtype::bf16};
constexpr std::int64_t most_channels = std::int64_t{1} << 24;
// Rows of one channel, odd ones, whole vectors, a model's, the longest.
constexpr std::int64_t channels[] = {1, 7, 64, 127, 1280, 7168, most_channels};
constexpr std::int32_t most_streams = 32;
constexpr std::int32_t streams[] = {1, 2, 3, 4, 5, 8, 16, 31, most_streams};

struct evidence {
    std::string_view target, how;
};
constexpr evidence evidences[] = {
    {"host", "run by the tests (tier host)"},
    {"gfx90a", "machine code of Clang 19 and HIPRTC 5.2 run by the emulator (tier emulated); no GPU has run it"},
    {"gfx942", "machine code of Clang 19 run by the emulator (tier emulated); no GPU has run it"},
    {"gfx950", "compiled by HIPRTC 6.4 and 7.2 (tests/compat); nothing has run it"},
    {"gfx1030", "compiled by Clang 19 (tier compile); nothing has run it"},
    {"gfx1100", "machine code of Clang 19 run by the emulator (tier emulated); no GPU has run it"},
    {"gfx1101", "compiled by Clang 19 (tier compile); nothing has run it"},
    {"gfx1200", "machine code of Clang 19 run by the emulator (tier emulated); no GPU has run it"},
    {"gfx1201", "compiled by Clang 19 (tier compile) and HIPRTC 6.4 and 7.2; nothing has run it"},
    {"gfx1250", "compiled by HIPRTC 7.2 (tests/compat); nothing has run it"},
    {"sm_80", "compiled by NVRTC (tier compile, where NVRTC is); nothing has run it"},
    {"sm_90", "run on an H200 (tier gpu) until devices of 9.0 became sm_90a, with compute-sanitizer's four tools"},
    {"sm_90a", "run on an H200 (tier gpu, 2026-11-22); docs/PERFORMANCE.md says what has changed since"},
};

std::string_view evidence_of(std::string_view target)
{
    for (const evidence& known : evidences)
        if (known.target == target) return known.how;
    return "no test compiles for it; nothing has run it";
}

jit::layer_spec shape(jit::operation op, std::int32_t n_streams, std::int64_t hidden_dim, jit::dtype type)
{
    jit::layer_spec spec;
    spec.wanted = {op};
    spec.n_streams = n_streams;
    spec.hidden_dim = hidden_dim;
    spec.dtype = type;
    spec.alignment_bytes = 4;
    return spec;
}

/// What an operator is refused for on a target, each reason once; none where every shape of the range has a plan.
std::vector<std::string> refusals(jit::operation op, const std::string& target)
{
    std::vector<std::string> reasons;
    const auto ask = [&](const jit::layer_spec& spec) {
        const auto answer = jit::supports(op, spec, target);
        if (answer) return;
        const std::string& why = answer.error().message;
        if (std::find(reasons.begin(), reasons.end(), why) == reasons.end()) reasons.push_back(why);
    };
    for (const jit::dtype type : data_types)
        for (const jit::dtype weight : data_types)
            for (const std::int64_t hidden_dim : channels)
                for (const std::int32_t n_streams : streams) {
                    jit::layer_spec spec = shape(op, n_streams, hidden_dim, type);
                    spec.weight_dtype = weight;
                    ask(spec);
                }
    return reasons;
}

/// The message with which a shape beyond a limit is refused; empty when it is not, and then the limit is wrong.
std::string limit(std::int32_t n_streams, std::int64_t hidden_dim)
{
    const auto answer = jit::supports(jit::operation::post_fwd,
                                      shape(jit::operation::post_fwd, n_streams, hidden_dim, jit::dtype::bf16), "host");
    return answer ? std::string() : answer.error().message;
}

struct row {
    jit::operation op;
    std::vector<std::vector<std::string>> refused;  ///< by target
};

struct table {
    std::vector<std::string> targets;
    std::vector<row> rows;
    std::vector<std::string> limits;
};

table make_table(const jit::engine_options& options)
{
    table made;
    for (const jit::target_info& one : jit::targets(options)) made.targets.push_back(one.name);
    for (int i = 0; i < jit::operation_count; ++i) {
        made.rows.push_back({static_cast<jit::operation>(i), {}});
        for (const std::string& target : made.targets)
            made.rows.back().refused.push_back(refusals(made.rows.back().op, target));
    }
    for (const std::string& beyond : {limit(0, 1), limit(most_streams + 1, 1), limit(1, 0), limit(1, most_channels + 1)})
        if (!beyond.empty()) made.limits.push_back(beyond);
    return made;
}

std::string cell(const std::vector<std::string>& refused, std::vector<std::string>& notes)
{
    if (refused.empty()) return "yes";
    std::string text = "in part";
    for (const std::string& why : refused) {
        auto at = std::find(notes.begin(), notes.end(), why);
        if (at == notes.end()) at = notes.insert(notes.end(), why);
        text += fmt::format(" ({})", at - notes.begin() + 1);
    }
    return text;
}

}  // namespace

std::string support_text(const jit::engine_options& options)
{
    const table made = make_table(options);
    std::string text = fmt::format(
        "# What is supported\n\nPrinted by `mhc-show --support`, which asks for a plan of every operator on every target: "
        "dtype "
        "and weight_dtype\nfp32, fp16, bf16, each with each; n_streams {}; hidden_dim {};\nany number of tokens. "
        "\"yes\": all of these.\n\n",
        fmt::join(streams, ", "), fmt::join(channels, ", "));
    text += fmt::format("| operator | {} |\n|---|", fmt::join(made.targets, " | "));
    for (std::size_t i = 0; i < made.targets.size(); ++i) text += "---|";
    std::vector<std::string> notes;
    for (const row& one : made.rows) {
        text += fmt::format("\n| `{}` |", jit::to_string(one.op));
        for (const std::vector<std::string>& refused : one.refused) text += ' ' + cell(refused, notes) + " |";
    }
    text += "\n\n";
    for (std::size_t i = 0; i < notes.size(); ++i) text += fmt::format("({}) {}\n\n", i + 1, notes[i]);
    text += "What limits a shape:\n\n";
    for (const std::string& beyond : made.limits) text += fmt::format("* {}\n", beyond);
    text += "\nA plan is not yet a run. What each target's code has been run on:\n\n| target | |\n|---|---|\n";
    for (const std::string& target : made.targets) text += fmt::format("| {} | {} |\n", target, evidence_of(target));
    return text;
}

std::string support_json(const jit::engine_options& options)
{
    const table made = make_table(options);
    json operators = json::array(), targets = json::array();
    for (const row& one : made.rows) {
        json by_target = json::object();
        for (std::size_t i = 0; i < made.targets.size(); ++i) by_target[made.targets[i]] = one.refused[i];
        operators.push_back({{"operator", jit::to_string(one.op)}, {"refused", std::move(by_target)}});
    }
    for (const std::string& target : made.targets) targets.push_back({{"name", target}, {"shown_by", evidence_of(target)}});
    const json report = {{"dtypes", {"fp32", "fp16", "bf16"}},
                         {"weight_dtypes", {"fp32", "fp16", "bf16"}},
                         {"n_streams", {1, most_streams}},
                         {"hidden_dim", {1, most_channels}},
                         {"limits", made.limits},
                         {"operators", std::move(operators)},
                         {"targets", std::move(targets)}};
    return report.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace mhc::tools
