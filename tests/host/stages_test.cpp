// tests/host/stages_test.cpp -- operators that other operators are made of: the whole and its parts agree bit for bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <mhc/jit/describe.hpp>

#include "tests/host/driver.hpp"
#include "tests/reference/options.hpp"
#include "tests/support/random.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

struct stage_size {
    int n_streams;
    std::int64_t hidden_dim;
    jit::dtype type;
    bool has_norm;
};
// One slice and several on every target, whole vectors and tails.
constexpr stage_size stage_sizes[] = {{4, 1280, jit::dtype::bf16, true},
                                      {4, 1288, jit::dtype::bf16, false},  // in one pass, where a target can
                                      {3, 4099, jit::dtype::fp16, false},
                                      {4, 9000, jit::dtype::fp32, true},
                                      {1, 127, jit::dtype::bf16, false},
                                      {8, 12288, jit::dtype::bf16, false}};

test_case stage_case(operation op, const stage_size& of)
{
    test_case made;
    made.op = op;
    made.name = std::string(name_of(op)) + " n=" + std::to_string(of.n_streams) + " C=" + std::to_string(of.hidden_dim);
    made.seed = 7;  // the same numbers under one name in every operator
    made.tokens = 5;
    made.spec.n_streams = of.n_streams;
    made.spec.hidden_dim = of.hidden_dim;
    made.spec.dtype = of.type;
    made.spec.weight_dtype = jit::dtype::bf16;
    made.spec.options = reference::options_of(jit::preset::deepseek);
    made.spec.norm_weight = of.has_norm && jit::operations_with_norm_weight.contains(op);
    made.spec.wanted = jit::operations{op};
    return made;
}

/// Gives an input the dense values that another launch returned or took.
void give(operands& to, std::string_view name, const std::vector<float>& dense)
{
    operand& of = to.at(name);
    REQUIRE(static_cast<std::size_t>(of.place.size()) <= dense.size());  // or the first rows of it
    of.values = placed({dense.begin(), dense.begin() + of.place.size()}, of.place);
}

/// Inputs of one name have one value.
void give_inputs(operands& to, const operands& from)
{
    for (operand& each : to.list)
        if (const operand* other = from.find(each.name); !each.is_output && other != nullptr && !other->is_output)
            give(to, each.name, other->dense());
}

outcome run_checked(const test_case& of, const operands& made)
{
    outcome got = run(session::instance(), of.spec, made);
    for (const std::string& problem : got.problems) FAIL_CHECK(of.name << ": " << problem);
    return got;
}

void check_equal(const std::string& what, const std::vector<float>& got, const std::vector<float>& expected)
{
    REQUIRE(got.size() == expected.size());
    CHECK_MESSAGE(std::equal(got.begin(), got.end(), expected.begin()), what << " differs");
}

/// How many slices a projection cuts the channels in: the splits that its kernel is asked for, where a norm of layer_input
/// keeps it a kernel by itself.
std::int64_t slices_of(jit::layer_spec spec)
{
    spec.norm_weight = true;
    const auto described = jit::describe(operation::pre_fwd, spec, session::instance().target, 1, false).value();
    for (const auto& launch : described.launches)
        for (const jit::argument_description& arg : launch.args)
            if (arg.name == "splits") return *arg.value;
    return 0;
}

template <class Check>
void for_each_size(const Check& check)
{
    for (const stage_size& of : stage_sizes) check(of);
}

}  // namespace

TEST_CASE("stages: post_pre_fwd gives the bits of post_fwd, then pre_fwd on its result")
{
    for_each_size([](const stage_size& of) {
        for (const stride_kind out_strides : {stride_kind::dense, stride_kind::interleaved}) {
            test_case whole_case = stage_case(operation::post_pre_fwd, of);
            whole_case.out_strides = out_strides;
            whole_case.x_strides = stride_kind::padded_stream;
            const operands whole = make_operands(whole_case);
            const outcome fused = run_checked(whole_case, whole);

            const test_case post_case = stage_case(operation::post_fwd, of), pre_case = stage_case(operation::pre_fwd, of);
            operands post = make_operands(post_case), pre = make_operands(pre_case);
            give_inputs(post, whole);
            const outcome first = run_checked(post_case, post);
            give_inputs(pre, whole);
            give(pre, "x", first.outputs.at("out"));
            const outcome second = run_checked(pre_case, pre);

            check_equal(whole_case.name + " out", fused.outputs.at("out"), first.outputs.at("out"));
            check_equal(whole_case.name + " layer_input", fused.outputs.at("layer_input"), second.outputs.at("layer_input"));
            for (const std::string name : {"pre", "post", "mix"})
                check_equal(whole_case.name + " " + name, fused.outputs.at("next_" + name), second.outputs.at(name));
        }
    });
}

