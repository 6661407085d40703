// tools/mhc-tune/tune.cpp -- times the candidates of one operator and shape beside the plan's own choices.
#include "tools/mhc-tune/tune.hpp"

#include <future>

#include <fmt/format.h>

#include "tools/mhc-bench/operand_sets.hpp"
#include "tools/mhc-bench/traffic.hpp"

namespace mhc::tools {
namespace {

/// The candidates' layers, compiled side by side.
std::vector<jit::compiled_layer> layers_of(bench_target& on, const jit::layer_spec& spec,
                                           const std::vector<jit::tuning>& list)
{
    std::vector<std::future<jit::result<jit::compiled_layer>>> making;
    for (const jit::tuning& choices : list)
        making.push_back(std::async(std::launch::async, [&] { return on.engine->layer_tuned(spec, choices); }));
    std::vector<jit::compiled_layer> layers;
    for (auto& one : making) layers.push_back(one.get().value());
    return layers;
}

/// Times layers on the same operands, for one number of tokens.
class stopwatch {
public:
    stopwatch(bench_target& on, bench_case what, std::int64_t tokens, const jit::compiled_layer& first,
              random_source& random, const repetition& asked)
        : device_(*on.device),
          asked_(asked),
          sets_(on, with_tokens(std::move(what), tokens), first, random,
                sets_for(*on.device, traffic_of(what.op, what.spec).bytes(tokens)))
    {
    }
    double median_us(const jit::compiled_layer& layer)
    {
        const auto call = [&](std::size_t set, void* stream) { sets_.call(layer, set, stream); };
        return time_calls(device_, sets_.count(), call, asked_).median_us;
    }

private:
    static bench_case with_tokens(bench_case what, std::int64_t tokens)
    {
        what.tokens = tokens;
        return what;
    }

    jit::device& device_;
    repetition asked_;
    operand_sets sets_;
};

}  // namespace

tune_result tune(bench_target& on, const tune_case& what, random_source& random, const repetition& asked,
                 const std::function<void(const std::string&)>& show)
{
    tune_result made{.what = what, .candidates = {}};
    const std::vector<jit::tuning> list = jit::tuning_candidates(what.what.op, what.what.spec, on.name).value();
    for (const jit::tuning& choices : list) made.candidates.push_back({.choices = choices, .median_us = {}});
    const auto name = [&](std::int64_t tokens, const std::string& rest) {
        return fmt::format("{} {}x{} {}", jit::to_string(what.what.op), tokens, what.what.spec.hidden_dim, rest);
    };
    show(name(what.tokens.front(), "compiling"));
    const std::vector<jit::compiled_layer> layers = layers_of(on, what.what.spec, list);

    std::vector<double> own_again;
    for (const std::int64_t tokens : what.tokens) {
        stopwatch watch(on, what.what, tokens, layers.front(), random, asked);
        for (std::size_t i = 0; i < layers.size(); ++i) {
            show(name(tokens, to_text(list[i])));
            made.candidates[i].median_us.push_back(watch.median_us(layers[i]));
        }
        own_again.push_back(watch.median_us(layers.front()));
    }
    decide(made, own_again, [&](int best) {
        std::vector<double> again;
        for (const std::int64_t tokens : what.tokens) {
            show(name(tokens, "again"));
            stopwatch watch(on, what.what, tokens, layers.front(), random, asked);
            again.push_back(watch.median_us(layers[static_cast<std::size_t>(best)]));
        }
        return again;
    });
    return made;
}

}  // namespace mhc::tools
