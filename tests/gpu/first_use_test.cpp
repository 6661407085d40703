// tests/gpu/first_use_test.cpp -- how long the first layer of a process takes, with an empty cache and with a full one.
//
// Times are printed; what decides is what was done: kernels compiled with an empty cache, none and no worker with a full
// one.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>

#include "tests/host/driver.hpp"
#include "tests/support/temporary_directory.hpp"

using namespace mhc;
using namespace mhc::testing;

namespace {

struct first_use {
    double milliseconds = 0;
    jit::engine_stats stats;
    std::size_t kernels = 0;
};

/// From nothing to a layer with the default operators.
first_use use(const std::string& target, const std::string& cache_dir)
{
    jit::layer_spec spec;
    spec.hidden_dim = 4096;
    jit::engine_options options;
    options.target = target;
    options.cache_dir = cache_dir;
    const auto begin = std::chrono::steady_clock::now();
    const auto engine = jit::engine::create(options).value();
    const jit::compiled_layer layer = engine->layer(spec).value();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    return {took.count(), engine->stats(), layer.kernels().size()};
}

}  // namespace

TEST_CASE("first use: an empty cache compiles each kernel once, a full one nothing")
{
    const std::string target = session::instance().target;
    const mhc::test::temporary_directory dir;
    const first_use cold = use(target, dir.path());
    const first_use warm = use(target, dir.path());
    std::printf("first use on %s: layer() in %.0f ms with an empty cache, %.2f ms with a full one (%zu kernels)\n",
                target.c_str(), cold.milliseconds, warm.milliseconds, cold.kernels);
    CHECK(cold.stats.compiled == cold.kernels);
    CHECK(warm.stats.compiled == 0);
    CHECK(warm.stats.l2_hit == warm.kernels);
    CHECK(cold.milliseconds < 10 * 1000);  // ten times what is promised
    CHECK(warm.milliseconds < 10 * 10);
}
