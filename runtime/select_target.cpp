// runtime/select_target.cpp -- this build loads kernels on `host`.
#include "runtime/select_target.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/host_cpu.hpp"
#include "runtime/object_source.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;

constexpr std::string_view no_gpu_loader = "this version has no HIP and no CUDA loader";

bool runs_here(const codegen::target& on)
{
    const codegen::target here = this_host();
    const auto has = [&](const std::string& feature) {
        return feature == "cx16" || std::find(here.features.begin(), here.features.end(), feature) != here.features.end();
    };
    return on.kind == codegen::target_kind::host && on.triple == here.triple &&
           std::all_of(on.features.begin(), on.features.end(), has);
}

}  // namespace

jit::result<codegen::target> target_named(std::string_view name)
{
    const codegen::target here = this_host();
    if (name == "host" || name == here.name) return here;
    return codegen::parse_target(name);
}

jit::result<selected_target> select_target(const jit::engine_options& options)
{
    selected_target chosen;
    if (options.target != "auto") {
        auto named = target_named(options.target);
        if (!named) return named.error();
        if (runs_here(*named)) {
            chosen.on = std::move(*named);
            chosen.by = make_host_loader();
            return chosen;
        }
        const std::string why =
            named->kind == codegen::target_kind::host
                ? fmt::format("target {} needs CPU features that this machine has not", options.target)
                : fmt::format("target {} cannot be run: {}; its kernels can be compiled (mhc-prebuild, mhc-show)",
                              options.target, no_gpu_loader);
        if (!options.allow_fallback) return failure{errc::unsupported_target, why + "; use \"host\" or \"auto\""};
        chosen.notes.push_back(why + ": host is used instead");
    }
    chosen.on = this_host();
    chosen.by = make_host_loader();
    if (options.target == "auto") chosen.notes.push_back(fmt::format("target auto: {}, so host", no_gpu_loader));
    return chosen;
}

}  // namespace mhc::runtime

namespace mhc::jit {

std::vector<toolchain_info> toolchains(const engine_options& options)
{
    runtime::object_source source(options, std::make_shared<runtime::logger>(options.level, options.log),
                                  std::make_shared<runtime::counters>());
    std::vector<toolchain_info> list;
    if (source.service().worker_path().empty()) {
        std::string why;
        runtime::find_worker(options.worker, &why);
        for (const char* name : {"clang", "hiprtc"}) list.push_back({name, false, {}, {}, {}, why});
        return list;
    }
    for (const runtime::backend_info& b : source.backends())
        list.push_back({b.name, b.available, b.version, b.available ? cache::to_hex(b.identity.fingerprint) : "", b.targets,
                        b.why_not});
    return list;
}

std::vector<target_info> targets(const engine_options& options)
{
    const std::vector<toolchain_info> compilers = toolchains(options);
    std::vector<std::string> names{"host"};
    names.insert(names.end(), codegen::amd_processors().begin(), codegen::amd_processors().end());
    std::vector<target_info> list;
    for (const std::string& name : names) {
        target_info info;
        info.name = name;
        info.can_run = name == "host";
        std::vector<runtime::backend_info> found;
        for (const toolchain_info& c : compilers) {
            found.push_back({c.name, c.available, c.version, c.why_not, {}, {}, c.targets});
            if (!c.available || std::find(c.targets.begin(), c.targets.end(), name) == c.targets.end()) continue;
            info.can_compile = true;
            info.compilers += (info.compilers.empty() ? "" : ", ") + c.name + " " + c.version;
        }
        const std::vector<std::string> order =
            name == "host" ? std::vector<std::string>{"clang"} : std::vector<std::string>{"hiprtc", "clang"};
        if (!info.can_compile) info.why_not = runtime::why_no_compiler(found, order, name);
        if (!info.can_run)
            info.why_not += (info.why_not.empty() ? "" : "; ") + std::string("not run: ").append(runtime::no_gpu_loader);
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
    auto planned = codegen::plan(only, *on, op);
    if (!planned) return planned.error();
    return {};
}

}  // namespace mhc::jit
