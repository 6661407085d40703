// tests/host/launch_errors_test.cpp -- a wrong argument gives launch_failed with the argument's name, and nothing is
// written.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "tests/host/driver.hpp"
#include "tests/host/launch.hpp"
#include "tests/reference/options.hpp"

using namespace mhc;
using namespace mhc::testing;
using jit::operation;

namespace {

/// Three tokens of four streams of 64 bf16 channels: rows are 128 bytes, so 16-byte alignment can be asked for.
test_case small_case(operation op)
{
    test_case made;
    made.op = op;
    made.name = name_of(op);
    made.tokens = 3;
    made.spec.n_streams = 4;
    made.spec.hidden_dim = 64;
    made.spec.options = reference::options_of(jit::preset::mhc_cu);
    made.spec.norm_weight = jit::operations_with_norm_weight.contains(op);
    made.spec.weight_dtype = jit::dtype::bf16;
    made.spec.wanted = jit::operations{op};
    return made;
}

/// One layer, ready to be launched wrongly.
struct wrong_launch {
    test_case of;
    operands right = make_operands(of);
    jit::compiled_layer layer = session::instance().layer(of.spec);
    launch_memory memory{session::instance(), layer, right};

    explicit wrong_launch(operation op) : of(small_case(op)) {}

    void check_refused(const jit::result<void>& launched, std::string_view argument) const
    {
        CAPTURE(of.name);
        CAPTURE(std::string(argument));
        CHECK_FALSE(launched.has_value());
        CHECK(memory.outputs_are_untouched());
        if (launched) return;
        CHECK(launched.error().code == jit::errc::launch_failed);
        CHECK_MESSAGE(launched.error().message.find(argument) != std::string::npos, launched.error().message);
        CHECK_MESSAGE(launched.error().message.find(name_of(of.op)) != std::string::npos, launched.error().message);
    }
};

template <class Check>
void for_each_operator(const Check& check)
{
    for (int op = 0; op < jit::operation_count; ++op) check(static_cast<operation>(op));
}

bool has_streams(const wrong_launch& of)
{
    return std::any_of(of.right.list.begin(), of.right.list.end(), [](const operand& each) { return each.is_streams; });
}

/// As the comments in args.hpp and gradient_args.hpp have it.
bool is_optional(operation op, const operand& of)
{
    const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
        return std::find(names.begin(), names.end(), of.name) != names.end();
    };
    if (forward_of(op) == operation::rmsnorm_fwd && of.name == "weight") return true;
    if (of.name == "bias") return true;
    if (forward_of(op) == operation::rmsnorm_matmul_fwd && of.name == "norm_weight") return true;
    if (!is_gradient(op)) return false;
    if (is_one_of({"d_rms", "d_next_pre", "d_next_post", "d_next_mix"})) return true;
    if (is_one_of({"d_fn", "d_scale", "d_base", "d_weight", "d_norm_weight", "d_bias"})) return true;
    if (op == operation::post_pre_bwd) return of.name == "d_out";
    constexpr jit::operations with_coefficients = {operation::pre_bwd, operation::split_mixes_bwd, operation::coeffs_bwd};
    return with_coefficients.contains(op) && is_one_of({"d_pre", "d_post", "d_mix", "d_logits"});
}

}  // namespace

TEST_CASE("launch errors: every null pointer that is not optional is refused by name")
{
    for_each_operator([](operation op) {
        const wrong_launch wrong(op);
        REQUIRE(wrong.memory.launch().has_value());
        const wrong_launch fresh(op);
        for (const operand& each : fresh.right.list) {
            if (is_optional(op, each)) continue;
            fresh.check_refused(fresh.memory.launch_with(fresh.right, each.name, nullptr), each.name);
        }
    });
}

TEST_CASE("launch errors: an optional weight may be null, and one that the spec has not asked for may not be given")
{
    const wrong_launch rmsnorm(operation::rmsnorm_fwd);
    CHECK(rmsnorm.memory.launch_with(rmsnorm.right, "weight", nullptr).has_value());

    for_each_operator([](operation op) {
        if (!jit::operations_with_norm_weight.contains(op)) return;
        const wrong_launch wrong(op);
        jit::layer_spec without = wrong.of.spec;
        without.norm_weight = false;
        const jit::compiled_layer layer = session::instance().layer(without);
        const launch_memory memory(session::instance(), layer, wrong.right);
        wrong.check_refused(memory.launch(), "norm_weight");
        if (is_gradient(op)) wrong.check_refused(memory.launch_with(wrong.right, "norm_weight", nullptr), "d_norm_weight");
        CHECK(memory.outputs_are_untouched());
        operands plain = wrong.right;
        std::erase_if(plain.list, [](const operand& of) { return of.name.ends_with("norm_weight"); });
        CHECK(launch_memory(session::instance(), layer, plain).launch().has_value());
    });
}

