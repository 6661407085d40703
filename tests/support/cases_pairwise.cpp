// tests/support/cases_pairwise.cpp -- a greedy covering array: every possible pair of values, in few cases.
//
// Each case starts from the first pair that no case has yet; then factor after factor takes the value that adds most new
// pairs with what is chosen already. What is possible is decided by `allowed` alone.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tests/support/cases.hpp"

namespace mhc::testing {
namespace {

constexpr int open = -1;  // a factor without a value yet

bool is_no_tokens(int f, int value) { return static_cast<factor>(f) == factor::tokens && value == 0; }

/// A choice in the making: the values of some factors.
struct maker {
    const case_group& group;
    const case_limits& limits;
    std::array<int, factor_count> counts{};

    maker(const case_group& of, const case_limits& within) : group(of), limits(within)
    {
        for (int f = 0; f < factor_count; ++f) counts[static_cast<std::size_t>(f)] = value_count(of, static_cast<factor>(f));
    }

    /// False when the values chosen so far already contradict each other.
    bool allowed(const choice& made) const
    {
        const auto chosen = [&](factor f) { return made[static_cast<std::size_t>(f)]; };
        const auto is = [&](factor f, const char* name) { return chosen(f) != open && value_name(f, chosen(f)) == name; };
        if (is(factor::dtype, "fp32") && is(factor::alignment, "align=2")) return false;  // below the size of an element
        if (!is_within(made, limits)) return false;
        if (chosen(factor::n_streams) == open || chosen(factor::hidden_dim) == open || chosen(factor::tokens) == open)
            return true;
        return work_of(group, made) <= limits.work_max;
    }

    /// Whether the open factors can be filled, without falling back on no tokens. The rules above tie disjoint groups of two
    /// or three factors, so that trying values in order does not search far.
    bool completable(choice made) const
    {
        if (!allowed(made)) return false;
        const auto next = std::find(made.begin(), made.end(), open);
        if (next == made.end()) return true;
        const auto f = static_cast<int>(next - made.begin());
        for (int value = 0; value < counts[static_cast<std::size_t>(f)]; ++value) {
            *next = value;
            if (!is_no_tokens(f, value) && completable(made)) return true;
        }
        return false;
    }

    choice empty() const
    {
        choice made{};
        for (std::size_t f = 0; f < made.size(); ++f) made[f] = counts[f] > 1 ? open : 0;
        return made;
    }
};

/// The pairs of values that some case has to contain.
class pair_table {
public:
    explicit pair_table(const maker& by) : counts_(by.counts)
    {
        for_each([&](int f, int g, int v, int w) {
            choice made = by.empty();
            made[static_cast<std::size_t>(f)] = v;
            made[static_cast<std::size_t>(g)] = w;
            missing(f, g, v, w) = by.completable(made);
        });
    }

    /// Whether (f=v, g=w) is possible and in no case yet.
    bool is_missing(int f, int g, int v, int w) { return f < g ? missing(f, g, v, w) : missing(g, f, w, v); }

    /// Marks the pairs of a case. One without tokens computes nothing, so it stands only for the pairs T=0 is in.
    void cover(const choice& made)
    {
        const bool nothing = made[static_cast<std::size_t>(factor::tokens)] == 0;
        for (int f = 0; f < factor_count; ++f) {
            for (int g = f + 1; g < factor_count; ++g) {
                const int v = made[static_cast<std::size_t>(f)], w = made[static_cast<std::size_t>(g)];
                if (!nothing || is_no_tokens(f, v) || is_no_tokens(g, w)) missing(f, g, v, w) = false;
            }
        }
    }

    /// Calls visit(f, g, v, w) for every pair of values of two factors that have more than one.
    template <class Visit>
    void for_each(const Visit& visit) const
    {
        for (int f = 0; f < factor_count; ++f) {
            for (int g = f + 1; g < factor_count; ++g) {
                if (counts_[static_cast<std::size_t>(f)] == 1 || counts_[static_cast<std::size_t>(g)] == 1) continue;
                for (int v = 0; v < counts_[static_cast<std::size_t>(f)]; ++v) {
                    for (int w = 0; w < counts_[static_cast<std::size_t>(g)]; ++w) visit(f, g, v, w);
                }
            }
        }
    }

private:
    static constexpr int values_max = 28;

