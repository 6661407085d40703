// tests/fake_hip/layers.cpp -- chooses cases, makes engines and memory.
#include "tests/fake_hip/layers.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/fake_hip/fixture.hpp"
#include "tests/host/launch.hpp"

namespace mhc::testing {

jit::engine_options options_with(const std::string& cache_dir)
{
    jit::engine_options options;
    options.target = fake_target;
    options.device = fake_ordinal;
    options.cache_dir = cache_dir;
    return options;
}

jit::engine& shared_engine()
{
    static const std::unique_ptr<jit::engine> the_one = jit::engine::create(options_with(MHC_TEST_CACHE_DIR)).value();
    return *the_one;
}

bool can_compile()
{
    static const jit::target_info info = [] {
        fresh_fake();
        const auto targets = jit::targets();
        return *std::find_if(targets.begin(), targets.end(), [](const auto& one) { return one.name == fake_target; });
    }();
    if (!info.can_compile) MESSAGE("not run: " << info.why_not);
    return info.can_compile;
}

std::vector<test_case> some_cases(jit::operation op)
{
    const std::size_t wanted = is_gradient(op) ? 2 : 6;  // a gradient has several kernels of its own for each case
    std::vector<test_case> chosen;
    for (const case_group& group : case_groups()) {
        if (group.op != op || group.sweeps_sinkhorn) continue;
        std::vector<test_case> all = all_cases(group, {.work_max = std::int64_t{1} << 22}, false);
        // The library describes the launches for coefficients of each token; of static ones a gradient has more.
        const auto has_more = [](const test_case& one) { return one.coefficients != coefficient_kind::per_token; };
        if (is_gradient(op)) std::erase_if(all, has_more);
        std::erase_if(all, [](const test_case& one) { return one.layers > 1; });  // one is described
        const auto has_none = std::find_if(all.begin(), all.end(), [](const test_case& one) { return one.tokens == 0; });
        REQUIRE(has_none != all.end());
        chosen.push_back(*has_none);
        std::erase_if(all, [](const test_case& one) { return one.tokens == 0; });
        for (std::size_t i = 0; i < wanted && i < all.size(); ++i) chosen.push_back(all[i * all.size() / wanted]);
    }
    return chosen;
}

operand_memory::operand_memory(const jit::compiled_layer& layer, const operands& of)
    : device_(jit::device::open(fake_target, fake_ordinal).value())
{
    for (const operand& each : of.list) add(each.name, each.place.extent() * each.element_bytes());
    if (const std::int64_t bytes = layer.workspace_bytes(of.op, of.tokens); bytes > 0) add("workspace", bytes);
    stream = device_->create_stream().value();
}

operand_memory::~operand_memory()
{
    for (const auto& [name, memory] : memory_) device_->release(memory);
    device_->destroy_stream(stream);
}

void* operand_memory::pointer(std::string_view name) const
{
    const auto found = memory_.find(name);
    return found == memory_.end() ? nullptr : found->second;
}

void operand_memory::add(const std::string& name, std::int64_t bytes)
{
    memory_[name] = device_->allocate(static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1))).value();
}

jit::result<void> launch_with(const jit::compiled_layer& layer, const operands& of, const operand_memory& memory)
{
    return testing::launch(
        layer, of, [&](std::string_view name) { return memory.pointer(name); }, memory.stream);
}

}  // namespace mhc::testing
