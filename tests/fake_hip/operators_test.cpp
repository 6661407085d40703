// tests/fake_hip/operators_test.cpp -- every operator through the HIP loader: what the runtime is called with, and nothing
// else. Kernels are compiled for gfx942 and not executed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include <mhc/jit/describe.hpp>
#include <mhc/jit/device.hpp>
#include <mhc/jit/engine.hpp>

#include "runtime/code_object.hpp"
#include "tests/fake_hip/fixture.hpp"
#include "tests/host/launch.hpp"
#include "tests/support/temporary_directory.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;
using jit::operation;

constexpr const char* target = "gfx942";
constexpr int ordinal = 1;  // not the one that is current in the tests' thread

jit::engine_options options_with(const std::string& cache_dir)
{
    jit::engine_options options;
    options.target = target;
    options.device = ordinal;
    options.cache_dir = cache_dir;
    return options;
}

/// False where no compiler knows the target: then nothing can be launched, and the test says so.
bool can_compile()
{
    static const jit::target_info info = [] {
        fresh_fake();
        const auto targets = jit::targets();
        return *std::find_if(targets.begin(), targets.end(), [](const auto& one) { return one.name == target; });
    }();
    if (!info.can_compile) MESSAGE("not run: " << info.why_not);
    return info.can_compile;
}

/// Memory for every operand of a launch, each an allocation of its own, and a stream.
class operand_memory {
public:
    operand_memory(const jit::compiled_layer& layer, const operands& of)
        : device_(jit::device::open(target, ordinal).value())
    {
        for (const operand& each : of.list) add(each.name, each.place.extent() * jit::size_of(each.type));
        if (const std::int64_t bytes = layer.workspace_bytes(of.op, of.tokens); bytes > 0) add("workspace", bytes);
        stream = device_->create_stream().value();
    }
    ~operand_memory()
    {
        for (const auto& [name, memory] : memory_) device_->release(memory);
        device_->destroy_stream(stream);
    }
    operand_memory(const operand_memory&) = delete;
    operand_memory& operator=(const operand_memory&) = delete;

    void* pointer(std::string_view name) const
    {
        const auto found = memory_.find(name);
        return found == memory_.end() ? nullptr : found->second;
    }
    jit::device& device() { return *device_; }

    void* stream = nullptr;

private:
    void add(const std::string& name, std::int64_t bytes)
    {
        memory_[name] = device_->allocate(static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1))).value();
    }
    std::shared_ptr<jit::device> device_;
    std::map<std::string, void*, std::less<>> memory_;
};

jit::result<void> launch_with(const jit::compiled_layer& layer, const operands& of, const operand_memory& memory)
{
    return testing::launch(
        layer, of, [&](std::string_view name) { return memory.pointer(name); }, memory.stream);
}

/// The value a scalar argument must have, found without the library's help; none for a name that is not known here.
std::optional<std::int64_t> expected_scalar(const std::string& name, const jit::layer_spec& spec, const operands& of,
                                            std::int64_t groups)
{
    const std::int64_t n = spec.n_streams;
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
        {"coefficients_token_stride", of.op == operation::static_layer_fwd ? 0 : n * n + 2 * n},
    };
    const auto found = known.find(name);
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

void check_arguments(const call& made, const jit::launch_description& expected, const jit::layer_spec& spec,
                     const operands& of, const operand_memory& memory)
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
            CHECK(passed == reinterpret_cast<std::uintptr_t>(memory.pointer(arg.name)));
            CHECK((passed != 0 || arg.optional));
        } else {
            const auto value = expected_scalar(arg.name, spec, of, expected.grid);
            REQUIRE_MESSAGE(value.has_value(), "add the scalar to expected_scalar");
            CHECK(passed == (parameter.size == 4 ? static_cast<std::uint32_t>(*value) : static_cast<std::uint64_t>(*value)));
        }
    }
    CHECK(made.arguments.size() == end);
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
    REQUIRE(launches.size() == (of.tokens == 0 ? 0 : expected.launches.size()));
    for (std::size_t i = 0; i < launches.size(); ++i) {
        const jit::launch_description& launch = expected.launches[i];
        CAPTURE(launch.symbol);
        CHECK(launches[i].by == by);
        CHECK(launches[i].symbol == launch.symbol);
        CHECK(launches[i].device == ordinal);
        CHECK(launches[i].grid == launch.grid);
        CHECK(launches[i].block == static_cast<unsigned>(launch.block));
        CHECK(launches[i].stream == memory.stream);
        check_arguments(launches[i], launch, spec, of, memory);
    }
}

