// tests/fake_hip/operators_test.cpp -- every operator through the HIP loader: what the runtime is called with, and nothing
// else. Kernels are compiled for gfx942 and not executed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include <mhc/jit/describe.hpp>

#include "runtime/code_object.hpp"
#include "tests/fake_hip/fixture.hpp"
#include "tests/fake_hip/layers.hpp"
#include "tests/host/launch.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;
using jit::operation;

/// The value a scalar argument must have; none for a name that is not known here. Only the grid and the slices of a
/// projection that stays in the workspace, and the constants of a gradient's sums, are taken from the library's description.
std::optional<std::int64_t> expected_scalar(const jit::argument_description& arg, const jit::layer_spec& spec,
                                            const operands& of, std::int64_t groups)
{
    const operation forward = forward_of(of.op);
    const std::int64_t n = spec.n_streams, C = spec.hidden_dim,
                       all_rows = forward == operation::head_fwd || forward == operation::post_head_fwd ? n : n * n + 2 * n;
    const std::int64_t rows = of.rows == 0 ? all_rows : of.rows;
    constexpr jit::operations stages = {operation::pre_project_fwd, operation::split_mixes_fwd, operation::coeffs_fwd,
                                        operation::pre_big_fuse};
    const std::int64_t described = arg.value.value_or(0);
    const std::map<std::string, std::int64_t> known{
        {"tokens", of.tokens},
        {"groups", groups},
        {"x_token_stride", of.x_strides.token},
        {"x_stream_stride", of.x_strides.stream},
        {"out_token_stride", of.out_strides.token},
        {"out_stream_stride", of.out_strides.stream},
        {"pre_token_stride", of.pre_is_static ? 0 : n},
        {"post_token_stride", of.post_is_static ? 0 : n},
        {"mix_token_stride", of.mix_is_static ? 0 : n * n},
        {"d_out_token_stride", of.out_strides.token},
        {"d_out_stream_stride", of.out_strides.stream},
        {"d_x_token_stride", of.out_strides.token},
        {"d_x_stream_stride", of.out_strides.stream},
        {"dense_token_stride", n * C},
        {"dense_stream_stride", C},
        {"coefficients_token_stride", forward == operation::static_layer_fwd ? 0 : n * n + 2 * n},
        {"accumulate_inputs", 0},
        {"accumulate_parameters", 0},
        {"rows", rows},
        {"fn_size", rows * n * C},
        {"splits", stages.contains(forward) ? of.splits : described},
        // Constants of a sum over tokens.
        {"tokens_per_row", described},
        {"width", described},
        {"first", described},
        {"length", described},
    };
    const auto found = known.find(arg.name);
    return found == known.end() ? std::nullopt : std::optional(found->second);
}

std::uint64_t value_at(const std::vector<std::byte>& block, std::uint32_t offset, std::uint32_t size)
{
    std::uint64_t value = 0;
    REQUIRE((size == 4 || size == 8));
    REQUIRE(offset + size <= block.size());
    std::memcpy(&value, block.data() + offset, size);
    return value;
}

/// The parameters of the code object's kernel, by its own metadata.
std::vector<runtime::metadata_argument> parameters_of(const jit::launch_description& launch)
{
    const auto kernels = runtime::read_metadata(launch.code_object);
    REQUIRE(kernels);
    REQUIRE(kernels->size() == 1);
    CHECK(kernels->front().name == launch.symbol);
    std::vector<runtime::metadata_argument> parameters = kernels->front().args;
    std::erase_if(parameters, [](const auto& one) { return one.value_kind.starts_with("hidden_"); });
    return parameters;
}

void check_arguments(const call& made, const jit::launch_description& expected, std::int64_t workspace_bytes,
                     const jit::layer_spec& spec, const operands& of, const operand_memory& memory)
{
    const std::vector<runtime::metadata_argument> parameters = parameters_of(expected);
    REQUIRE(parameters.size() == expected.args.size());
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const jit::argument_description& arg = expected.args[i];
        const runtime::metadata_argument& parameter = parameters[i];
        CAPTURE(arg.name);
        CHECK(parameter.offset == arg.offset);
        CHECK(parameter.size == arg.size);
        CHECK(parameter.value_kind == (arg.kind == "scalar" ? "by_value" : "global_buffer"));
        end = std::max(end, parameter.offset + parameter.size);
        const std::uint64_t passed = value_at(made.arguments, parameter.offset, parameter.size);
        if (arg.kind != "scalar") {
            const auto start = reinterpret_cast<std::uintptr_t>(memory.pointer(arg.name));
            CHECK(passed == start + static_cast<std::uint64_t>(arg.workspace_offset));
            // There is no workspace without tokens, nor for a gradient that needs none of what it might keep there.
            const bool has_none = arg.kind == "workspace" && (of.tokens == 0 || workspace_bytes == 0);
            CHECK((start != 0 || arg.optional || has_none));
            if (arg.kind == "workspace" && !has_none) CHECK(arg.workspace_offset < workspace_bytes);
        } else {
            const auto value = expected_scalar(arg, spec, of, expected.grid);
            REQUIRE_MESSAGE(value.has_value(), "add the scalar to expected_scalar");
            CHECK(passed == (parameter.size == 4 ? static_cast<std::uint32_t>(*value) : static_cast<std::uint64_t>(*value)));
        }
    }
    CHECK(made.arguments.size() == end);
}

