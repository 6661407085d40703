// tests/unit/tune_decision_test.cpp -- which candidate mhc-tune lets win, from planted times.
#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>

#include "tools/mhc-tune/tune.hpp"

using namespace mhc::tools;
using times = std::vector<double>;

namespace {

/// The default first, then the candidates of 64, 128, ... work-items.
tune_result timed(const std::vector<times>& medians)
{
    tune_result made;
    made.what.tokens.resize(medians.front().size());
    int block = 0;
    for (const times& one : medians) {
        made.candidates.push_back({.choices = {.block = block}, .median_us = one});
        block += 64;
    }
    return made;
}

}  // namespace

TEST_CASE("tune: the least ratio wins where it is below the default by more than the default's own two timings differ")
{
    tune_result r = timed({{100, 10}, {101, 9}, {80, 8}});
    int asked = -1;
    decide(r, {102, 10}, [&](int best) { return asked = best, times{80, 8.1}; });
    CHECK(asked == 2);
    CHECK(r.best == 2);
    CHECK(r.wins);
    CHECK(r.spread == doctest::Approx(0.02));
    CHECK(r.candidates[0].ratio == doctest::Approx(1));
    CHECK(r.candidates[1].ratio == doctest::Approx(std::sqrt(1.01 * 0.9)));
    CHECK(r.candidates[2].ratio == doctest::Approx(std::sqrt(0.8 * 0.81)));
    CHECK(r.candidates[2].median_us == times{80, 8.1});
    const mhc::jit::tuned_row row = r.row("sm_90");
    CHECK(row.choices.block == 128);
    CHECK(row.us == doctest::Approx(std::sqrt(80 * 8.1)));
    CHECK(row.default_us == doctest::Approx(std::sqrt(1000)));
}

TEST_CASE("tune: the lower of the default's timings counts, and a difference within their spread is no win")
{
    tune_result r = timed({{100}, {94}});
    decide(r, {90}, [](int) -> times { throw std::logic_error("nothing to time again"); });
    CHECK_FALSE(r.wins);
    CHECK(r.best == 0);
    CHECK(r.candidates[0].median_us == times{90});

    r = timed({{100, 100}, {98, 98}});
    decide(r, {100, 103}, [](int) -> times { throw std::logic_error("the worst token count's spread is 3 %"); });
    CHECK(r.best == 1);
    CHECK_FALSE(r.wins);
}

TEST_CASE("tune: a median that was low once does not win")
{
    tune_result r = timed({{100}, {80}, {95}});
    decide(r, {101}, [](int) { return times{99.5}; });
    CHECK(r.best == 1);
    CHECK_FALSE(r.wins);
    CHECK(r.candidates[1].ratio == doctest::Approx(0.995));
}
