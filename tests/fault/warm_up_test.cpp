// tests/fault/warm_up_test.cpp -- many layers at once: each made once, told once, and cancelled in between.
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include "tests/fault/planted_engine.hpp"

using namespace mhc;
using namespace mhc::test;
using namespace mhc::testing;

namespace {

std::vector<jit::layer_spec> specs(int count)
{
    std::vector<jit::layer_spec> all;
    for (int number = 0; number < count; ++number) all.push_back(one_kernel(number));
    return all;
}

}  // namespace

TEST_CASE("warm-up: every layer is compiled once, told once, and known from then on")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable log("MHC_PLANTED_JOBS", dir / "jobs"), starts("MHC_PLANTED_LOG", dir / "starts"),
        slow("MHC_PLANTED_MS", "20");
    jit::engine_options options = planted_options(dir / "cache");
    options.jobs_max = 4;
    const auto engine = planted_engine(options);
    std::set<int> told;
    std::set<std::string> layers;
    const jit::warm_up_report report = engine->warm_up(specs(20), [&](const jit::warm_up_step& step) {
        CHECK(step.total == 20);
        CHECK(step.is_ready);
        CHECK(step.what == "1 kernel: 1 compiled");
        told.insert(step.done);
        layers.insert(step.layer);
        return true;
    });
    CHECK(report.ready == 20);
    CHECK(report.cancelled == 0);
    CHECK(report.failures.empty());
    CHECK(told.size() == 20);
    CHECK(*told.rbegin() == 20);
    CHECK(layers.size() == 20);
    CHECK(layers.count("hidden_dim 64, n_streams 2, bf16: expand_fwd") == 1);
    CHECK(jobs_in(dir / "jobs") == 20);
    CHECK(words_of_lines(dir / "starts").size() > 1);  // side by side: more than one worker was needed

    std::vector<std::string> again;
    CHECK(engine->warm_up(specs(2), [&](const jit::warm_up_step& step) { return again.push_back(step.what), true; }).ready ==
          2);
    CHECK(again == std::vector<std::string>{"known", "known"});
    CHECK(engine->stats().compiled == 20);
    const auto next = planted_engine(options);
    CHECK(next->warm_up(specs(20)).ready == 20);
    CHECK(next->stats().l2_hit == 20);
    CHECK(next->stats().compiled == 0);
}

TEST_CASE("warm-up: a layer that fails is named and keeps no other back")
{
    load_look_alike();
    const temporary_directory dir;
    const auto engine = planted_engine(planted_options(dir.path()));
    std::vector<jit::layer_spec> all = specs(5);
    all[3].hidden_dim = 0;
    all[1].n_streams = 1000;
    const jit::warm_up_report report = engine->warm_up(all);
    CHECK(report.ready == 3);
    REQUIRE(report.failures.size() == 2);
    CHECK(report.failures[0].index == 1);
    CHECK(report.failures[0].why.code == jit::errc::bad_spec);
    CHECK(report.failures[0].layer.find("n_streams 1000") != std::string::npos);
    CHECK(report.failures[1].index == 3);

    const environment_variable how("MHC_PLANTED_HOW", "compile_error");
    const temporary_directory other;
    std::vector<std::string> what;
    const auto broken = planted_engine(planted_options(other.path()))->warm_up(specs(1), [&](const jit::warm_up_step& step) {
        return what.push_back(step.what), true;
    });
    REQUIRE(broken.failures.size() == 1);
    CHECK(broken.failures[0].why.code == jit::errc::compile_failed);
    CHECK(broken.failures[0].why.message.find("planted error") != std::string::npos);
    REQUIRE(what.size() == 1);
    CHECK(what[0].find('\n') == std::string::npos);
}

TEST_CASE("warm-up: cancelled, it begins no further layer")
{
    load_look_alike();
    const temporary_directory dir;
    jit::engine_options options = planted_options(dir.path());
    options.jobs_max = 2;
    const auto engine = planted_engine(options);
    jit::warm_up_report report;
    int calls = 0;
    SUBCASE("by the callback")
    {
        report = engine->warm_up(specs(20), [&](const jit::warm_up_step&) { return ++calls < 3; });
        CHECK(report.ready >= 3);
        CHECK(report.ready <= 4);
    }
    SUBCASE("by a callback that throws")
    {
        report = engine->warm_up(specs(20), [](const jit::warm_up_step&) -> bool { throw std::runtime_error("no"); });
        CHECK(report.ready >= 1);
        CHECK(report.ready <= 2);
    }
    SUBCASE("by the token, before it begins")
    {
        std::stop_source source;
        source.request_stop();
        report = engine->warm_up(
            specs(20), [&](const jit::warm_up_step&) { return ++calls > 0; }, source.get_token());
        CHECK(report.ready == 0);
        CHECK(calls == 0);
    }
    SUBCASE("by the token, from another thread")
    {
        std::stop_source source;
        report = engine->warm_up(
            specs(20),
            [&](const jit::warm_up_step&) {
                if (++calls == 2) std::thread([&] { source.request_stop(); }).join();
                return true;
            },
            source.get_token());
        CHECK(report.ready >= 2);
        CHECK(report.ready <= 3);
    }
    CHECK(report.ready + report.cancelled == 20);
    CHECK(engine->stats().compiled == static_cast<std::uint64_t>(report.ready));
}

TEST_CASE("warm-up: nothing to do is done")
{
    load_look_alike();
    const temporary_directory dir;
    const auto report = planted_engine(planted_options(dir.path()))->warm_up({});
    CHECK(report.ready == 0);
    CHECK(report.cancelled == 0);
}

TEST_CASE("warm-up: while other threads ask for the same layers and warm up themselves, each kernel is compiled once")
{
    load_look_alike();
    const temporary_directory dir;
    const environment_variable log("MHC_PLANTED_JOBS", dir / "jobs"), slow("MHC_PLANTED_MS", "5");
    const auto engine = planted_engine(planted_options(dir / "cache"));
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
            for (int number = 11; number >= 0; --number) good += engine->layer(one_kernel(number)) ? 1 : 0;
        });
        threads.emplace_back([&] { good += engine->warm_up(specs(12)).ready; });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(good == 4 * 12);
    CHECK(engine->stats().compiled == 12);
    CHECK(jobs_in(dir / "jobs") == 12);
}
