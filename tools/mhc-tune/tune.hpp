// tools/mhc-tune/tune.hpp -- times the candidates of one operator and shape beside the plan's own choices.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <mhc/jit/tuning.hpp>

#include "tools/mhc-tune/request.hpp"

namespace mhc::tools {

/// A candidate's medians, one for each number of tokens, and their ratio to the plan's own: the geometric mean over them.
struct timed_candidate {
    jit::tuning choices;
    std::vector<double> median_us;
    double ratio = 1;
};

struct tune_result {
    tune_case what;
    /// As the library lists them, the plan's own first. That is timed before the others and after them; its medians here are
    /// the lower of the two.
    std::vector<timed_candidate> candidates;
    double spread = 0;  ///< the larger of the plan's own two medians over the lower one, less 1; at worst over the tokens
    int best = 0;       ///< of the candidates; timed once more, of which the higher median counts
    bool wins = false;  ///< by more than the spread

    /// The line of a table, for a best that wins.
    jit::tuned_row row(const std::string& target) const;
};

/// Throws mhc::jit::exception. `show` is told what is timed next.
tune_result tune(bench_target& on, const tune_case& what, random_source& random, const repetition& asked,
                 const std::function<void(const std::string&)>& show);

/// What is decided by times alone: the ratios, the spread, the best and whether it wins. `own_again`: the plan's own choices
/// timed a second time; `best_again` times a candidate a second time.
void decide(tune_result& timed, const std::vector<double>& own_again,
            const std::function<std::vector<double>(int candidate)>& best_again);

}  // namespace mhc::tools