TEST_CASE("stages: with one split, one for each slice and more, the stages give the bits of pre_fwd")
{
    for_each_size([](const stage_size& of) {
        const test_case pre_case = stage_case(operation::pre_fwd, of);
        const operands pre = make_operands(pre_case);
        const outcome expected = run_checked(pre_case, pre);
        const std::int64_t slices = slices_of(pre_case.spec);
        REQUIRE(slices >= 1);
        for (const std::int64_t splits : {std::int64_t{1}, slices, slices + 1, std::int64_t{64}}) {
            CAPTURE(splits);
            const auto run_stage = [&](operation op, const outcome* projected) {
                test_case stage = stage_case(op, of);
                stage.splits = splits;
                operands made = make_operands(stage);
                give_inputs(made, pre);
                if (projected != nullptr)
                    for (const char* name : {"proj", "sqsum"}) give(made, name, projected->outputs.at(name));
                return run_checked(stage, made);
            };
            const outcome projected = run_stage(operation::pre_project_fwd, nullptr);
            for (const operation op : {operation::coeffs_fwd, operation::pre_big_fuse})
                for (const auto& [name, values] : run_stage(op, &projected).outputs)
                    check_equal(std::string(name_of(op)) + " " + pre_case.name + " " + name, values,
                                expected.outputs.at(name));
        }
    });
}

TEST_CASE("stages: splits past the slices are zeros, and a row's sums do not depend on the other rows")
{
    for_each_size([](const stage_size& of) {
        test_case all_case = stage_case(operation::pre_project_fwd, of);
        all_case.splits = 64;
        const operands all = make_operands(all_case);
        const outcome every_row = run_checked(all_case, all);
        const std::int64_t slices = slices_of(stage_case(operation::pre_fwd, of).spec);
        for (const auto& [name, values] : every_row.outputs) {
            const placement& place = all.at(name).place;
            for (std::size_t i = 0; i < values.size(); ++i) {
                const std::int64_t split = static_cast<std::int64_t>(i) / place.width % place.streams;
                if (split >= slices) REQUIRE(values[i] == 0.0F);
                if (split < slices) REQUIRE(values[i] != 0.0F);
            }
        }
        test_case one_case = all_case;
        one_case.rows = 1;
        operands one = make_operands(one_case);
        give(one, "x", all.at("x").dense());
        give(one, "fn", all.at("fn").dense());
        const outcome one_row = run_checked(one_case, one);
        check_equal("sqsum", one_row.outputs.at("sqsum"), every_row.outputs.at("sqsum"));
        const auto m = static_cast<std::size_t>(all.at("proj").place.width);
        std::vector<float> first_row;
        for (std::size_t i = 0; i < every_row.outputs.at("proj").size(); i += m)
            first_row.push_back(every_row.outputs.at("proj")[i]);
        check_equal("proj", one_row.outputs.at("proj"), first_row);
    });
}

TEST_CASE("stages: head_fwd gives the bits of pre_fwd's layer_input")
{
    for_each_size([](const stage_size& of) {
        const test_case pre_case = stage_case(operation::pre_fwd, of), head_case = stage_case(operation::head_fwd, of);
        const operands pre = make_operands(pre_case);
        operands head = make_operands(head_case);
        give_inputs(head, pre);
        check_equal(head_case.name, run_checked(head_case, head).outputs.at("layer_input"),
                    run_checked(pre_case, pre).outputs.at("layer_input"));
    });
}

