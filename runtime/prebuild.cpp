// runtime/prebuild.cpp -- a list of specs into one reproducible database and its manifest.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include <mhc/jit/prebuild.hpp>

#include "runtime/machine_limits.hpp"
#include "runtime/object_source.hpp"
#include "runtime/prebuilt_output.hpp"
#include "runtime/select_target.hpp"
#include "runtime/text.hpp"
#include "runtime/tuned_tables.hpp"

namespace mhc::jit {
namespace {

using runtime::keyed_kernel;
using runtime::object_source;

/// Every kernel the items need on a target, once.
struct expected_kernels {
    std::vector<std::unique_ptr<codegen::operator_plan>> plans;  ///< kernels point into them
    std::vector<keyed_kernel> kernels;
};

result<expected_kernels> expect(const codegen::target& on, const std::vector<prebuild_item>& items, object_source& source,
                                const runtime::chosen_compiler& by)
{
    expected_kernels expected;
    std::set<cache::digest> seen;
    const codegen::tuned_table tuned = runtime::shipped_choices(on);
    for (const prebuild_item& item : items)
        for (int i = 0; i < operation_count; ++i) {
            const auto op = static_cast<operation>(i);
            if (!item.spec.wanted.contains(op)) continue;
            auto planned = codegen::plan(item.spec, on, op, tuned.find(op, item.spec));
            if (!planned) return planned.error();
            expected.plans.push_back(std::make_unique<codegen::operator_plan>(std::move(*planned)));
            for (const codegen::kernel_plan& k : expected.plans.back()->kernels) {
                keyed_kernel wanted = source.key_of(k, on, by);
                if (seen.insert(wanted.query.key_nofp).second) expected.kernels.push_back(std::move(wanted));
            }
        }
    return expected;
}

int usable_jobs(const prebuild_options& options) { return options.jobs_max > 0 ? options.jobs_max : runtime::usable_jobs(); }

/// Compiles all that is expected, `jobs` at a time.
std::vector<result<runtime::found_object>> compile_all(object_source& source, const expected_kernels& expected,
                                                       const runtime::chosen_compiler& by, const prebuild_options& options)
{
    const std::size_t count = expected.kernels.size();
    std::vector<result<runtime::found_object>> made(count, failure{});
    std::atomic<std::size_t> next{0};
    std::mutex progress_mutex;
    int done = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < count; i = next++) {
            try {
                made[i] = source.compile(expected.kernels[i], by);
            } catch (const std::exception& e) {
                made[i] = failure{errc::compile_failed, fmt::format("{}: {}", expected.kernels[i].symbol, e.what())};
            }
            const std::lock_guard lock(progress_mutex);
            ++done;
            if (options.progress) options.progress(done, static_cast<int>(count), expected.kernels[i].symbol);
        }
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < std::min<int>(usable_jobs(options), static_cast<int>(count)); ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    return made;
}

/// Whether the databases of `out_dir` hold every expected kernel.
prebuild_report check(const std::string& file, const std::string& signer, const expected_kernels& expected,
                      prebuild_report report)
{
    std::string why;
    const auto store = cache::open_prebuilt_store(file, {}, &why, signer);
    for (const keyed_kernel& wanted : expected.kernels) {
        cache::code_query query = wanted.query;
        query.any_toolchain = true;
        if (store && store->find(query))
            ++report.kernels_produced;
        else
            report.failures.push_back(fmt::format("{}: {}", wanted.symbol, store ? "not in the database" : why));
    }
    report.kernels_failed = static_cast<int>(report.failures.size());
    return report;
}

}  // namespace

result<prebuild_report> prebuild(std::string_view target, const std::vector<prebuild_item>& items,
                                 const prebuild_options& options)
{
    const auto start = std::chrono::steady_clock::now();
    auto on = runtime::target_named(target);
    if (!on) return on.error();
    if (auto ok = runtime::check_signing_key(options.signing_key); !ok) return ok.error();
    engine_options with = options.engine;
    with.use_user_database = false;  // every object is compiled here and now, so a run depends on nothing stored before
    with.strict = false;
    with.jobs_max = usable_jobs(options);
    object_source source(with, std::make_shared<runtime::logger>(with.level, with.log),
                         std::make_shared<runtime::counters>());
    const runtime::chosen_compiler by = options.check_only ? runtime::chosen_compiler{} : source.compiler_for(*on);
    if (!options.check_only && by.backend.empty())
        return failure{errc::unsupported_target, fmt::format("{}: {}", on->name, by.why_none)};
    auto expected = expect(*on, items, source, by);
    if (!expected) return expected.error();

    prebuild_report report;
    report.target = on->name;
    report.kernels_expected = static_cast<int>(expected->kernels.size());
    if (options.check_only)
        return check(fmt::format("{}/mhc_{}.db", options.out_dir, on->name), options.engine.prebuilt_key, *expected,
                     std::move(report));

    std::vector<cache::code_row> rows;
    for (auto& made : compile_all(source, *expected, by, options)) {
        if (!made) {
            report.failures.push_back(runtime::first_line(made.error().message));
            continue;
        }
        rows.push_back(std::move(made->row));
    }
    report.kernels_produced = static_cast<int>(rows.size());
    report.kernels_failed = static_cast<int>(report.failures.size());
    if (report.kernels_failed == 0 && !rows.empty())
        if (auto ok = runtime::write_prebuilt(std::move(rows), options, report); !ok) return ok.error();
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
}

result<std::vector<std::string>> parse_gpu_archs(std::string_view text)
{
    std::vector<std::string> list;
    const auto add = [&](const std::string& name) {
        if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(name);
    };
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find_first_of(";,", at), text.size());
        std::string_view item = text.substr(at, end - at);
        at = end + 1;
        while (!item.empty() && std::isspace(static_cast<unsigned char>(item.front()))) item.remove_prefix(1);
        while (!item.empty() && std::isspace(static_cast<unsigned char>(item.back()))) item.remove_suffix(1);
        if (item.empty()) continue;
        if (item == "native") {
            std::string why;
            const std::vector<std::string> here = runtime::native_targets(&why);
            if (here.empty())
                return failure{
                    errc::unsupported_target,
                    fmt::format("GPU_ARCHS: 'native' asks for the GPUs of this machine, and none is visible ({}); name "
                                "architectures",
                                why)};
            for (const std::string& name : here) add(name);
            continue;
        }
        if (item == "all") {
            for (const std::string& name : codegen::amd_processors()) add(name);
            continue;
        }
        auto known = item == "host" ? runtime::target_named(item) : codegen::parse_target(item);
        if (!known)
            return failure{errc::bad_spec, fmt::format("GPU_ARCHS: '{}' is not known; allowed: native, all (of AMD), {}",
                                                       item, fmt::join(codegen::gpu_processors(), ", "))};
        add(item == "host" ? "host" : known->name);
    }
    if (list.empty()) return failure{errc::bad_spec, fmt::format("GPU_ARCHS = '{}' names no architecture", text)};
    return list;
}

}  // namespace mhc::jit
