// tests/fake_hip/bench_test.cpp -- what mhc-bench asks of a GPU: every kernel of a call in the graph, nothing beside it, and
// nothing left behind. Kernels are compiled for gfx942 and not executed, so no time means anything here.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include <mhc/jit.hpp>
#include <mhc/jit/describe.hpp>

#include "tests/fake_hip/fixture.hpp"
#include "tests/fake_hip/layers.hpp"
#include "tools/common/problem.hpp"
#include "tools/mhc-bench/measure.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;

constexpr int warmup = 2, iters = 3;

jit::engine_options gpu_options()
{
    jit::engine_options options;
    options.target = "gfx942";
    options.cache_dir = MHC_TEST_CACHE_DIR;
    return options;
}

/// Launches of kernels that are not the floor's.
std::size_t count_launches(const std::vector<call>& record, call::how by)
{
    const auto is_one = [&](const call& one) {
        return one.name == "hipModuleLaunchKernel" && one.by == by && !one.symbol.starts_with("mhc_floor");
    };
    return static_cast<std::size_t>(std::count_if(record.begin(), record.end(), is_one));
}

/// Without what only d_bias is for, which is not asked for, and with as many layers as are usual.
std::size_t launches_of_usual_call(const tools::bench_case& of)
{
    const auto described = jit::describe(of.op, of.spec, "gfx942", of.tokens, false, gpu_options()).value();
    const auto is_made = [](const jit::launch_description& one) {
        return one.only_for != std::vector<std::string>{"d_bias"};
    };
    const auto made = std::count_if(described.launches.begin(), described.launches.end(), is_made);
    return static_cast<std::size_t>(of.op == jit::operation::multilayer_recompute ? made * tools::usual_layers : made);
}

}  // namespace

TEST_CASE("mhc-bench on a GPU: every operator's kernels are in the graph, on its stream, as often as calls")
{
    if (!can_compile()) return;
    const fake_runtime& fake = fresh_fake();
    tools::bench_target on = tools::open_target(gpu_options());
    on.copy_gbps = 1;
    tools::random_source random;
    for (int i = 0; i < jit::operation_count; ++i) {
        tools::bench_case what;
        what.op = static_cast<jit::operation>(i);
        what.spec.hidden_dim = 256;
        what.spec.wanted = {what.op};
        what.tokens = 5;
        const std::string name(jit::to_string(what.op));
        CAPTURE(name);
        const std::size_t kernels = launches_of_usual_call(what);
        (void)on.engine->layer(what.spec).value();  // its kernels are loaded before what is counted
        const auto before = fake.control.live();
        fake.control.take_record();
        const tools::bench_row row = tools::measure(on, what, random, {warmup, iters});
        const auto record = fake.control.take_record();

        constexpr std::size_t calls = 200;  // so small a shape has the most sets there are, each called once
        CHECK(count_launches(record, call::how::called) == kernels);
        CHECK(count_launches(record, call::how::captured) == kernels * calls);
        CHECK(count_launches(record, call::how::replayed) == kernels * calls * (warmup + iters));
        for (const call& one : record) {
            if (one.name == "hipModuleLaunchKernel" && one.by != call::how::replayed) CHECK(one.stream != nullptr);
            CHECK(one.result == 0);
        }
        CHECK(row.time.median_us >= 0);
        const auto after = fake.control.live();
        CHECK(after.allocations == before.allocations);
        CHECK(after.streams == before.streams);
        CHECK(after.events == before.events);
        CHECK(after.graphs == before.graphs);
        CHECK(after.executables == before.executables);
    }
}

TEST_CASE("mhc-bench on a GPU: large operands are fewer sets, and still twenty calls")
{
    if (!can_compile()) return;
    const fake_runtime& fake = fresh_fake();
    tools::bench_target on = tools::open_target(gpu_options());
    on.copy_gbps = 1;
    tools::random_source random;
    tools::bench_case what;
    what.op = jit::operation::expand_fwd;
    what.spec.hidden_dim = 4096;
    what.spec.wanted = {what.op};
    what.tokens = 1024;  // 42 MB a call: 7 sets are 264 MB, and three rounds of them are 20 calls or more
    fake.control.take_record();
    (void)tools::measure(on, what, random, {warmup, iters});
    CHECK(count_launches(fake.control.take_record(), call::how::captured) == 21);
}

TEST_CASE("mhc-bench on a GPU: what the driver refuses is the failure, and nothing is left in capture or in memory")
{
    if (!can_compile()) return;
    const fake_runtime& fake = fresh_fake();
    tools::bench_target on = tools::open_target(gpu_options());
    on.copy_gbps = 1;
    tools::random_source random;
    tools::bench_case what;
    what.op = jit::operation::post_fwd;
    what.spec.hidden_dim = 256;
    what.spec.wanted = {what.op};
    what.tokens = 5;
    const auto measure_once = [&] { return tools::measure(on, what, random, {warmup, iters}); };
    (void)measure_once();
    const auto before = fake.control.live();
    for (const char* function :
         {"hipMalloc", "hipStreamCreateWithFlags", "hipStreamBeginCapture", "hipModuleLaunchKernel", "hipStreamEndCapture",
          "hipGraphInstantiate", "hipEventCreate", "hipGraphLaunch", "hipEventRecord", "hipEventElapsedTime"})
        for (const int k : {1, 2}) {
            CAPTURE(function);
            CAPTURE(k);
            fake.control.reset();
            fake.control.fail(function, k, 719);
            bool was_refused = false;
            try {
                (void)measure_once();
            } catch (const jit::exception& e) {
                was_refused = true;
                CHECK(contains(e.what(), "hip"));
            }
            CHECK(was_refused);
            fake.control.reset();
            CHECK(fake.control.live() == before);
        }
    (void)measure_once();  // and the next one is well
}
