// runtime/cache_doctor.cpp -- why a kernel is not found, and what is wrong with the place, the locks and the compilers.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cache/key_lock.hpp"
#include "cache/trust.hpp"
#include "codegen/plan.hpp"
#include "runtime/cache_tools.hpp"
#include "runtime/machine_limits.hpp"
#include "runtime/object_source.hpp"
#include "runtime/prebuilt_places.hpp"
#include "runtime/select_target.hpp"
#include "runtime/text.hpp"
#include "runtime/tuned_tables.hpp"

namespace mhc::jit {

using namespace cache_tools;
using runtime::object_source;

namespace {

using severity = finding::severity;

std::shared_ptr<runtime::logger> silent() { return std::make_shared<runtime::logger>(log_level::off, log_sink{}); }

void examine_place(const engine_options& options, std::vector<finding>& into)
{
    const std::string dir = cache::user_cache_dir(options.cache_dir);
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(dir, ignored))) {
        into.push_back({severity::good, "folder", dir + " is not there yet; it is made when something is stored"});
        return;
    }
    std::string why;
    const auto trusted = cache::trust_directory(dir, false, &why);
    if (!trusted) {
        into.push_back({severity::bad, "folder", why});
        return;
    }
    into.push_back({trusted->is_writable ? severity::good : severity::warning, "folder",
                    trusted->path + (trusted->is_writable ? " can be read and written" : " can only be read")});
    const bool is_local = cache::is_on_local_filesystem(trusted->path);
    into.push_back({is_local ? severity::good : severity::warning, "filesystem",
                    is_local ? "of this machine" : "of the network, or unknown: a folder of this machine is used instead"});
    if (!is_local || !trusted->is_writable) return;
    const bool maps = cache::maps_shared(trusted->path);
    into.push_back({maps ? severity::good : severity::warning, "write-ahead log",
                    maps ? "possible" : "not possible: memory cannot be shared, stores take turns with lookups"});
    if (!std::filesystem::exists(trusted->path + "/mhc.lock", ignored)) return;
    cache::key_lock probe(trusted->path, cache::sha256("doctor"));
    const bool locks = probe.try_take() != cache::key_lock::state::unsupported;
    into.push_back({locks ? severity::good : severity::warning, "locks",
                    locks ? "processes wait for each other" : "none: processes may compile the same kernel at once"});
}

void examine_databases(const engine_options& options, std::vector<finding>& into)
{
    const opened o = open(options, {});
    if (!o.store && o.why != "missing") into.push_back({severity::bad, "user database", o.why});
    if (!o.store && o.why == "missing") into.push_back({severity::good, "user database", "not there yet"});
    if (o.store) {
        const auto damaged = o.store->damaged();
        const auto counts = o.store->count();
        into.push_back({damaged.empty() ? severity::good : severity::warning, "user database",
                        fmt::format("{}: {} objects, {} damaged, {} failures remembered", o.store->path(), counts.objects,
                                    damaged.size(), counts.failures)});
    }
    for (const std::string& target : codegen::gpu_processors())
        for (const runtime::prebuilt_place& place : runtime::prebuilt_places(options, target)) {
            if (!place.bytes.empty()) continue;  // of the program that asks, which is a tool
            std::string why;
            const auto store = cache::open_prebuilt_store(place.name, {}, &why, options.prebuilt_key);
            into.push_back({store ? severity::good : severity::bad, "prebuilt",
                            store ? fmt::format("{}: {} objects", place.name, store->count().objects) : why});
        }
}

void examine_compilers(const engine_options& options, std::vector<finding>& into)
{
    std::string why;
    const std::string worker = runtime::find_worker(options.worker, &why);
    into.push_back({worker.empty() ? severity::bad : severity::good, "worker", worker.empty() ? why : worker});
    bool has_any = false;
    for (const toolchain_info& each : toolchains(options)) {
        has_any = has_any || each.available;
        into.push_back({severity::good, each.name,
                        each.available ? fmt::format("{}, {} targets", each.version, each.targets.size())
                                       : "not here: " + runtime::first_line(each.why_not)});
    }
    if (!has_any) into.push_back({severity::bad, "compilers", "none: only what is stored or prebuilt can be used"});
    const int cpus = runtime::usable_cpus();
    const std::int64_t memory = runtime::usable_memory_bytes();
    into.push_back({severity::good, "jobs",
                    options.jobs_max > 0 ? fmt::format("{}, as asked for", options.jobs_max)
                                         : fmt::format("as {} CPUs and {} MB of free memory allow", cpus, memory >> 20)});
}

}  // namespace

result<std::vector<miss_explanation>> why_miss(operation op, const layer_spec& spec, std::string_view target,
                                               const engine_options& options)
{
    const auto on = runtime::target_named(target);
    if (!on) return on.error();
    layer_spec only = spec;
    only.wanted = operations{op};
    const auto planned = codegen::plan(only, *on, op, runtime::choices_of(options, *on, *silent()).find(op, only));
    if (!planned) return planned.error();
    // To look is not to make: without a database there is nothing to open.
    engine_options looking = options;
    looking.read_only = true;
    object_source source(looking, silent(), std::make_shared<runtime::counters>());
    const runtime::chosen_compiler by = source.compiler_for(*on);
    std::vector<miss_explanation> all;
    for (const codegen::kernel_plan& plan : planned->kernels) {
        const runtime::keyed_kernel wanted = source.key_of(plan, *on, by);
        miss_explanation& one = all.emplace_back();
        one.symbol = wanted.symbol;
        one.key = cache::to_hex(wanted.query.key);
        if (const auto found = source.find(wanted)) {
            one.is_stored = true;
            one.where = found->from == origin::user ? source.user_store()->path() : "a prebuilt database";
        } else if (runtime::nearest_key near = source.nearest(wanted); !near.symbol.empty()) {
            one.nearest_key = cache::to_hex(near.key);
            one.differences = std::move(near.differences);
        }
    }
    return all;
}

std::vector<finding> examine_cache(const engine_options& options)
{
    std::vector<finding> all;
    examine_place(options, all);
    examine_databases(options, all);
    engine_options looking = options;
    looking.read_only = true;
    looking.level = log_level::off;
    examine_compilers(looking, all);
    return all;
}

}  // namespace mhc::jit
