// runtime/select_target.cpp -- a named target on its device, or the first of HIP, CUDA and host that is here.
#include "runtime/select_target.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "codegen/compile_options.hpp"
#include "runtime/host_cpu.hpp"
#include "runtime/object_source.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

using codegen::target_kind;
using jit::errc;
using jit::failure;

constexpr std::string_view emulated_prefix = "emu:";

bool runs_on_this_cpu(const codegen::target& on)
{
    const codegen::target here = this_host();
    const auto has = [&](const std::string& feature) {
        return feature == "cx16" || std::find(here.features.begin(), here.features.end(), feature) != here.features.end();
    };
    return on.triple == here.triple && std::all_of(on.features.begin(), on.features.end(), has);
}

/// 9 and 0 of "sm_90", 12 and 0 of "sm_120".
std::pair<int, int> compute_capability(std::string_view id)
{
    int number = 0;
    const std::string_view digits = id.substr(std::min(id.size(), std::size_t{3}));
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return {number / 10, number % 10};
}

/// The kernel driver's nodes: without them the HIP runtime has no device, and need not be loaded to see that.
bool may_have_amd_gpu()
{
    struct stat info {};
    return ::stat("/dev/kfd", &info) == 0 || ::stat("/dev/dxg", &info) == 0;
}

jit::result<std::shared_ptr<gpu_driver>> open_driver(target_kind kind, int ordinal)
{
    return kind == target_kind::amdgpu ? open_hip(ordinal) : open_cuda(ordinal);
}

/// What a driver's device is called in code generation: its processor, without features.
jit::result<codegen::target> target_of(const gpu_driver& driver)
{
    const std::string& id = driver.id();
    if (id.starts_with("gfx")) return codegen::parse_target(id.substr(0, id.find(':')));
    const auto [major, minor] = compute_capability(id);
    const std::string name = codegen::cuda_architecture_for(major, minor);
    return codegen::parse_target(name.empty() ? id : name);
}

selected_target on_device(codegen::target on, std::shared_ptr<gpu_driver> driver)
{
    selected_target chosen{.on = std::move(on), .driver = std::move(driver), .exact = {}, .notes = {}};
    // HIP counts those of gfx10 and later in pairs, or not, by its version: there the table's stand.
    if (!chosen.on.processor.starts_with("gfx1")) chosen.on.compute_units = chosen.driver->compute_units();
    if (chosen.on.kind != target_kind::amdgpu) return chosen;
    chosen.on.code_object_version = chosen.driver->code_object_version();
    if (auto exact = codegen::parse_target(chosen.driver->id());
        exact && chosen.on.features.empty() && !exact->features.empty()) {
        exact->code_object_version = chosen.on.code_object_version;
        exact->compute_units = chosen.on.compute_units;
        chosen.exact = std::move(*exact);
    }
    return chosen;
}

selected_target on_this_cpu(codegen::target on)
{
    return {.on = std::move(on), .driver = nullptr, .exact = {}, .notes = {}};
}

jit::result<selected_target> select_named(const std::string& name, int ordinal)
{
    auto on = target_named(name);
    if (!on) return on.error();
    if (on->kind == target_kind::host) {
        if (runs_on_this_cpu(*on)) return on_this_cpu(std::move(*on));
        return failure{errc::unsupported_target,
                       fmt::format("target {} needs CPU features that this machine has not", name)};
    }
    if (is_emulated(name)) {
        auto device = open_emulator(on->processor);
        if (!device) return failure{errc::unsupported_target, fmt::format("target {}: {}", name, device.error().message)};
        return on_device(std::move(*on), std::move(*device));
    }
    auto driver = open_driver(on->kind, ordinal);
    std::string why = driver ? std::string() : driver.error().message;
    if (driver) {
        const auto fits = runs_on(*on, **driver);
        if (fits) return on_device(std::move(*on), std::move(*driver));
        why = fits.error().message;
    }
    return failure{
        errc::unsupported_target,
        fmt::format("target {} cannot be run: {}; its kernels can be compiled (mhc-prebuild, mhc-show)", name, why)};
}

selected_target select_automatically(int ordinal)
{
    std::vector<std::string> tried;
    for (const target_kind kind : {target_kind::amdgpu, target_kind::cuda}) {
        const bool is_amd = kind == target_kind::amdgpu;
        if (is_amd && !may_have_amd_gpu()) {
            tried.emplace_back("HIP: no /dev/kfd");
            continue;
        }
        auto driver = open_driver(kind, ordinal);
        if (!driver) {
            tried.push_back((is_amd ? "HIP: " : "CUDA: ") + driver.error().message);
            continue;
        }
        auto on = target_of(**driver);
        if (!on) {
            tried.push_back(fmt::format("{}: {}", (*driver)->name(), on.error().message));
            continue;
        }
        const std::string note = fmt::format("target auto: {} ({}, {})", on->name, (*driver)->name(), (*driver)->id());
        selected_target chosen = on_device(std::move(*on), std::move(*driver));
        chosen.notes.push_back(note);
        return chosen;
    }
    selected_target chosen = on_this_cpu(this_host());
    chosen.notes.push_back(fmt::format("target auto: host ({})", fmt::join(tried, "; ")));
    return chosen;
}

}  // namespace

std::string selected_target::name() const
{
    if (on.kind == target_kind::host) return "host";
    return driver && is_emulated(driver->id()) ? std::string(emulated_prefix) + on.name : on.name;
}

bool is_emulated(std::string_view name) { return name.starts_with(emulated_prefix); }

