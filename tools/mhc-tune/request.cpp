// tools/mhc-tune/request.cpp -- the command line's lists, and the cases they make.
#include "tools/mhc-tune/request.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include <mhc/jit/tuning.hpp>

#include "tools/common/tool.hpp"

namespace mhc::tools {
namespace {

struct tuned_shape {
    std::string n_streams = "4", hidden_dim, dtype = "bf16";
};

std::vector<std::string> parts_of(const std::string& text, char separator)
{
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(separator, at), text.size());
        parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

bool is_within(const std::string& word, long long max)
{
    long long value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc() && end == word.data() + word.size() && value >= 1 && value <= max;
}

tuned_shape shape_of(const std::string& text)
{
    const std::vector<std::string> parts = parts_of(text, 'x');
    tuned_shape shape;
    shape.hidden_dim = parts.size() == 1 ? parts[0] : parts.size() <= 3 ? parts[1] : "";
    if (parts.size() > 1) shape.n_streams = parts[0];
    if (parts.size() > 2) shape.dtype = parts[2];
    if (!is_within(shape.hidden_dim, 1 << 24) || !is_within(shape.n_streams, 32) || !jit::parse_dtype(shape.dtype))
        fail_usage(
            fmt::format("--shapes '{}': allowed is HIDDEN_DIM, N_STREAMSxHIDDEN_DIM or N_STREAMSxHIDDEN_DIMxDTYPE, such as "
                        "4x4096xbf16; n_streams 1 to 32, hidden_dim 1 to 16777216, dtype bf16, fp16 or fp32",
                        text));
    return shape;
}

/// The cases of mhc-bench for one shape, an operator and a number of tokens each.
std::vector<bench_case> cases_of_shape(const tune_arguments& args, const tuned_shape& shape, const std::string& target)
{
    bench_arguments lists;
    lists.ops = args.ops;
    lists.settings = args.settings;
    lists.hidden_dims = {shape.hidden_dim};
    lists.n_streams = {shape.n_streams};
    lists.dtypes = {shape.dtype};
    lists.tokens = args.tokens;
    if (lists.tokens.empty()) lists.tokens = {target == "host" ? "64,512" : "128,2048,8192"};
    return cases_of(lists);
}

bool has_choices(const bench_case& what, const std::string& target)
{
    return jit::tuning_candidates(what.op, what.spec, target).value().size() > 1;
}

}  // namespace

bool tune_arguments::measures() const
{
    return !ops.empty() || !shapes.empty() || (import_file.empty() && export_file.empty());
}

std::vector<tune_case> tune_cases_of(const tune_arguments& args, const std::string& target)
{
    std::vector<std::string> shapes;
    for (const std::string& text : args.shapes)
        for (std::string& word : parts_of(text, ',')) shapes.push_back(std::move(word));
    if (shapes.empty()) shapes = {"4x4096xbf16"};
    bool wants_all = false;
    for (const std::string& text : args.ops)
        for (const std::string& word : parts_of(text, ',')) wants_all = wants_all || word == "all";

    std::vector<tune_case> cases;
    for (const std::string& text : shapes)
        for (bench_case& next : cases_of_shape(args, shape_of(text), target)) {
            // An operator's token counts come one after the other.
            const bool is_same = !cases.empty() && cases.back().what.op == next.op &&
                                 cases.back().what.spec.hidden_dim == next.spec.hidden_dim &&
                                 cases.back().what.spec.n_streams == next.spec.n_streams &&
                                 cases.back().what.spec.dtype == next.spec.dtype;
            if (!is_same && wants_all && !has_choices(next, target)) continue;
            const std::int64_t tokens = next.tokens;
            if (!is_same) cases.push_back({std::move(next), {}});
            cases.back().tokens.push_back(tokens);
        }
    return cases;
}

}  // namespace mhc::tools