/// Cases of the operator that differ in strides, types and static coefficients, few enough to compile; one has no tokens.
std::vector<test_case> some_cases(operation op)
{
    constexpr std::size_t wanted = 6;
    std::vector<test_case> chosen;
    for (const case_group& group : case_groups()) {
        if (group.op != op || group.sweeps_sinkhorn) continue;
        std::vector<test_case> all = all_cases(group, {.work_max = std::int64_t{1} << 22}, false);
        const auto has_none = std::find_if(all.begin(), all.end(), [](const test_case& one) { return one.tokens == 0; });
        REQUIRE(has_none != all.end());
        chosen.push_back(*has_none);
        std::erase_if(all, [](const test_case& one) { return one.tokens == 0; });
        for (std::size_t i = 0; i < wanted && i < all.size(); ++i) chosen.push_back(all[i * all.size() / wanted]);
    }
    return chosen;
}

jit::engine& shared_engine()
{
    static const std::unique_ptr<jit::engine> the_one = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value();
    return *the_one;
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
                jit::describe(op, one.spec, target, one.tokens, true, options_with(MHC_TEST_CACHE_DIR)).value();
            const operands of = make_operands(one);
            operand_memory memory(*layer, of);
            CHECK((memory.pointer("workspace") != nullptr) == (takes_workspace(op) && one.tokens > 0));

            fake.control.take_record();
            REQUIRE(launch_with(*layer, of, memory));
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
    REQUIRE(fake.api.set_device(ordinal) == 0);
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

TEST_CASE("HIP operators: a layer loads each kernel once, on the engine's device")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::dynamic_layer_fwd).back();
    const auto engine = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value();
    CHECK(engine->target() == target);
    for (const bool is_first : {true, false}) {
        fake.control.take_record();
        const auto layer = engine->layer(one.spec).value();
        std::multiset<std::string> symbols, found;
        for (const jit::kernel_info& kernel : layer.kernels()) symbols.insert(kernel.symbol);
        std::size_t modules = 0;
        for (const call& made : fake.control.take_record()) {
            CHECK(made.result == 0);
            modules += made.name == "hipModuleLoadData" ? 1 : 0;
            if (made.name == "hipModuleLoadData") CHECK(made.device == ordinal);
            if (made.name == "hipModuleGetFunction") found.insert(made.symbol);
        }
        CHECK(modules == (is_first ? symbols.size() : 0));
        CHECK(found == (is_first ? symbols : std::multiset<std::string>()));
        CHECK(current_device(fake) == 0);
    }
}

TEST_CASE("HIP operators: a stored object that HIP will not load is set aside and compiled again")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test::temporary_directory cache;
    test_case one = some_cases(operation::expand_fwd).back();
    REQUIRE(jit::engine::create(options_with(cache.path())).value()->layer(one.spec));
    const auto engine = jit::engine::create(options_with(cache.path())).value();
    engine->set_log(jit::log_level::off);
    fake.control.fail("hipModuleLoadData", 1, 209);
    REQUIRE(engine->layer(one.spec));
    CHECK(engine->stats().set_aside == 1);
    CHECK(engine->stats().compiled == 1);

    // One that does not load when it has just been compiled either is an error that says so.
    const auto next = jit::engine::create(options_with(cache.path())).value();
    next->set_log(jit::log_level::off);
    for (int k = 1; k <= 4; ++k) fake.control.fail("hipModuleLoadData", k, 209);
    const auto layer = next->layer(one.spec);
    REQUIRE(!layer);
    CHECK(layer.error().code == jit::errc::load_failed);
    CHECK(contains(layer.error().message, "hipModuleLoadData: hipErrorNoBinaryForGpu"));
}

TEST_CASE("HIP operators: targets that this device is, and that it is not")
{
    const fake_runtime& fake = fresh_fake();
    const auto open = [](const std::string& name, int device) {
        jit::engine_options options;
        options.target = name;
        options.device = device;
        options.level = jit::log_level::off;
        return jit::engine::create(std::move(options));
    };
    CHECK(open("gfx942", 0));
    CHECK(open("gfx942:sramecc+:xnack-", 1));
    const auto other = open("gfx90a", 0);
    REQUIRE(!other);
    CHECK(other.error().code == jit::errc::unsupported_target);
    CHECK(contains(other.error().message, "gfx942:sramecc+:xnack-"));
    CHECK(!open("gfx942:xnack+", 0));
    const auto absent = open("gfx942", 5);
    REQUIRE(!absent);
    CHECK(absent.error().code == jit::errc::unsupported_target);
    CHECK(contains(absent.error().message, "HIP device 5: the runtime shows 2"));

    const auto device = jit::device::open("gfx942", 1);
    REQUIRE(device);
    CHECK((*device)->id() == "gfx942:sramecc+:xnack-");
    CHECK((*device)->name() == "Fake Instinct 1");
    fake.control.set_devices(0);
    const auto none = jit::device::open("gfx942", -1);
    REQUIRE(!none);
    CHECK(contains(none.error().message, "hipErrorNoDevice"));
}
