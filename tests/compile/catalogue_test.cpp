// tests/compile/catalogue_test.cpp -- every kernel of the catalogue compiles for every architecture that a toolchain here
// knows, and its code object is what the plan says: symbol, arguments, no scratch.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <mhc/jit.hpp>

#include "codegen/plan.hpp"
#include "runtime/code_object.hpp"
#include "runtime/cuda_object.hpp"
#include "runtime/object_source.hpp"
#include "runtime/select_target.hpp"
#include "tests/support/catalogue_rows.hpp"

using namespace mhc;

namespace {

jit::engine_options options_for(jit::compiler_backend backend)
{
    jit::engine_options o = jit::engine_options::from_environment().value();
    o.backend = backend;
    o.level = jit::log_level::warning;
    return o;
}

std::string faults_of_cubin(const codegen::kernel_plan& plan, const cache::code_row& row)
{
    if (auto ok = runtime::verify_code_object(row.bytes, row.target, row.symbol); !ok) return ok.error().message;
    const runtime::elf_object object = runtime::read_elf(row.bytes).value();
    const std::vector<runtime::cubin_argument> args = runtime::cubin_arguments(object, row.symbol);
    if (args.size() != plan.args.size()) return fmt::format("{} arguments, planned {}", args.size(), plan.args.size());
    // With a map the driver lays out the block, from the arguments one by one: NVRTC 13 aligns the map in constant memory,
    // where the block begins at no multiple of 64.
    const bool has_map = plan.launches == codegen::part_of::one_pass;
    std::string faults;
    std::uint32_t end = 0;
    for (std::size_t i = 0; i < args.size(); ++i) {
        const bool is_at_its_place = has_map ? args[i].offset >= end : args[i].offset == plan.args[i].offset;
        if (!is_at_its_place || args[i].size != plan.args[i].size)
            faults += fmt::format(" {} at {}+{}, planned {}+{}", name_of(plan.args[i].what), args[i].offset, args[i].size,
                                  plan.args[i].offset, plan.args[i].size);
        end = args[i].offset + args[i].size;
    }
    const jit::resource_description r = runtime::cubin_resources(object, row.symbol);
    // Waves of pre_one_pass with different tasks share out a multiprocessor's registers: for 448 channels, with 208 and 48
    // of them a lane, NVRTC 13.0 keeps four numbers in local memory.
    const std::uint32_t local_bytes_max = plan.family == "pre_one_pass" && plan.hidden_dim == 7168 ? 16 : 0;
    if (r.scratch_bytes > local_bytes_max) faults += fmt::format(" {} bytes of local memory", r.scratch_bytes);
    const bool has_its_block = has_map ? r.kernarg_bytes >= plan.argument_bytes : r.kernarg_bytes == plan.argument_bytes;
    if (r.vgprs == 0 || !has_its_block || r.max_workgroup != static_cast<std::uint32_t>(plan.block))
        faults +=
            fmt::format(" {} registers, {} bytes of arguments, blocks of {}", r.vgprs, r.kernarg_bytes, r.max_workgroup);
    return faults;
}

/// What is wrong with a kernel's object; empty: nothing.
std::string faults_of(const codegen::kernel_plan& plan, const cache::code_row& row)
{
    if (row.target.starts_with("sm_")) return faults_of_cubin(plan, row);
    const auto kernels = runtime::read_metadata(row.bytes);
    if (!kernels) return kernels.error().message;
    if (kernels->size() != 1) return fmt::format("{} kernels in one object", kernels->size());
    const runtime::kernel_metadata& k = kernels->front();
    std::string faults;
    if (k.name != row.symbol) faults += fmt::format(" named {}", k.name);
    if (k.args.size() != plan.args.size()) return fmt::format("{} arguments, planned {}", k.args.size(), plan.args.size());
    for (std::size_t i = 0; i < k.args.size(); ++i)
        if (k.args[i].offset != plan.args[i].offset || k.args[i].size != plan.args[i].size)
            faults += fmt::format(" {} at {}+{}, planned {}+{}", name_of(plan.args[i].what), k.args[i].offset,
                                  k.args[i].size, plan.args[i].offset, plan.args[i].size);
    const jit::resource_description& r = k.resources;
    if (r.scratch_bytes != 0) faults += fmt::format(" {} bytes of scratch", r.scratch_bytes);
    if (r.vgpr_spills != 0) faults += fmt::format(" {} spilled VGPRs", r.vgpr_spills);
    if (r.max_workgroup < static_cast<std::uint32_t>(plan.block))
        faults += fmt::format(" for blocks of {}", r.max_workgroup);
    return faults;
}

/// Compiles the kernels of some specs for one target by one compiler; returns the faults, one line a kernel.
std::vector<std::string> compile_items(const std::string& name, jit::compiler_backend backend,
                                       const std::vector<jit::prebuild_item>& items, int* count)
{
    runtime::object_source source(options_for(backend),
                                  std::make_shared<runtime::logger>(jit::log_level::warning, jit::log_sink()),
                                  std::make_shared<runtime::counters>());
    const codegen::target on = codegen::parse_target(name).value();
    const runtime::chosen_compiler by = source.compiler_for(on);
    if (by.backend.empty()) return {by.why_none};
    std::vector<std::unique_ptr<codegen::operator_plan>> plans;
    std::vector<runtime::keyed_kernel> wanted;
    std::set<cache::digest> seen;
    for (const jit::prebuild_item& item : items)
        for (int i = 0; i < jit::operation_count; ++i) {
            if (!item.spec.wanted.contains(static_cast<jit::operation>(i))) continue;
            plans.push_back(std::make_unique<codegen::operator_plan>(
                codegen::plan(item.spec, on, static_cast<jit::operation>(i)).value()));
            for (const codegen::kernel_plan& k : plans.back()->kernels) {
                runtime::keyed_kernel keyed = source.key_of(k, on, by);
                if (seen.insert(keyed.query.key).second) wanted.push_back(std::move(keyed));
            }
        }
    *count = static_cast<int>(wanted.size());
    std::vector<std::string> faults;
    std::mutex mutex;
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next++; i < wanted.size(); i = next++) {
            auto object = source.find(wanted[i]);
            std::string fault;
            if (!object) {
                auto made = source.compile(wanted[i], by);
                if (made)
                    object = std::move(*made);
                else
                    fault = made.error().message;
            }
            if (object) fault = faults_of(*wanted[i].plan, object->row);
            const std::lock_guard lock(mutex);
            if (!fault.empty()) faults.push_back(wanted[i].symbol + ":" + fault);
        }
    };
    std::thread other(work);
    work();
    other.join();
    return faults;
}