TEST_CASE("stages: broadcast_pre_fwd gives the bits of pre_fwd on n copies of a row")
{
    const auto check = [](const stage_size& of, std::int64_t tokens) {
        test_case pre_case = stage_case(operation::pre_fwd, of),
                  broadcast_case = stage_case(operation::broadcast_pre_fwd, of);
        pre_case.tokens = broadcast_case.tokens = tokens;
        operands pre = make_operands(pre_case);
        const operands broadcast = make_operands(broadcast_case);
        std::vector<float> copies;
        const std::vector<float> rows = broadcast.at("x").dense();
        for (auto row = rows.begin(); row != rows.end(); row += of.hidden_dim)
            for (int i = 0; i < of.n_streams; ++i) copies.insert(copies.end(), row, row + of.hidden_dim);
        give(pre, "x", copies);
        for (const char* name : {"fn", "scale", "base"}) give(pre, name, broadcast.at(name).dense());
        if (pre_case.spec.norm_weight) give(pre, "norm_weight", broadcast.at("norm_weight").dense());
        const outcome expected = run_checked(pre_case, pre), got = run_checked(broadcast_case, broadcast);
        for (const auto& [name, values] : expected.outputs)
            check_equal(broadcast_case.name + " " + name, got.outputs.at(name), values);
    };
    for (const stage_size& of : stage_sizes) check(of, 5);
    if (environment("MHC_TEST_SMALL", "0") != "0") return;
    // Clusters of 2 to 16, with one tile and with several, the last one short.
    check({4, 392, jit::dtype::bf16, false}, 35);
    check({4, 1280, jit::dtype::bf16, false}, 1100);
    check({4, 2568, jit::dtype::fp16, false}, 17);
    check({4, 4096, jit::dtype::bf16, false}, 1000);
    check({4, 4096, jit::dtype::fp32, false}, 300);
    check({4, 7168, jit::dtype::fp16, false}, 131);
    check({4, 7168, jit::dtype::bf16, false}, 200);
    check({4, 8192, jit::dtype::bf16, false}, 67);
}

TEST_CASE("stages: delayed_pre_fwd gives the bits of pre_fwd where its pre is that of its own streams")
{
    for_each_size([](const stage_size& of) {
        const test_case pre_case = stage_case(operation::pre_fwd, of),
                        delayed_case = stage_case(operation::delayed_pre_fwd, of);
        const operands pre = make_operands(pre_case);
        const outcome expected = run_checked(pre_case, pre);
        operands delayed = make_operands(delayed_case);
        give_inputs(delayed, pre);
        const outcome other = run_checked(delayed_case, delayed);
        give(delayed, "previous_pre", expected.outputs.at("pre"));
        const outcome got = run_checked(delayed_case, delayed);
        for (const auto& [name, values] : expected.outputs) {
            check_equal(delayed_case.name + " " + name, got.outputs.at(name), values);
            if (name != "layer_input") check_equal(delayed_case.name + " " + name, other.outputs.at(name), values);
        }
        CHECK(other.outputs.at("layer_input") != got.outputs.at("layer_input"));
    });
}

TEST_CASE("stages: post_head_fwd gives the bits of post_fwd, then head_fwd on its result")
{
    const auto check = [](const stage_size& of) {
        test_case whole_case = stage_case(operation::post_head_fwd, of);
        whole_case.x_strides = stride_kind::padded_stream;
        whole_case.has_bias = of.n_streams % 2 == 0;
        const operands whole = make_operands(whole_case);
        const outcome fused = run_checked(whole_case, whole);

        test_case post_case = stage_case(operation::post_fwd, of);
        post_case.has_bias = whole_case.has_bias;
        const test_case head_case = stage_case(operation::head_fwd, of);
        operands post = make_operands(post_case), head = make_operands(head_case);
        give_inputs(post, whole);
        give_inputs(head, whole);
        give(head, "x", run_checked(post_case, post).outputs.at("out"));
        check_equal(whole_case.name, fused.outputs.at("layer_input"),
                    run_checked(head_case, head).outputs.at("layer_input"));
    };
    for_each_size(check);
    check({9, 1280, jit::dtype::bf16, true});  // more streams than are made again
}

