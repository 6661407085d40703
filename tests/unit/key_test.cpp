// tests/unit/key_test.cpp -- sources, keys, targets and options of compilers: pure functions of plan and target.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "cache/code_store.hpp"
#include "codegen/compile_options.hpp"
#include "codegen/render.hpp"
#include "tests/unit/plan_test_support.hpp"

using namespace mhc;
using namespace mhc::codegen;
using namespace mhc::testing;
using jit::operation;

TEST_CASE("render: holes are named, and an unknown or an unused name is an error")
{
    CHECK(fill("a ${x} b ${y}${x}", {{"x", "1"}, {"y", "2"}}) == "a 1 b 21");
    CHECK_THROWS_AS((void)fill("${x} ${z}", {{"x", "1"}}), std::logic_error);
    CHECK_THROWS_AS((void)fill("${x}", {{"x", "1"}, {"y", "2"}}), std::logic_error);
}

TEST_CASE("render: a source is self-contained, begins with its plan, and has no hole left")
{
    for (const char* target : {"gfx942", "host:x86-64-v3"})
        for (int i = 0; i < jit::operation_count; ++i) {
            const operator_plan p = plan_of(spec_of(4, 1280), target, static_cast<operation>(i));
            for (const kernel_plan& k : p.kernels) {
                const std::string text = render(k, p.on, "mhc_test");
                CHECK(text.starts_with(std::string("// mhc_test for ") + target));
                CHECK(text.find("#include") == std::string::npos);
                CHECK(text.find("${") == std::string::npos);
                CHECK(text.find("#ifdef") == std::string::npos);
            }
        }
}

TEST_CASE("key: every choice of a spec that changes the code changes the key, and nothing else does")
{
    const jit::layer_spec base = spec_of(4, 4096);
    const auto pre_key = [](const jit::layer_spec& s, const char* target) {
        std::string all;
        for (const kernel_plan& k : plan_of(s, target, operation::pre_fwd).kernels) all += key_text_of(k, target);
        return all;
    };
    std::set<std::string> keys{pre_key(base, "gfx942")};
    const auto add = [&](auto change) {
        jit::layer_spec s = base;
        change(s);
        return keys.insert(pre_key(s, "gfx942")).second;
    };
    CHECK(add([](auto& s) { s.hidden_dim = 4104; }));
    CHECK(add([](auto& s) { s.n_streams = 5; }));
    CHECK(add([](auto& s) { s.dtype = jit::dtype::fp16; }));
    CHECK(add([](auto& s) { s.weight_dtype = jit::dtype::bf16; }));
    CHECK(add([](auto& s) { s.options.order = jit::sinkhorn_order::row_col; }));
    CHECK(add([](auto& s) { s.options.start = jit::sinkhorn_start::log; }));
    CHECK(add([](auto& s) { s.options.sinkhorn_iters = 19; }));
    CHECK(add([](auto& s) { s.options.eps_mode = jit::sinkhorn_eps_mode::thresh; }));
    CHECK(add([](auto& s) { s.options.rms_eps = 1e-5F; }));
    CHECK(add([](auto& s) { s.options.pre_eps = 1e-6F; }));
    CHECK(add([](auto& s) { s.options.post_mult = 1; }));
    CHECK(add([](auto& s) { s.norm_weight = true; }));
    CHECK(add([](auto& s) { s.fn_order = jit::fn_order::phi; }));
    CHECK(add([](auto& s) { s.fn_norm_weight = true; }));
    CHECK(add([](auto& s) { s.norm_weight = true, s.options.norm_eps = 1e-3F; }));
    CHECK(add([](auto& s) { s.layer_input_quant = jit::layer_input_quant::fp8_row; }));
    CHECK(add([](auto& s) { s.layer_input_quant = jit::layer_input_quant::fp8_block128; }));
    CHECK(add([](auto& s) { s.alignment_bytes = 4; }));
    CHECK(keys.insert(pre_key(base, "gfx90a")).second);
    CHECK(keys.insert(pre_key(base, "gfx90a:xnack-")).second);
    // An eps that no step reads, and the layout of a matrix that pre_fwd only returns, change nothing.
    CHECK_FALSE(add([](auto& s) { s.options.sinkhorn_eps = 0.5F; }));
    CHECK_FALSE(add([](auto& s) { s.options.layout = jit::mix_layout::src_dst; }));
    CHECK(add([](auto& s) { s.options.arithmetic = jit::projection::strict; }));  // without matrix units
    CHECK_FALSE(add([](auto& s) { s.wanted = {operation::pre_fwd}; }));
}