TEST_CASE("launch errors: the weight of fn's norm is there iff the spec asks for it")
{
    for_each_operator([](operation op) {
        if (!jit::operations_with_fn.contains(op)) return;
        const wrong_launch wrong(op);
        std::vector<float> weight(1024, 1.0F);  // never read: the launch is refused
        wrong.check_refused(wrong.memory.launch_with(wrong.right, "fn_norm_weight", weight.data()), "fn_norm_weight");
        if (is_gradient(op))
            wrong.check_refused(wrong.memory.launch_with(wrong.right, "d_fn_norm_weight", weight.data()),
                                "d_fn_norm_weight");
    });
    test_case with = wrong_launch(operation::pre_project_fwd).of;
    with.spec.fn_norm_weight = true;
    const operands made = make_operands(with);
    const jit::compiled_layer layer = session::instance().layer(with.spec);
    const launch_memory memory(session::instance(), layer, made);
    CHECK(memory.launch().has_value());
    for (const char* name : {"fn_norm_weight", "workspace"}) {
        const jit::result<void> launched = memory.launch_with(made, name, nullptr);
        REQUIRE_FALSE(launched.has_value());
        CHECK(launched.error().message.find(std::string(name) + " = null") != std::string::npos);
    }
}

TEST_CASE("launch errors: rows and splits of a projection outside their ranges are refused with what is allowed")
{
    const auto check = [](operation op, std::int64_t operands::*which, std::int64_t value, std::string_view expected) {
        const wrong_launch wrong(op);
        operands changed = wrong.right;
        changed.*which = value;
        wrong.check_refused(wrong.memory.launch_with(changed, "", nullptr), expected);
    };
    for (const operation op : {operation::pre_project_fwd, operation::pre_project_bwd})
        for (const std::int64_t rows : {-1, 25})
            check(op, &operands::rows, rows,
                  "rows = " + std::to_string(rows) + ": allowed is 1 to 24 (n*n+2n), or 0 for 24");
    for (const operation op :
         {operation::pre_project_fwd, operation::split_mixes_fwd, operation::coeffs_fwd, operation::pre_big_fuse,
          operation::pre_project_bwd, operation::split_mixes_bwd, operation::coeffs_bwd})
        for (const std::int64_t splits : {-1, 0, 65})
            check(op, &operands::splits, splits,
                  "splits = " + std::to_string(splits) + ": allowed is 1 to 64, of which 1 can be other than zero here");
}

TEST_CASE("launch errors: a null or misaligned workspace is refused")
{
    for_each_operator([](operation op) {
        if (!takes_workspace(op)) return;
        const wrong_launch wrong(op);
        wrong.check_refused(wrong.memory.launch_with(wrong.right, "workspace", nullptr), "workspace");
        void* misaligned = static_cast<std::byte*>(wrong.memory.pointer("workspace")) + 8;
        wrong.check_refused(wrong.memory.launch_with(wrong.right, "workspace", misaligned), "workspace");
    });
}

TEST_CASE("launch errors: a data or weight pointer below the spec's alignment is refused by name")
{
    for_each_operator([](operation op) {
        const wrong_launch wrong(op);
        for (const operand& each : wrong.right.list) {
            if (each.type != jit::dtype::bf16) continue;  // data and weights; coefficients are float
            void* misaligned = static_cast<std::byte*>(wrong.memory.pointer(each.name)) + 2;
            wrong.check_refused(wrong.memory.launch_with(wrong.right, each.name, misaligned), each.name);
        }
    });
}

TEST_CASE("launch errors: a float pointer that is no multiple of 4 bytes is refused by name")
{
    for_each_operator([](operation op) {
        const wrong_launch wrong(op);
        for (const operand& each : wrong.right.list) {
            if (each.type != jit::dtype::fp32) continue;
            void* misaligned = static_cast<std::byte*>(wrong.memory.pointer(each.name)) + 2;
            wrong.check_refused(wrong.memory.launch_with(wrong.right, each.name, misaligned), each.name);
        }
    });
}