/// Launches that a call makes: those of tensors that are given, and without tokens those that store sums over none.
std::vector<jit::launch_description> launches_of(const jit::operator_description& described, const operand_memory& memory)
{
    std::vector<jit::launch_description> made;
    for (const jit::launch_description& one : described.launches) {
        const auto is_given = [&](const std::string& name) { return memory.pointer(name) != nullptr; };
        const bool is_wanted = one.only_for.empty() || std::any_of(one.only_for.begin(), one.only_for.end(), is_given);
        if (one.grid > 0 && is_wanted) made.push_back(one);
    }
    return made;
}

/// Takes the record of one launch of an operator and compares it with the description of its kernels.
void check_record(const std::vector<call>& record, call::how by, const jit::operator_description& expected,
                  const jit::layer_spec& spec, const operands& of, const operand_memory& memory)
{
    std::vector<call> launches;
    for (const call& one : record) {
        CHECK_MESSAGE(one.result == 0, one.name << ": " << one.refusal);
        if (one.name == "hipModuleLaunchKernel") launches.push_back(one);
        const bool is_device_switch = one.name == "hipGetDevice" || one.name == "hipSetDevice";
        const bool is_replay = by == call::how::replayed && one.name == "hipGraphLaunch";
        CHECK_MESSAGE((one.name == "hipModuleLaunchKernel" || is_device_switch || is_replay), one.name);
    }
    const std::vector<jit::launch_description> described = launches_of(expected, memory);
    // A forward makes every launch that is described, or none.
    if (!is_gradient(of.op)) REQUIRE(described.size() == (of.tokens > 0 ? expected.launches.size() : 0));
    REQUIRE(launches.size() == described.size());
    for (std::size_t i = 0; i < launches.size(); ++i) {
        const jit::launch_description& launch = described[i];
        CAPTURE(launch.symbol);
        CHECK(launches[i].by == by);
        CHECK(launches[i].symbol == launch.symbol);
        CHECK(launches[i].device == fake_ordinal);
        CHECK(launches[i].grid == launch.grid);
        CHECK(launches[i].block == static_cast<unsigned>(launch.block));
        CHECK(launches[i].stream == memory.stream);
        check_arguments(launches[i], launch, expected.workspace_bytes, spec, of, memory);
    }
}

/// Of the operators that may have one, those that do: stages with a copy of fn, gradients of steps.
bool needs_workspace(const test_case& of)
{
    if (of.op == operation::pre_project_fwd) return of.spec.fn_norm_weight || of.spec.fn_order != jit::fn_order::fn;
    if (of.op == operation::sinkhorn_bwd) return of.spec.options.gradient == jit::sinkhorn_gradient::exact;
    return takes_workspace(of.op);
}

}  // namespace

TEST_CASE("HIP operators: each launches its kernels with what was passed, and calls nothing else")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    for (int i = 0; i < jit::operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        const std::vector<test_case> cases = some_cases(op);
        REQUIRE_MESSAGE(cases.size() > 1, "no cases of " << name_of(op));
        for (const test_case& one : cases) {
            CAPTURE(one.name);
            const auto layer = shared_engine().layer(one.spec);
            REQUIRE_MESSAGE(layer, layer.error().message);
            const auto expected =
                jit::describe(op, one.spec, fake_target, one.tokens, true, options_with(MHC_TEST_CACHE_DIR)).value();
            const operands of = make_operands(one);
            operand_memory memory(*layer, of);
            CHECK((memory.pointer("workspace") != nullptr) == (needs_workspace(one) && one.tokens > 0));

            fake.control.take_record();
            const jit::result<void> launched = launch_with(*layer, of, memory);
            REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
            check_record(fake.control.take_record(), call::how::called, expected, one.spec, of, memory);
            CHECK(current_device(fake) == 0);

            REQUIRE(memory.device().begin_capture(memory.stream));
            fake.control.take_record();
            REQUIRE(launch_with(*layer, of, memory));
            check_record(fake.control.take_record(), call::how::captured, expected, one.spec, of, memory);
            void* const graph = memory.device().end_capture(memory.stream).value();
            fake.control.take_record();
            REQUIRE(memory.device().replay(graph, memory.stream));
            check_record(fake.control.take_record(), call::how::replayed, expected, one.spec, of, memory);
            memory.device().destroy_graph(graph);
        }
    }
}

TEST_CASE("HIP operators: the device that is current already is not set again")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::post_fwd).back();
    const auto layer = shared_engine().layer(one.spec).value();
    const operands of = make_operands(one);
    const operand_memory memory(layer, of);
    REQUIRE(fake.api.set_device(fake_ordinal) == 0);
    fake.control.take_record();
    REQUIRE(launch_with(layer, of, memory));
    std::vector<std::string> names;
    for (const call& made : fake.control.take_record()) names.push_back(made.name);
    CHECK(names == std::vector<std::string>{"hipGetDevice", "hipModuleLaunchKernel"});
}

TEST_CASE("HIP operators: a launch that the runtime refuses is launch_failed, and no later kernel is launched")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::dynamic_layer_fwd).back();
    const auto layer = shared_engine().layer(one.spec).value();
    const operands of = make_operands(one);
    const operand_memory memory(layer, of);
    const std::size_t kernels = layer.kernels().size();
    REQUIRE(kernels > 1);
    fake.control.take_record();
    fake.control.fail("hipModuleLaunchKernel", 1, 719);
    const auto launched = launch_with(layer, of, memory);
    REQUIRE(!launched);
    CHECK(launched.error().code == jit::errc::launch_failed);
    CHECK(contains(launched.error().message, "hipModuleLaunchKernel: hipErrorLaunchFailure"));
    CHECK(fake.calls() == std::vector<std::string>{"hipModuleLaunchKernel"});
    CHECK(launch_with(layer, of, memory));
}
