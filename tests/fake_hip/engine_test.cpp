// tests/fake_hip/engine_test.cpp -- engines on a HIP device: which targets it is, and what is loaded when.
#include <doctest/doctest.h>
#include <elf.h>

#include <set>

#include <mhc/jit/prebuild.hpp>

#include "tests/fake_hip/fixture.hpp"
#include "tests/fake_hip/layers.hpp"
#include "tests/support/temporary_directory.hpp"

namespace {

using namespace mhc;
using namespace mhc::testing;
using fake_hip::call;
using jit::operation;

}  // namespace

TEST_CASE("HIP engine: a layer loads each kernel once, on the engine's device")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::dynamic_layer_fwd).back();
    const auto engine = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value();
    CHECK(engine->target() == fake_target);
    for (const bool is_first : {true, false}) {
        fake.control.take_record();
        const auto layer = engine->layer(one.spec).value();
        std::multiset<std::string> symbols, found;
        for (const jit::kernel_info& kernel : layer.kernels()) symbols.insert(kernel.symbol);
        std::size_t modules = 0;
        for (const call& made : fake.control.take_record()) {
            CHECK(made.result == 0);
            modules += made.name == "hipModuleLoadData" ? 1 : 0;
            if (made.name == "hipModuleLoadData") CHECK(made.device == fake_ordinal);
            if (made.name == "hipModuleGetFunction") found.insert(made.symbol);
        }
        CHECK(modules == (is_first ? symbols.size() : 0));
        CHECK(found == (is_first ? symbols : std::multiset<std::string>()));
        CHECK(current_device(fake) == 0);
    }
}

TEST_CASE("HIP engine: grids that fill a GPU are sized by the device's compute units, where it says them")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    // Channels of one slice, and more tokens than the projection's groups take at once.
    test_case of;
    of.op = operation::pre_fwd;
    of.tokens = 20000;
    of.spec.hidden_dim = 8;
    of.spec.wanted = jit::operations{of.op};
    const operands made = make_operands(of);
    const auto groups_with = [&](int compute_units) {
        fake.control.set_compute_units(compute_units);
        const auto layer = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value()->layer(of.spec).value();
        const operand_memory memory(layer, made);
        fake.control.take_record();
        REQUIRE(launch_with(layer, made, memory).has_value());
        for (const call& one : fake.control.take_record())
            if (one.name == "hipModuleLaunchKernel") return one.grid;
        return 0U;
    };
    CHECK(groups_with(80) == 160);  // two for each
    const unsigned of_table = groups_with(304);
    CHECK(of_table == 608);
    CHECK(groups_with(0) == of_table);  // what no GPU can have, here as in any field that is not set
    CHECK(groups_with(5000) == of_table);
}

TEST_CASE("HIP engine: a stored object that HIP will not load is set aside and compiled again")
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

TEST_CASE("HIP engine: code objects are of the version that the runtime is sure to load")
{
    const fake_runtime& fake = fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::expand_fwd).back();
    for (const auto& [version, elf_abi_version] : {std::pair(50221153, 2), std::pair(60342134, 3), std::pair(70051831, 3)}) {
        fake.control.set_version(version);
        const auto engine = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value();
        fake.control.take_record();
        REQUIRE(engine->layer(one.spec));
        int loads = 0;
        for (const call& made : fake.control.take_record()) {
            if (made.name != "hipModuleLoadData") continue;
            ++loads;
            CHECK(static_cast<const unsigned char*>(made.pointer)[EI_ABIVERSION] == elf_abi_version);
        }
        CHECK(loads == 1);
    }
}

TEST_CASE("HIP engine: targets that this device is, and that it is not")
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

TEST_CASE("HIP engine: a device with a long id takes objects prebuilt for that id, else those for its processor")
{
    fresh_fake();
    if (!can_compile()) return;
    const test_case one = some_cases(operation::expand_fwd).back();
    const test::temporary_directory plain, exact;
    jit::prebuild_options to;
    to.engine.level = jit::log_level::off;
    to.out_dir = plain.path();
    REQUIRE(jit::prebuild("gfx942", {{one.spec}}, to).value().kernels_failed == 0);
    to.out_dir = exact.path();
    REQUIRE(jit::prebuild("gfx942:sramecc+:xnack-", {{one.spec}}, to).value().kernels_failed == 0);

    const auto key_from = [&](const std::vector<std::string>& dirs) {
        jit::engine_options options;
        options.target = "gfx942";
        options.device = fake_ordinal;
        options.use_user_database = false;
        options.strict = true;
        options.prebuilt_dirs = dirs;
        const auto engine = jit::engine::create(options).value();
        const auto layer = engine->layer(one.spec).value();
        CHECK(engine->stats().l3_hit == 1);
        CHECK(layer.kernels().front().from == jit::origin::prebuilt);
        return layer.kernels().front().key;
    };
    const std::string of_processor = key_from({plain.path()}), of_id = key_from({exact.path()});
    CHECK(of_processor != of_id);
    CHECK(key_from({plain.path(), exact.path()}) == of_id);
}
