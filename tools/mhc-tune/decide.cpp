// tools/mhc-tune/decide.cpp -- which candidate wins, from times alone.
#include <algorithm>
#include <cmath>

#include "tools/mhc-tune/tune.hpp"

namespace mhc::tools {
namespace {

double geometric_mean(const std::vector<double>& values)
{
    double sum = 0;
    for (const double value : values) sum += std::log(value);
    return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace

jit::tuned_row tune_result::row(const std::string& target) const
{
    const jit::layer_spec& spec = what.what.spec;
    const timed_candidate& winner = candidates[static_cast<std::size_t>(best)];
    return {target,
            what.what.op,
            spec.n_streams,
            spec.hidden_dim,
            spec.dtype,
            winner.choices,
            geometric_mean(winner.median_us),
            geometric_mean(candidates.front().median_us)};
}

void decide(tune_result& timed, const std::vector<double>& own_again,
            const std::function<std::vector<double>(int candidate)>& best_again)
{
    std::vector<double>& own = timed.candidates.front().median_us;
    for (std::size_t i = 0; i < own.size(); ++i) {
        const auto [low, high] = std::minmax(own[i], own_again[i]);
        timed.spread = std::max(timed.spread, high / low - 1);
        own[i] = low;
    }
    const auto ratio_of = [&](const timed_candidate& one) {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < own.size(); ++i) ratios.push_back(one.median_us[i] / own[i]);
        return geometric_mean(ratios);
    };
    for (timed_candidate& one : timed.candidates) one.ratio = ratio_of(one);
    const auto least =
        std::min_element(timed.candidates.begin(), timed.candidates.end(),
                         [](const timed_candidate& a, const timed_candidate& b) { return a.ratio < b.ratio; });
    timed.best = static_cast<int>(least - timed.candidates.begin());
    if (least->ratio >= 1 - timed.spread) return;
    // The least of many medians is low by luck too: what it takes the second time counts where that is more.
    const std::vector<double> again = best_again(timed.best);
    for (std::size_t i = 0; i < own.size(); ++i) least->median_us[i] = std::max(least->median_us[i], again[i]);
    least->ratio = ratio_of(*least);
    timed.wins = least->ratio < 1 - timed.spread;
}

}  // namespace mhc::tools