void check_items(const std::string& name, jit::compiler_backend backend, const std::vector<jit::prebuild_item>& items)
{
    int count = 0;
    const std::vector<std::string> faults = compile_items(name, backend, items, &count);
    for (const std::string& fault : faults) MESSAGE(fault);
    CHECK(faults.empty());
    CHECK(count > 15);
    MESSAGE(name << ": " << count << " kernels");
}

void check_target(const std::string& name, jit::compiler_backend backend = jit::compiler_backend::clang, int level = 2)
{
    check_items(name, backend, jit::catalogue(level).value());
}

bool knows(const char* compiler, const std::string& target)
{
    for (const jit::toolchain_info& info : jit::toolchains(options_for(jit::compiler_backend::automatic)))
        if (info.name == compiler) return std::find(info.targets.begin(), info.targets.end(), target) != info.targets.end();
    return false;
}

}  // namespace

TEST_CASE("compile: the catalogue for gfx90a by clang") { check_target("gfx90a"); }
TEST_CASE("compile: the catalogue for gfx1030 by clang") { check_target("gfx1030"); }
TEST_CASE("compile: the catalogue for gfx1100 by clang") { check_target("gfx1100"); }
TEST_CASE("compile: the catalogue for gfx1101 by clang") { check_target("gfx1101"); }
TEST_CASE("compile: the catalogue for gfx1200 by clang") { check_target("gfx1200"); }
TEST_CASE("compile: the catalogue for gfx1201 by clang") { check_target("gfx1201"); }
TEST_CASE("compile: the catalogue for gfx90a by hiprtc") { check_target("gfx90a", jit::compiler_backend::hiprtc); }
TEST_CASE("compile: the catalogue with its gradients for gfx942 by clang")
{
    check_target("gfx942", jit::compiler_backend::clang, 1);
}
TEST_CASE("compile: some gradients for every architecture by clang, and for gfx90a by hiprtc")
{
    for (const char* name : {"gfx90a", "gfx1030", "gfx1100", "gfx1101", "gfx1200", "gfx1201"})
        check_items(name, jit::compiler_backend::clang, testing::some_gradients());
    check_items("gfx90a", jit::compiler_backend::hiprtc, testing::some_gradients());
}
TEST_CASE("compile: the default operators for sm_80, sm_90 and sm_90a by nvrtc")
{
    for (const char* name : {"sm_80", "sm_90", "sm_90a"}) {
        if (knows("nvrtc", name))
            check_target(name, jit::compiler_backend::automatic, 3);
        else
            MESSAGE("not run: " << std::string(name) << ": no NVRTC here knows it");
    }
}
TEST_CASE("compile: the default operators for CPUs with and without AVX-512")
{
    jit::layer_spec spec;
    spec.hidden_dim = 1280;
    for (const char* name : {"host:x86-64-v2", "host:x86-64-v3", "host:x86-64-v4"})
        for (const auto op : {jit::operation::pre_fwd, jit::operation::post_fwd}) {
            CAPTURE(name);
            const auto made = jit::describe(op, spec, name, 1, true, options_for(jit::compiler_backend::clang));
            const std::string why = made ? "" : made.error().message;
            CAPTURE(why);
            CHECK(made);
        }
}
TEST_CASE("compile: the default operators for gfx90a with features")
{
    check_target("gfx90a:sramecc+:xnack-", jit::compiler_backend::clang, 3);
}

/// tests/compat/run sets these, and a worker that finds another HIPRTC than this machine's.
TEST_CASE("compile: the catalogue by hiprtc for the targets of MHC_COMPAT_TARGETS")
{
    const char* const targets = std::getenv("MHC_COMPAT_TARGETS");
    const char* const level = std::getenv("MHC_COMPAT_LEVEL");
    if (targets == nullptr) {
        MESSAGE("not run: MHC_COMPAT_TARGETS is not set");
        return;
    }
    for (const std::string& name : jit::parse_gpu_archs(targets).value())
        check_target(name, jit::compiler_backend::hiprtc, level == nullptr ? 2 : std::atoi(level));
}

TEST_CASE("compile: an architecture no toolchain here knows is an error naming one that can")
{
    for (const char* name : {"gfx950", "gfx1250"}) {
        CAPTURE(name);
        if (knows("clang", name) || knows("hiprtc", name)) {
            check_target(name, jit::compiler_backend::automatic);
            continue;
        }
        jit::layer_spec spec;
        spec.hidden_dim = 4096;
        const auto refused =
            jit::describe(jit::operation::post_fwd, spec, name, 1, true, options_for(jit::compiler_backend::automatic));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == jit::errc::unsupported_target);
        CHECK(refused.error().message.find("ROCm") != std::string::npos);
        CHECK(refused.error().message.find("LLVM") != std::string::npos);
    }
}