TEST_CASE("key: kernels of one key have one name, since a stored row has one")
{
    std::map<std::string, std::string> names;
    int kernels = 0;
    for (const jit::dtype type : {jit::dtype::bf16, jit::dtype::fp16, jit::dtype::fp32})
        for (const jit::dtype weight : {jit::dtype::bf16, jit::dtype::fp32})
            for (const auto order : {jit::fn_order::fn, jit::fn_order::phi})
                for (int i = 0; i < jit::operation_count; ++i) {
                    jit::layer_spec s = spec_of(4, 1280);
                    s.dtype = type;
                    s.weight_dtype = weight;
                    s.fn_order = order;
                    for (const kernel_plan& k : plan_of(s, "gfx942", static_cast<operation>(i)).kernels) {
                        const std::string& name = names.emplace(key_text_of(k, "gfx942"), k.symbol_base).first->second;
                        CHECK(name == k.symbol_base);
                        ++kernels;
                    }
                }
    CHECK(kernels > static_cast<int>(names.size()));
}

TEST_CASE("key: lengths are part of the text, so fields cannot run into each other")
{
    key_text a, b;
    a.fields = {{"x", "1\n1:y1:2"}};
    b.fields = {{"x", "1"}, {"y", "2"}};
    CHECK(a.canonical() != b.canonical());
}

TEST_CASE("target: an NVIDIA device runs code of its major number, and of an exact architecture only its own")
{
    CHECK(cuda_architecture_for(9, 0) == "sm_90a");
    CHECK(cuda_architecture_for(8, 0) == "sm_80");
    CHECK(cuda_architecture_for(8, 7) == "sm_86");
    CHECK(cuda_architecture_for(12, 1) == "sm_120");
    CHECK(cuda_architecture_for(7, 5).empty());
    CHECK(cuda_runs_on("sm_80", 8, 9));
    CHECK_FALSE(cuda_runs_on("sm_89", 8, 6));
    CHECK_FALSE(cuda_runs_on("sm_80", 9, 0));
    CHECK(cuda_runs_on("sm_90a", 9, 0));
    CHECK_FALSE(cuda_runs_on("sm_90a", 10, 0));
    CHECK_FALSE(cuda_runs_on("gfx942", 9, 0));
}

TEST_CASE("target: names are parsed, features kept in one order, unknown ones refused with the list")
{
    CHECK(parse_target("gfx942").value().wave_size == 64);
    CHECK(parse_target("gfx1100").value().wave_size == 32);
    CHECK(parse_target("gfx90a:xnack-:sramecc+").value().name == "gfx90a:sramecc+:xnack-");
    CHECK(parse_target("gfx950").value().lds_bytes_max == 163840);
    CHECK(parse_target("sm_90").value().kind == target_kind::cuda);
    CHECK(parse_target("sm_90a").value().wave_size == 32);
    for (const char* bad : {"", "gfx", "gfx999", "gfx90a:", "gfx90a:xnack", "gfx90a:xnack+:xnack-", "gfx1100:xnack+", "sm_",
                            "sm_91", "sm_90b", "host:x86-64-v9"}) {
        CAPTURE(bad);
        const auto parsed = parse_target(bad);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == jit::errc::unsupported_target);
    }
    CHECK(parse_target("gfx999").error().message.find("gfx942") != std::string::npos);
}

TEST_CASE("target: a host's name depends on its features alone")
{
    const target a = host_target("x86_64", {"avx2", "fma"}), b = host_target("x86_64", {"fma", "avx2"}),
                 c = host_target("x86_64", {"avx2"});
    CHECK(a.name == b.name);
    CHECK(a.name != c.name);
    CHECK(a.name.starts_with("host:"));
}

TEST_CASE("options: no contraction, no reassociation, and each compiler gets the target")
{
    for (const char* name : {"gfx942", "host:x86-64-v3"}) {
        const auto options = compile_options("clang", parse_target(name).value());
        CHECK(std::count(options.begin(), options.end(), "-ffp-contract=off") == 1);
        for (const std::string& o : options) CHECK(o.find("fast") == std::string::npos);
    }
    const auto features = compile_options("clang", parse_target("gfx90a:sramecc+:xnack-").value());
    CHECK(std::count(features.begin(), features.end(), "+sramecc") == 1);
    CHECK(std::count(features.begin(), features.end(), "-xnack") == 1);
    CHECK(compile_options("hiprtc", parse_target("gfx90a").value()).front() == "--offload-arch=gfx90a");
}
