// tests/compile/budget_test.cpp -- registers and instructions of a few kernels, pinned for the compiler that measured them.
//
// A change that costs or saves is seen in review: run with MHC_WRITE_BUDGETS=1 to pin anew, and say why in the commit.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <mhc/jit.hpp>
#include <nlohmann/json.hpp>

using namespace mhc::jit;
using nlohmann::json;

namespace {

struct pinned {
    operation op;
    std::int32_t n;
    std::int64_t C;
    const char* target;
};

constexpr pinned kernels[] = {
    {operation::post_fwd, 4, 4096, "gfx942"},          {operation::pre_fwd, 4, 7168, "gfx942"},
    {operation::pre_fwd, 4, 4096, "gfx90a"},           {operation::post_fwd, 4, 4096, "gfx1100"},
    {operation::pre_fwd, 4, 4096, "gfx1200"},          {operation::post_fwd, 16, 4096, "gfx942"},
    {operation::dynamic_layer_fwd, 4, 1280, "gfx942"}, {operation::post_bwd, 4, 4096, "gfx942"},
    {operation::pre_bwd, 4, 4096, "gfx942"},           {operation::dynamic_layer_bwd, 4, 1280, "gfx942"},
    {operation::post_pre_bwd, 4, 4096, "gfx1100"},
};

int instructions_in(const std::string& assembly)
{
    int count = 0;
    std::istringstream lines(assembly);
    for (std::string line; std::getline(lines, line);) {
        const auto at = line.find_first_not_of(" \t");
        const bool is_code = at != std::string::npos && at > 0 && line[at] != ';' && line[at] != '/' && line[at] != '.';
        count += is_code ? 1 : 0;
    }
    return count;
}

json measure(const engine_options& options)
{
    json all;
    for (const pinned& p : kernels) {
        layer_spec spec;
        spec.hidden_dim = p.C;
        spec.n_streams = p.n;
        spec.wanted = {p.op};
        const operator_description d = describe(p.op, spec, p.target, 1024, true, options).value();
        for (const launch_description& launch : d.launches) {
            const std::string name = launch.symbol.substr(0, launch.symbol.rfind('_'));
            all[launch.compiler][std::string(p.target) + " " + name] = {
                {"vgprs", launch.resources.vgprs},
                {"sgprs", launch.resources.sgprs},
                {"lds_bytes", launch.resources.lds_bytes},
                {"instructions", instructions_in(disassemble(p.target, launch.code_object, options).value())}};
        }
    }
    return all;
}

}  // namespace

TEST_CASE("budget: registers, LDS and instructions are what is pinned for this compiler")
{
    engine_options options = engine_options::from_environment().value();
    options.backend = compiler_backend::clang;
    const json measured = measure(options);
    if (std::getenv("MHC_WRITE_BUDGETS") != nullptr) {
        std::ofstream(MHC_BUDGETS) << measured.dump(2) << '\n';
        return;
    }
    std::ifstream file(MHC_BUDGETS);
    const json budgets = json::parse(file);
    for (const auto& [compiler, list] : measured.items()) {
        if (!budgets.contains(compiler)) {
            MESSAGE("not compared: nothing is pinned for " << compiler);
            continue;
        }
        for (const auto& [name, values] : list.items()) {
            CAPTURE(name);
            REQUIRE(budgets[compiler].contains(name));
            CHECK(values == budgets[compiler][name]);
        }
    }
}