    char& missing(int f, int g, int v, int w)
    {
        return missing_[static_cast<std::size_t>(((f * factor_count + g) * values_max + v) * values_max + w)];
    }

    std::array<int, factor_count> counts_;
    std::vector<char> missing_ =
        std::vector<char>(static_cast<std::size_t>(factor_count * factor_count * values_max * values_max));
};

/// How many missing pairs factor f has at value v with what is chosen.
int gain_of(pair_table& pairs, const choice& made, int f, int v)
{
    const bool nothing = made[static_cast<std::size_t>(factor::tokens)] == 0;
    int gain = 0;
    for (int g = 0; g < factor_count; ++g) {
        const int w = made[static_cast<std::size_t>(g)];
        if (g == f || w == open) continue;
        if (nothing && !is_no_tokens(g, w)) continue;
        gain += pairs.is_missing(f, g, v, w) ? 1 : 0;
    }
    return gain;
}

/// Fills the open factors of `made`, each with the value that adds most pairs; `turn` breaks ties evenly.
void complete(const maker& by, pair_table& pairs, choice& made, int turn)
{
    for (int f = 0; f < factor_count; ++f) {
        const auto at = static_cast<std::size_t>(f);
        if (made[at] != open) continue;
        int best = open, best_gain = -1;
        for (int step = 0; step < by.counts[at]; ++step) {
            const int value = (turn + step) % by.counts[at];
            if (is_no_tokens(f, value)) continue;  // only a pair that needs T=0 asks for it
            choice tried = made;
            tried[at] = value;
            const int gain = gain_of(pairs, made, f, value);
            if (gain > best_gain && by.completable(tried)) {
                best = value;
                best_gain = gain;
            }
        }
        made[at] = best;
    }
}

}  // namespace

std::vector<choice> pairwise_choices(const case_group& group, const case_limits& limits)
{
    const maker by(group, limits);
    pair_table pairs(by);
    std::vector<choice> cases;
    pairs.for_each([&](int f, int g, int v, int w) {
        if (!pairs.is_missing(f, g, v, w)) return;
        choice made = by.empty();
        made[static_cast<std::size_t>(f)] = v;
        made[static_cast<std::size_t>(g)] = w;
        complete(by, pairs, made, static_cast<int>(cases.size()));
        pairs.cover(made);
        cases.push_back(made);
    });
    return cases;
}

std::vector<choice> product_choices(const case_group& group, const case_limits& limits)
{
    const maker by(group, limits);
    const std::vector<factor> crossed = {factor::n_streams, factor::hidden_dim, factor::tokens, factor::dtype,
                                         factor::preset,    factor::sinkhorn,   factor::iters};
    std::vector<choice> cases = {by.empty()};
    for (const factor f : crossed) {
        const auto at = static_cast<std::size_t>(f);
        std::vector<choice> longer;
        for (const choice& made : cases) {
            for (int value = 0; value < by.counts[at]; ++value) {
                choice next = made;
                next[at] = value;
                if (by.completable(next)) longer.push_back(next);
            }
        }
        cases = std::move(longer);
    }
    for (std::size_t turn = 0; turn < cases.size(); ++turn) {
        choice& made = cases[turn];
        for (std::size_t f = 0; f < made.size(); ++f) {
            if (made[f] != open) continue;
            // Each factor turns at a speed of its own, so that no two move in lockstep.
            std::size_t value = turn / (f + 1) + turn;
            do {
                made[f] = static_cast<int>(value++ % static_cast<std::size_t>(by.counts[f]));
            } while (!by.completable(made));
        }
    }
    return cases;
}

}  // namespace mhc::testing
