// tests/host/threads_test.cpp -- one layer launched from eight threads at once computes in each what it computes alone.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

constexpr int thread_count = 8;
/// Emulated launches take a thousand times as long; what is looked at there is the loader's part of them.
int launches_each() { return environment("MHC_TEST_SMALL", "0") == "0" ? 20 : 4; }

test_case threaded_case(operation op, int thread)
{
    test_case made;
    made.op = op;
    made.name = std::string(name_of(op)) + " thread " + std::to_string(thread);
    made.seed = seed_of(made.name);
    made.tokens = 33 + thread;  // different sizes, so that a shared scratch area would not fit
    made.spec.n_streams = 4;
    made.spec.hidden_dim = 127;
    made.spec.options = reference::options_of(jit::preset::mhc_cu);
    made.spec.wanted = jit::operations{op};
    return made;
}

}  // namespace

TEST_CASE("threads: eight threads launching one layer compute what one does")
{
    session& on = session::instance();
    for (int op = 0; op < jit::operation_count; ++op) {
        const auto which = static_cast<operation>(op);
        const jit::compiled_layer layer = on.layer(threaded_case(which, 0).spec);
        std::vector<operands> made;
        std::vector<outcome> alone;
        for (int thread = 0; thread < thread_count; ++thread) {
            made.push_back(make_operands(threaded_case(which, thread)));
            alone.push_back(run(on, layer, made.back()));
            REQUIRE(alone.back().problems.empty());
        }
        const int launches = launches_each();
        std::atomic<int> different = 0;
        std::vector<std::thread> threads;
        for (std::size_t thread = 0; thread < made.size(); ++thread) {
            threads.emplace_back([&, thread] {
                for (int i = 0; i < launches; ++i) {
                    const outcome got = run(on, layer, made[thread]);
                    if (!got.problems.empty() || got.outputs != alone[thread].outputs) ++different;
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        CAPTURE(std::string(name_of(which)));
        CHECK(different == 0);
    }
}

TEST_CASE("threads: eight threads asking for one layer get it, and its kernels are compiled once")
{
    session& on = session::instance();
    jit::layer_spec spec = threaded_case(operation::post_fwd, 0).spec;
    spec.hidden_dim = 131;  // no other test here makes these kernels
    spec.wanted = {operation::post_fwd, operation::expand_fwd};
    const jit::engine_stats before = on.engine->stats();
    std::atomic<int> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < thread_count; ++i) {
        threads.emplace_back([&] { failed += on.engine->layer(spec).has_value() ? 0 : 1; });
    }
    for (std::thread& thread : threads) thread.join();
    const jit::engine_stats after = on.engine->stats();
    const std::size_t kernels = on.layer(spec).kernels().size();
    CHECK(failed == 0);
    CHECK((after.compiled - before.compiled) + (after.l2_hit - before.l2_hit) + (after.l3_hit - before.l3_hit) == kernels);
}