TEST_CASE("stages: post_head_bwd of fp32 data gives the bits of head_bwd, then post_bwd of the gradient that it gives")
{
    for_each_size([](stage_size of) {
        of.type = jit::dtype::fp32;  // in which the gradient between the two is kept
        test_case whole_case = stage_case(operation::post_head_bwd, of);
        whole_case.x_strides = stride_kind::padded_stream;
        whole_case.has_bias = of.n_streams % 2 == 0;
        const operands whole = make_operands(whole_case);
        const outcome fused = run_checked(whole_case, whole);

        test_case out_case = stage_case(operation::post_fwd, of), post_case = stage_case(operation::post_bwd, of);
        out_case.has_bias = post_case.has_bias = whole_case.has_bias;
        const test_case head_case = stage_case(operation::head_bwd, of);
        operands out = make_operands(out_case), head = make_operands(head_case), post = make_operands(post_case);
        for (operands* each : {&out, &head, &post}) give_inputs(*each, whole);
        give(head, "x", run_checked(out_case, out).outputs.at("out"));
        const outcome of_head = run_checked(head_case, head);
        give(post, "d_out", of_head.outputs.at("d_x"));
        const outcome of_post = run_checked(post_case, post);
        for (const auto& [name, values] : fused.outputs) {
            const bool is_of_post = of_post.outputs.count(name) != 0;
            check_equal(whole_case.name + " " + name, values, (is_of_post ? of_post : of_head).outputs.at(name));
        }
    });
}

TEST_CASE("stages: multilayer_recompute gives the bits of apply_mix_fwd and post_fwd, layer by layer")
{
    for_each_size([](const stage_size& of) {
        for (const stride_kind out_strides : {stride_kind::dense, stride_kind::interleaved}) {
            test_case whole_case = stage_case(operation::multilayer_recompute, of);
            whole_case.layers = 5;
            whole_case.has_bias = out_strides == stride_kind::dense;
            whole_case.x_strides = stride_kind::padded_stream;
            whole_case.out_strides = out_strides;
            const operands whole = make_operands(whole_case);
            const outcome all = run_checked(whole_case, whole);

            std::vector<float> streams = whole.at("x").dense();
            for (std::int64_t l = 0; l < whole_case.layers; ++l) {
                const test_case apply_case = stage_case(operation::apply_mix_fwd, of);
                test_case post_case = stage_case(operation::post_fwd, of);
                post_case.has_bias = whole_case.has_bias;
                operands apply = make_operands(apply_case), post = make_operands(post_case);
                give(apply, "x", streams);
                give(post, "x", streams);
                give(apply, "pre", whole.at(of_layer("pre", l)).dense());
                for (const char* name : {"y", "post", "mix", "bias"})
                    if (post.find(name) != nullptr) give(post, name, whole.at(of_layer(name, l)).dense());
                check_equal(whole_case.name + " layer_input", all.outputs.at(of_layer("layer_input", l)),
                            run_checked(apply_case, apply).outputs.at("layer_input"));
                streams = run_checked(post_case, post).outputs.at("out");
                check_equal(whole_case.name + " out", all.outputs.at(of_layer("out", l)), streams);
            }
        }
    });
}

TEST_CASE("stages: the last layer of multilayer_recompute may be its layer_input alone, and no other layer may")
{
    test_case whole_case = stage_case(operation::multilayer_recompute, stage_sizes[0]);
    whole_case.layers = 2;
    const operands whole = make_operands(whole_case);
    const outcome all = run_checked(whole_case, whole);
    const jit::compiled_layer layer = session::instance().layer(whole_case.spec);
    for (const std::int64_t without : {0, 1}) {
        CAPTURE(without);
        operands some = whole;
        std::erase_if(some.list, [&](const operand& each) {
            return each.name == of_layer("y", without) || each.name == of_layer("post", without) ||
                   each.name == of_layer("mix", without) || each.name == of_layer("out", without);
        });
        const launch_memory memory(session::instance(), layer, some);
        const jit::result<void> launched = memory.launch();
        CHECK(launched.has_value() == (without == 1));
        if (!launched) {
            CHECK(launched.error().message.find("y = null") != std::string::npos);
            CHECK(launched.error().message.find("(layer 0 of 2)") != std::string::npos);
            CHECK(memory.outputs_are_untouched());
            continue;
        }
        std::vector<std::string> problems;
        for (const operand& each : some.list)
            if (each.is_output) check_equal(each.name, memory.output(each, problems), all.outputs.at(each.name));
        CHECK(problems.empty());
    }
}

