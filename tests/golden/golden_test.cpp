// tests/golden/golden_test.cpp -- keys, argument blocks and filled stubs of some kernels, pinned.
//
// A changed key makes every stored object a miss: that may be right, but is never an accident. To pin anew, run with
// MHC_WRITE_GOLDEN=1 and say why in the commit. The file's name holds the key's format version.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "cache/code_store.hpp"
#include "codegen/key.hpp"
#include "codegen/plan.hpp"
#include "codegen/render.hpp"
#include "runtime/object_source.hpp"

using namespace mhc;
using nlohmann::json;

namespace {

json pin(const codegen::kernel_plan& k, const codegen::target& on)
{
    const std::string key = codegen::key_of(k, on, runtime::source_digest(k)).canonical();
    const std::string source = codegen::render(k, on, k.symbol_base);
    json pinned;
    pinned["key"] = cache::to_hex(cache::sha256(key));
    // The stub is what follows the last header; the headers are pinned by the key's digest.
    const std::size_t plain = source.rfind("\nMHC_KERNEL("), resident = source.rfind("\nMHC_RESIDENT_KERNEL(");
    const std::string stub = source.substr((plain == std::string::npos ? resident : plain) + 1);
    for (std::size_t at = 0; at < stub.size(); at = stub.find('\n', at) + 1)
        pinned["stub"].push_back(stub.substr(at, stub.find('\n', at) - at));
    for (const codegen::argument& arg : k.args)
        pinned["arguments"].push_back(fmt::format("{} {}+{}", name_of(arg.what), arg.offset, arg.size));
    pinned["block"] = k.block;
    pinned["groups_of_320_tokens"] = k.grid.groups(320);
    return pinned;
}

json pin_all()
{
    json all;
    for (const char* target : {"gfx942", "gfx1100", "host:x86-64-v3"})
        for (const auto op : {jit::operation::sinkhorn_fwd,
                              jit::operation::rmsnorm_fwd,
                              jit::operation::expand_fwd,
                              jit::operation::post_fwd,
                              jit::operation::pre_fwd,
                              jit::operation::static_layer_fwd,
                              jit::operation::dynamic_layer_fwd,
                              jit::operation::split_mixes_fwd,
                              jit::operation::head_fwd,
                              jit::operation::sinkhorn_bwd,
                              jit::operation::rmsnorm_bwd,
                              jit::operation::apply_mix_bwd,
                              jit::operation::expand_bwd,
                              jit::operation::post_bwd,
                              jit::operation::pre_bwd,
                              jit::operation::static_layer_bwd,
                              jit::operation::dynamic_layer_bwd,
                              jit::operation::post_pre_bwd,
                              jit::operation::head_bwd,
                              jit::operation::pre_project_bwd,
                              jit::operation::split_mixes_bwd,
                              jit::operation::post_head_fwd,
                              jit::operation::multilayer_recompute,
                              jit::operation::rmsnorm_matmul_fwd,
                              jit::operation::rmsnorm_matmul_bwd,
                              jit::operation::post_head_bwd}) {
            jit::layer_spec spec;
            spec.hidden_dim = 4096;
            spec.wanted = {op};
            const codegen::target on = codegen::parse_target(target).value();
            const codegen::operator_plan planned = codegen::plan(spec, on, op).value();
            // Operators share kernels: the first one's arguments and grid are pinned.
            for (const codegen::kernel_plan& k : planned.kernels)
                if (!all[target].contains(k.symbol_base)) all[target][k.symbol_base] = pin(k, on);
            if (op != jit::operation::pre_bwd) continue;
            spec.fn_order = jit::fn_order::phi;
            const codegen::operator_plan arranged = codegen::plan(spec, on, op).value();
            for (const codegen::kernel_plan& k : arranged.kernels)
                if (!all[target].contains(k.symbol_base)) all[target][k.symbol_base] = pin(k, on);
        }
    return all;
}

}  // namespace

TEST_CASE("golden: keys, stubs, argument blocks and grids are what is pinned")
{
    const json now = pin_all();
    if (std::getenv("MHC_WRITE_GOLDEN") != nullptr) {
        std::ofstream(MHC_GOLDEN) << now.dump(1) << '\n';
        return;
    }
    std::ifstream file(MHC_GOLDEN);
    const json pinned = json::parse(file);
    for (const auto& [target, kernels] : now.items())
        for (const auto& [name, values] : kernels.items()) {
            CAPTURE(target);
            CAPTURE(name);
            REQUIRE(pinned[target].contains(name));
            for (const auto& [field, value] : values.items()) {
                CAPTURE(field);
                CHECK(value.dump(1) == pinned[target][name][field].dump(1));
            }
        }
}