TEST_CASE("launch errors: negative tokens are refused")
{
    for_each_operator([](operation op) {
        const wrong_launch wrong(op);
        operands changed = wrong.right;
        for (const std::int64_t tokens : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
            changed.tokens = tokens;
            wrong.check_refused(wrong.memory.launch_with(changed, "", nullptr), "tokens");
        }
    });
}

TEST_CASE("launch errors: strides that are negative, too large or unaligned are refused by name")
{
    for_each_operator([](operation op) {
        const wrong_launch wrong(op);
        if (!has_streams(wrong)) return;
        const auto check = [&](jit::strides operands::*which, jit::strides value, const char* argument) {
            operands changed = wrong.right;
            changed.*which = value;
            wrong.check_refused(wrong.memory.launch_with(changed, "", nullptr), argument);
        };
        const auto check_both = [&](jit::strides operands::*which, const std::string& tensor) {
            const std::string token = tensor + "_token_stride", stream = tensor + "_stream_stride";
            check(which, {-2, jit::dense}, token.c_str());
            check(which, {jit::dense, -2}, stream.c_str());
            check(which, {jit::dense, (std::int64_t{1} << 31) / 3 + 8}, stream.c_str());  // 3 strides + 64 > 2^31
            check(which, {std::numeric_limits<std::int64_t>::max(), jit::dense}, token.c_str());
            check(which, {4 * 64 + 4, jit::dense}, token.c_str());  // 8 bytes more, where rows are aligned to 16
            check(which, {jit::dense, 64 + 4}, stream.c_str());
        };
        if (wrong.right.find("x") != nullptr) check_both(&operands::x_strides, "x");
        if (wrong.right.find("out") != nullptr) check_both(&operands::out_strides, "out");
        if (is_gradient(op)) check_both(&operands::out_strides, "");  // of d_out or d_x, whichever comes first
    });
}

TEST_CASE("launch errors: an output whose rows overlap is refused")
{
    for (const operation op :
         {operation::expand_fwd, operation::post_fwd, operation::static_layer_fwd, operation::dynamic_layer_fwd,
          operation::post_pre_fwd, operation::apply_mix_bwd, operation::post_bwd, operation::pre_bwd,
          operation::static_layer_bwd, operation::dynamic_layer_bwd, operation::post_pre_bwd, operation::head_bwd,
          operation::pre_project_bwd, operation::multilayer_recompute, operation::post_head_bwd}) {
        const wrong_launch wrong(op);
        const bool is_x = op == operation::expand_fwd;
        const jit::strides overlapping[] = {{0, jit::dense},       // every token in one place
                                            {jit::dense, 0},       // every stream in one place
                                            {3 * 64, jit::dense},  // the last stream lies on the next token's first
                                            {4 * 64, 56},          // a stream begins before the last has ended
                                            {64, 2 * 64},          // [n, T, C] with room for two of three tokens
                                            {64, 64}};             // diagonals coincide
        for (const jit::strides& strides : overlapping) {
            CAPTURE(strides.token);
            CAPTURE(strides.stream);
            operands changed = wrong.right;
            (is_x ? changed.x_strides : changed.out_strides) = strides;
            wrong.check_refused(wrong.memory.launch_with(changed, "", nullptr), is_x              ? "x_"
                                                                                : is_gradient(op) ? "d_x_"
                                                                                                  : "out_");
        }
    }
}

TEST_CASE("launch errors: an operator that the spec did not want is refused")
{
    for_each_operator([](operation op) {
        wrong_launch wrong(op);
        jit::layer_spec other = wrong.of.spec;
        other.wanted = jit::operations{op == operation::expand_fwd ? operation::apply_mix_fwd : operation::expand_fwd};
        other.norm_weight = false;  // belongs to other operators
        const jit::compiled_layer layer = session::instance().layer(other);
        CHECK(layer.workspace_bytes(op, 3) == 0);
        const launch_memory memory(session::instance(), layer, wrong.right);
        wrong.check_refused(memory.launch(), name_of(op));
        CHECK(memory.outputs_are_untouched());
    });
}
