// tests/host/gradient_tiles_test.cpp -- the gradients of projections whose kernels use matrix units, where a target has
// them: slices and tiles that are not full, strides, heads, splits, every kind of fn, and what is added to what is there.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/host/driver.hpp"
#include "tests/reference/dtypes.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

test_case tile_case(operation op, std::int32_t n, std::int64_t C, std::int64_t tokens)
{
    test_case made;
    made.op = op;
    made.name = "tiles " + std::string(name_of(op)) + " n=" + std::to_string(n) + " C=" + std::to_string(C) +
                " T=" + std::to_string(tokens);
    made.seed = seed_of(made.name);
    made.tokens = tokens;
    made.spec.n_streams = n;
    made.spec.hidden_dim = C;
    made.spec.dtype = jit::dtype::bf16;
    made.spec.options =
        reference::options_of(op == operation::dynamic_layer_bwd ? jit::preset::mhc_cu : jit::preset::deepseek);
    made.spec.wanted = jit::operations{op};
    return made;
}

void check_agreement(const test_case& of)
{
    const agreement found = check_case(session::instance(), of);
    for (const std::string& problem : found.problems) FAIL_CHECK(problem);
    CHECK(found.problems.empty());
    add_to_summary("tiles", of, found, 0);
}

constexpr operation projections[] = {operation::pre_bwd, operation::head_bwd, operation::post_pre_bwd,
                                     operation::pre_project_bwd, operation::dynamic_layer_bwd};

}  // namespace

TEST_CASE("gradient tiles: of any number of tokens and channels they agree with the float64 reference")
{
    struct size {
        std::int32_t n;
        std::int64_t C, tokens;
    };
    for (const size& of :
         {size{4, 64, 1}, {4, 136, 33}, {4, 264, 300}, {2, 200, 17}, {2, 328, 70}, {1, 72, 31}, {1, 600, 65}})
        for (const operation op : projections) check_agreement(tile_case(op, of.n, of.C, of.tokens));
    check_agreement(tile_case(operation::pre_bwd, 4, 1280, 16));
}

TEST_CASE("gradient tiles: every layout of streams, kind of fn and padding agrees with the float64 reference")
{
    for (const operation op : projections) {
        test_case of = tile_case(op, 4, 200, 37);
        of.x_strides = stride_kind::padded_stream;
        of.out_strides = stride_kind::interleaved;
        of.spec.weight_dtype = jit::dtype::bf16;
        check_agreement(of);
        of.is_padded = true;
        of.spec.alignment_bytes = 2;
        check_agreement(of);
        of.is_padded = false;
        if (op == operation::dynamic_layer_bwd) {
            of.spec.options.layout = jit::mix_layout::src_dst;
            check_agreement(of);
            continue;
        }
        of.spec.fn_norm_weight = true;
        of.spec.fn_order = jit::fn_order::phi;
        check_agreement(of);
        of.spec.fn_norm_weight = false;
        of.spec.fn_order = jit::fn_order::fn;
        of.spec.norm_weight = op != operation::pre_project_bwd;
        check_agreement(of);
    }
    for (const std::int32_t n : {1, 2}) {  // whose slices are longer
        test_case of = tile_case(operation::pre_project_bwd, n, 1280, 3);
        of.splits = 2;
        check_agreement(of);
    }
    for (const std::int64_t splits : {3, 11}) {
        test_case of = tile_case(operation::pre_project_bwd, 4, 1288, 33);
        of.splits = splits;
        check_agreement(of);
        of.rows = 11;
        of.is_padded = true;
        check_agreement(of);
    }
}

TEST_CASE("gradient tiles: what is there is added in float, and rounded once")
{
    session& on = session::instance();
    for (const operation op :
         {operation::pre_bwd, operation::head_bwd, operation::pre_project_bwd, operation::dynamic_layer_bwd}) {
        const test_case of = tile_case(op, 4, 136, 37);
        const operands plain = make_operands(of);
        operands earlier = plain;
        earlier.accumulate = {true, true};
        for (operand& each : earlier.list) {
            if (!each.is_output || (each.is_per_token && each.name != "d_x")) continue;
            std::vector<float> dense = normals(seed_of(each.name), each.place.size(), 0, 3);
            for (float& v : dense) v = reference::rounded(each.type, v);
            each.values = placed(dense, each.place);
        }
        const outcome alone = run(on, of.spec, plain), got = run(on, of.spec, earlier);
        CHECK(got.problems.empty());
        for (const std::string& name :
             {std::string("d_x"), std::string(op == operation::dynamic_layer_bwd ? "d_phi_res" : "d_fn")}) {
            const std::vector<float>&values = got.outputs.at(name), &gradient = alone.outputs.at(name);
            const std::vector<float> before = earlier.at(name).dense();
            const bool is_exact = earlier.at(name).type == jit::dtype::fp32;
            for (std::size_t i = 0; i < values.size(); ++i) {
                const double sum = static_cast<double>(gradient[i]) + static_cast<double>(before[i]);
                const double doubt = is_exact ? 0 : std::abs(static_cast<double>(gradient[i])) * 0x1p-8 + 0x1p-130;
                const double error = std::abs(static_cast<double>(values[i]) - sum);
                REQUIRE_MESSAGE(error <= doubt + (std::abs(sum) + doubt) * (is_exact ? 0x1p-24 : 0x1p-8),
                                of.name << ": " << name << " differs at " << i);
            }
        }
    }
}

TEST_CASE("gradient tiles: d_x of a token does not depend on its neighbours")
{
    session& on = session::instance();
    for (const operation op : {operation::pre_bwd, operation::head_bwd, operation::dynamic_layer_bwd}) {
        const test_case of = tile_case(op, 4, 136, 300);
        const operands all = make_operands(of);
        const std::vector<std::int64_t> chosen = {299, 3, 64, 17, 255, 256, 1};
        const operands some = select_tokens(all, of.spec, chosen, stride_kind::dense, stride_kind::dense);
        const outcome of_all = run(on, of.spec, all), of_some = run(on, of.spec, some);
        const std::vector<float>&whole = of_all.outputs.at("d_x"), &part = of_some.outputs.at("d_x");
        const std::size_t width = part.size() / chosen.size();
        for (std::size_t t = 0; t < chosen.size(); ++t) {
            const auto from = whole.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(chosen[t]) * width);
            CHECK_MESSAGE(std::equal(from, from + static_cast<std::ptrdiff_t>(width),
                                     part.begin() + static_cast<std::ptrdiff_t>(t * width)),
                          of.name << ": token " << chosen[t] << " differs");
        }
    }
}
