// tools/mhc-bench/request.cpp -- the command line's lists, and the cases they make.
#include "tools/mhc-bench/request.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "tools/common/settings.hpp"
#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

struct shape {
    std::int64_t tokens, hidden_dim;
};
constexpr std::int64_t mb = 1024 * 1024, mb_max = 65536;
constexpr std::array default_shapes = {shape{320, 1280}, shape{512, 1920}, shape{256, 2560}};

std::vector<std::string> words_of(const std::vector<std::string>& texts, std::string_view flag)
{
    std::vector<std::string> words;
    for (const std::string& text : texts)
        for (std::size_t at = 0; at <= text.size();) {
            const std::size_t end = std::min(text.find(',', at), text.size());
            words.push_back(text.substr(at, end - at));
            if (words.back().empty())
                fail_usage(fmt::format("{} '{}': an entry is empty; give a list such as A,B", flag, text));
            at = end + 1;
        }
    return words;
}

std::int64_t number(const std::string& word, std::string_view flag, std::int64_t min, std::int64_t max)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < min || value > max)
        fail_usage(fmt::format("{} '{}': allowed is a whole number, {} to {}", flag, word, min, max));
    return value;
}

std::vector<std::int64_t> numbers(const std::vector<std::string>& texts, std::string_view flag, std::int64_t max)
{
    std::vector<std::int64_t> values;
    for (const std::string& word : words_of(texts, flag)) values.push_back(number(word, flag, 1, max));
    return values;
}

std::vector<shape> shapes_of(const bench_arguments& args)
{
    std::vector<std::int64_t> tokens = numbers(args.tokens, "--tokens", 1 << 26);
    std::vector<std::int64_t> hidden_dims = numbers(args.hidden_dims, "--hidden-dim", 1 << 24);
    if (tokens.empty() && hidden_dims.empty()) return {default_shapes.begin(), default_shapes.end()};
    for (const shape& known : default_shapes) {
        if (args.tokens.empty()) tokens.push_back(known.tokens);
        if (args.hidden_dims.empty()) hidden_dims.push_back(known.hidden_dim);
    }
    std::vector<shape> shapes;
    for (const std::int64_t T : tokens)
        for (const std::int64_t C : hidden_dims) shapes.push_back({T, C});
    return shapes;
}

std::vector<jit::operation> operations_of(const bench_arguments& args)
{
    std::vector<jit::operation> ops;
    for (const std::string& word : words_of(args.ops, "--op")) {
        if (word != "all") {
            ops.push_back(jit::parse_operation(word).value());
            continue;
        }
        for (int i = 0; i < jit::operation_count; ++i) ops.push_back(static_cast<jit::operation>(i));
    }
    if (ops.empty()) ops = {jit::operation::pre_fwd, jit::operation::post_fwd};
    return ops;
}

std::vector<jit::dtype> dtypes_of(const bench_arguments& args)
{
    std::vector<jit::dtype> types;
    for (const std::string& word : words_of(args.dtypes, "--dtype")) types.push_back(jit::parse_dtype(word).value());
    if (types.empty()) types = {jit::dtype::bf16};
    return types;
}

std::vector<setting> settings_of(const bench_arguments& args)
{
    struct flag_name {
        std::string_view setting, flag;
    };
    constexpr std::array own = {flag_name{"hidden_dim", "--hidden-dim"}, flag_name{"n_streams", "--n-streams"},
                                flag_name{"dtype", "--dtype"}};
    std::vector<setting> settings = parse_settings(args.settings, "--set");
    for (const setting& next : settings)
        for (const auto& [name, flag] : own)
            if (next.name == name)
                fail_usage(fmt::format("--set {}={}: {} is a list of its own here; use {} {}", next.name, next.value, name,
                                       flag, next.value));
    return settings;
}

}  // namespace

std::vector<bench_case> cases_of(const bench_arguments& args)
{
    const std::vector<setting> settings = settings_of(args);
    std::vector<std::int64_t> streams = numbers(args.n_streams, "--n-streams", 32);
    if (streams.empty()) streams = {4};
    const std::vector<jit::dtype> types = dtypes_of(args);
    const std::vector<shape> shapes = shapes_of(args);

    std::vector<bench_case> cases;
    for (const jit::operation op : operations_of(args))
        for (const shape& of : shapes)
            for (const std::int64_t n : streams)
                for (const jit::dtype type : types) {
                    bench_case next{.op = op, .spec = {}, .tokens = of.tokens};
                    next.spec.wanted = {op};
                    apply_settings(next.spec, op, settings);
                    next.spec.hidden_dim = of.hidden_dim;
                    next.spec.n_streams = static_cast<std::int32_t>(n);
                    next.spec.dtype = type;
                    jit::validate(next.spec).value();
                    cases.push_back(std::move(next));
                }
    return cases;
}

std::vector<std::string> targets_of(const bench_arguments& args)
{
    std::vector<std::string> names = words_of(args.targets, "--target");
    if (names.empty()) names.emplace_back();
    return names;
}

repetition repetition_of(const bench_arguments& args)
{
    repetition asked;
    asked.may_overlap = args.may_overlap;
    if (!args.warmup.empty()) asked.warmup = static_cast<int>(number(args.warmup, "--warmup", 0, 1'000'000));
    if (!args.iters.empty()) asked.iters = static_cast<int>(number(args.iters, "--iters", 1, 1'000'000));
    return asked;
}

std::int64_t copy_bytes_of(const bench_arguments& args)
{
    return mb * (args.copy_mb.empty() ? 1024 : number(args.copy_mb, "--copy-mb", 1, mb_max));
}

counting_request counting_of(const bench_arguments& args)
{
    counting_request asked;
    asked.wants_speed = args.wants_emulator_speed;
    if (!args.last_level_cache_mb.empty())
        asked.cache_bytes = mb * number(args.last_level_cache_mb, "--last-level-cache-mb", 0, mb_max);
    return asked;
}

void check_options_apply(const bench_arguments& args, bool has_timed, bool has_counted)
{
    struct option {
        const char* flag;
        bool is_given, is_of_timing;
    };
    const std::array options = {option{"--warmup", !args.warmup.empty(), true},
                                option{"--iters", !args.iters.empty(), true},
                                option{"--copy-mb", !args.copy_mb.empty(), true},
                                option{"--baseline", !args.baseline.empty(), true},
                                option{"--overlap", args.may_overlap, true},
                                option{"--last-level-cache-mb", !args.last_level_cache_mb.empty(), false},
                                option{"--emulator-speed", args.wants_emulator_speed, false}};
    for (const auto& [flag, is_given, is_of_timing] : options) {
        if (is_given && is_of_timing && !has_timed)
            fail_usage(fmt::format("{} is for targets that are timed; emulated ones are counted: leave it out", flag));
        if (is_given && !is_of_timing && !has_counted)
            fail_usage(fmt::format("{} is for emulated targets; use --target emu:gfx942 or its kind", flag));
    }
}

}  // namespace mhc::tools