jit::result<codegen::target> target_named(std::string_view name)
{
    if (is_emulated(name)) {
        auto on = codegen::parse_target(name.substr(emulated_prefix.size()));
        if (on && on->kind != target_kind::amdgpu)
            return failure{errc::unsupported_target, fmt::format("target {}: only AMD GPUs are emulated", name)};
        return on;
    }
    const codegen::target here = this_host();
    if (name == "host" || name == here.name) return here;
    return codegen::parse_target(name);
}

jit::result<void> runs_on(const codegen::target& on, const gpu_driver& driver)
{
    const std::string& id = driver.id();
    const failure differs{errc::unsupported_target, fmt::format("the device is {} ({})", driver.name(), id)};
    if (on.kind == target_kind::cuda) {
        const auto [major, minor] = compute_capability(id);
        if (!codegen::cuda_runs_on(on.name, major, minor)) return differs;
        return {};
    }
    if (on.processor != id.substr(0, id.find(':'))) return differs;
    for (const std::string& feature : on.features)
        if ((id + ":").find(":" + feature + ":") == std::string::npos) return differs;
    return {};
}

std::vector<std::string> native_targets(std::string* why)
{
    std::vector<std::string> found, reasons;
    for (const target_kind kind : {target_kind::amdgpu, target_kind::cuda}) {
        if (kind == target_kind::amdgpu && !may_have_amd_gpu()) {
            reasons.emplace_back("HIP: no /dev/kfd");
            continue;
        }
        for (int ordinal = 0;; ++ordinal) {
            const auto driver = open_driver(kind, ordinal);
            if (!driver && ordinal == 0) reasons.push_back(driver.error().message);
            if (!driver) break;
            const auto on = target_of(**driver);
            if (!on) reasons.push_back(fmt::format("{}: {}", (*driver)->name(), on.error().message));
            if (on && std::find(found.begin(), found.end(), on->name) == found.end()) found.push_back(on->name);
        }
    }
    *why = fmt::format("{}", fmt::join(reasons, "; "));
    return found;
}

jit::result<selected_target> select_target(const jit::engine_options& options)
{
    if (options.device < -1)
        return failure{errc::bad_spec, fmt::format("device = {}: allowed is an ordinal from 0, or -1", options.device)};
    if (options.target == "auto") return select_automatically(options.device);
    auto named = select_named(options.target, options.device);
    if (named || !target_named(options.target)) return named;
    if (!options.allow_fallback)
        return failure{errc::unsupported_target, named.error().message + "; use \"host\" or \"auto\""};
    selected_target chosen = select_automatically(options.device);
    chosen.notes.insert(chosen.notes.begin(), named.error().message + ": fallback is allowed");
    return chosen;
}

}  // namespace mhc::runtime

namespace mhc::jit {

std::vector<toolchain_info> toolchains(const engine_options& options)
{
    runtime::object_source source(options, std::make_shared<runtime::logger>(options.level, options.log),
                                  std::make_shared<runtime::counters>());
    std::vector<toolchain_info> list;
    for (const runtime::backend_info& b : source.backends())
        list.push_back({b.name, b.available, b.version, b.available ? cache::to_hex(b.identity.fingerprint) : "", b.targets,
                        b.why_not});
    return list;
}

std::vector<target_info> targets(const engine_options& options)
{
    const std::vector<toolchain_info> compilers = toolchains(options);
    std::vector<std::string> names = codegen::gpu_processors();
    names.insert(names.begin(), "host");
    const auto hip = runtime::open_hip(options.device), cuda = runtime::open_cuda(options.device);
    std::vector<target_info> list;
    for (const std::string& name : names) {
        target_info info;
        info.name = name;
        const codegen::target on = *runtime::target_named(name);
        result<void> runs;
        if (on.kind != codegen::target_kind::host) {
            const auto& driver = on.kind == codegen::target_kind::amdgpu ? hip : cuda;
            runs = driver ? runtime::runs_on(on, **driver) : result<void>(driver.error());
        }
        info.can_run = static_cast<bool>(runs);
        std::vector<runtime::backend_info> found;
        for (const toolchain_info& c : compilers) {
            found.push_back({c.name, c.available, c.version, c.why_not, {}, {}, c.targets});
            if (!c.available || std::find(c.targets.begin(), c.targets.end(), name) == c.targets.end()) continue;
            info.can_compile = true;
            info.compilers += (info.compilers.empty() ? "" : ", ") + c.name + " " + c.version;
        }
        const auto order_of_kind = codegen::compilers_of(on.kind);
        const std::vector<std::string> order(order_of_kind.begin(), order_of_kind.end());
        if (!info.can_compile) info.why_not = runtime::why_no_compiler(found, order, name);
        if (!info.can_run)
            info.why_not += (info.why_not.empty() ? "" : "; ") + std::string("not run: ") + runs.error().message;
        list.push_back(std::move(info));
    }
    return list;
}

result<void> supports(operation op, const layer_spec& spec, std::string_view target)
{
    auto on = runtime::target_named(target);
    if (!on) return on.error();
    layer_spec only = spec;
    only.wanted = operations{op};
    only.norm_weight = spec.norm_weight && operations_with_norm_weight.contains(op);
    if (!operations_with_fn.contains(op)) only.fn_norm_weight = false, only.fn_order = fn_order::fn;
    auto planned = codegen::plan(only, *on, op);
    if (!planned) return planned.error();
    return {};
}

}  // namespace mhc::jit