TEST_CASE("stages: sinkhorn_fwd of split_mixes_fwd's logits gives the bits of coeffs_fwd's mix")
{
    for_each_size([](const stage_size& of) {
        for (const std::int64_t splits : {1, 3}) {
            test_case raw_case = stage_case(operation::split_mixes_fwd, of),
                      whole_case = stage_case(operation::coeffs_fwd, of);
            raw_case.splits = whole_case.splits = splits;
            const operands raw = make_operands(raw_case), whole = make_operands(whole_case);
            const outcome mixes = run_checked(raw_case, raw), expected = run_checked(whole_case, whole);
            for (const char* name : {"pre", "post"})
                check_equal(raw_case.name + " " + name, mixes.outputs.at(name), expected.outputs.at(name));
            const test_case last_case = stage_case(operation::sinkhorn_fwd, of);
            operands last = make_operands(last_case);
            give(last, "logits", mixes.outputs.at("logits"));
            check_equal(raw_case.name + " mix", run_checked(last_case, last).outputs.at("mix"), expected.outputs.at("mix"));
        }
    });
}

TEST_CASE("stages: sinkhorn_bwd and then split_mixes_bwd give the bits of coeffs_bwd, of the steps and of their limit")
{
    for (const auto gradient : {jit::sinkhorn_gradient::exact, jit::sinkhorn_gradient::implicit}) {
        const auto of_gradient = [&](operation op) {
            test_case made = stage_case(op, {4, 1280, jit::dtype::bf16, false});
            made.spec.options = reference::options_of(jit::preset::paper);
            made.spec.options.gradient = gradient;
            return made;
        };
        const test_case whole_case = of_gradient(operation::coeffs_bwd), raw_case = of_gradient(operation::split_mixes_fwd),
                        steps_case = of_gradient(operation::sinkhorn_bwd),
                        last_case = of_gradient(operation::split_mixes_bwd);
        const operands whole = make_operands(whole_case), raw = make_operands(raw_case);
        operands steps = make_operands(steps_case), last = make_operands(last_case);
        give(steps, "logits", run_checked(raw_case, raw).outputs.at("logits"));
        give(steps, "d_mix", whole.at("d_mix").dense());
        give_inputs(last, whole);
        give(last, "d_logits", run_checked(steps_case, steps).outputs.at("d_logits"));
        const outcome expected = run_checked(whole_case, whole), got = run_checked(last_case, last);
        for (const auto& [name, values] : expected.outputs)
            check_equal(last_case.name + " " + name, got.outputs.at(name), values);
    }
}

TEST_CASE("stages: the limit's gradient by a matrix is that by its logarithms, divided by the matrix")
{
    const auto run_from = [](jit::sinkhorn_start start, const std::vector<float>* matrix) {
        test_case of = stage_case(operation::sinkhorn_bwd, {4, 1280, jit::dtype::bf16, false});
        of.spec.options = reference::options_of(jit::preset::paper);
        of.spec.options.start = start;
        of.spec.options.gradient = jit::sinkhorn_gradient::implicit;
        operands made = make_operands(of);
        std::vector<float> given = made.at("logits").dense();
        if (matrix != nullptr) give(made, "logits", given = *matrix);
        return std::pair{given, run_checked(of, made).outputs.at("d_logits")};
    };
    const auto [logits, expected] = run_from(jit::sinkhorn_start::exp, nullptr);
    std::vector<float> matrix(logits.size());
    std::transform(logits.begin(), logits.end(), matrix.begin(), [](float z) { return std::exp(z); });
    const std::vector<float> got = run_from(jit::sinkhorn_start::identity, &matrix).second;
    double error = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const auto wanted = static_cast<double>(expected[i]);
        error += std::pow(static_cast<double>(got[i]) * static_cast<double>(matrix[i]) - wanted, 2);
        size += wanted * wanted;
    }
    CHECK(std::sqrt(error) <= 1e-5 * std::sqrt(size));
    CHECK(size > 0.1);
}
