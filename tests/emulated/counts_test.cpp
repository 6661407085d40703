// tests/emulated/counts_test.cpp -- what operators execute and move for each call, pinned.
//
// A change that costs or saves is seen in review: run with MHC_WRITE_COUNTS=1 to pin anew, and say why in the commit.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <mhc/jit.hpp>
#include <nlohmann/json.hpp>

#include "tools/mhc-bench/counted_report.hpp"

namespace {

using namespace mhc;
using nlohmann::json;

struct pinned_case {
    const char* processor;
    jit::operation op;
    std::int64_t hidden_dim = 1280, tokens = 8;
};

/// A few operators of every processor; then, on gfx942, the operators that are bound by memory for the hidden dimensions and
/// a number of tokens that docs/PERFORMANCE.md tells of. Counts are affine in the tokens but for the grid's bounds.
std::vector<pinned_case> all_cases()
{
    using enum jit::operation;
    std::vector<pinned_case> all{{"gfx942", post_fwd},     {"gfx942", pre_fwd},          {"gfx942", sinkhorn_fwd},
                                 {"gfx942", post_pre_fwd}, {"gfx942", static_layer_fwd}, {"gfx90a", post_fwd},
                                 {"gfx90a", pre_fwd},      {"gfx1100", post_fwd},        {"gfx1100", pre_fwd},
                                 {"gfx1200", post_fwd},    {"gfx1200", pre_fwd}};
    for (const std::int64_t hidden_dim : {1280, 2560, 4096, 7168})
        for (const jit::operation op : {post_fwd, pre_fwd, post_pre_fwd, static_layer_fwd, dynamic_layer_fwd})
            all.push_back({"gfx942", op, hidden_dim, 128});
    return all;
}

jit::engine_options options_of(const pinned_case& one)
{
    jit::engine_options options = jit::engine_options::from_environment().value();
    options.target = std::string("emu:") + one.processor;
    options.backend = jit::compiler_backend::clang;
    if (const char* dir = std::getenv("MHC_JIT_DIR"); dir == nullptr || *dir == '\0') options.cache_dir = MHC_TEST_CACHE_DIR;
    return options;
}

/// How many times the ideal bytes of data an operator's instructions may ask for. Those that make their coefficients read
/// the streams in two kernels, the second time from the last-level cache; a layer of them writes as much as it reads.
double data_share_max(jit::operation op)
{
    using enum jit::operation;
    if (op == pre_fwd || op == post_pre_fwd) return 2.1;
    return op == dynamic_layer_fwd ? 1.6 : 1.05;
}

/// By compiler, then by case; what they move is checked.
json count_all()
{
    json all;
    tools::random_source random;
    for (const pinned_case& one : all_cases()) {
        tools::bench_target on = tools::open_target(options_of(one));
        tools::bench_case what{.op = one.op, .spec = {}, .tokens = one.tokens};
        what.spec.wanted = {one.op};
        what.spec.hidden_dim = one.hidden_dim;
        what.spec.n_streams = 4;
        const tools::counted_row row = tools::count(on, what, random, {});
        const auto name = std::string(one.processor) + " " + std::string(jit::to_string(one.op)) + " n4 c" +
                          std::to_string(one.hidden_dim) + " t" + std::to_string(one.tokens) + " bf16";
        CAPTURE(name);
        const bool has_whole_tiles = one.tokens >= 128;  // a projection loads 16 tokens, where there are fewer too
        if (has_whole_tiles) CHECK(tools::data_share(row) <= data_share_max(one.op));
        const auto described =
            jit::describe(one.op, what.spec, options_of(one).target, what.tokens, true, options_of(one)).value();
        all[described.launches.front().compiler][name] = json(tools::counted_json(row).at("counts"));
    }
    return all;
}

}  // namespace

TEST_CASE("counts: instructions, bytes, lines and conflicts are what is pinned for this compiler")
{
    const json now = count_all();
    if (std::getenv("MHC_WRITE_COUNTS") != nullptr) {
        std::ofstream(MHC_COUNTS) << now.dump(1) << '\n';
        return;
    }
    std::ifstream file(MHC_COUNTS);
    const json pinned = json::parse(file);
    for (const auto& [compiler, list] : now.items()) {
        if (!pinned.contains(compiler)) {
            MESSAGE("not compared: nothing is pinned for " << compiler);
            continue;
        }
        for (const auto& [name, counts] : list.items()) {
            CAPTURE(name);
            REQUIRE(pinned[compiler].contains(name));
            CHECK(counts.dump(1) == pinned[compiler][name].dump(1));
        }
    }
}
