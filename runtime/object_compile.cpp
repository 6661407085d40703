// runtime/object_compile.cpp -- from a key that is stored nowhere to a code object: compile, verify, store.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "codegen/render.hpp"
#include "runtime/code_object.hpp"
#include "runtime/object_source.hpp"
#include "runtime/prebuilt_places.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;
using jit::log_level;

// Longer than this nobody waits for another process, whatever a compilation may take.
constexpr int wait_for_process_s_max = 60;

failure compile_failure(const keyed_kernel& wanted, std::string_view log, const std::string& dump)
{
    return {errc::compile_failed, fmt::format("{} for {} did not compile{}:\n{}", wanted.symbol, wanted.on->name,
                                              dump.empty() ? "" : " (source: " + dump + ")", log)};
}

void count_failure(counters& counts, compile_status status)
{
    counts.compile_failed++;
    if (status == compile_status::timeout) counts.compile_timeout++;
    if (status == compile_status::crashed) counts.compile_crashed++;
    if (status == compile_status::out_of_memory) counts.compile_out_of_memory++;
}

int failure_kind(compile_status status)
{
    switch (status) {
        case compile_status::timeout:
            return 1;
        case compile_status::crashed:
            return 2;
        case compile_status::out_of_memory:
            return 3;
        default:
            return 0;
    }
}

const char* extension_of(codegen::target_kind kind) { return kind == codegen::target_kind::cuda ? ".cu" : ".hip"; }

/// Columns of a row that come from the machine code.
void describe_code(cache::code_row& row)
{
    const jit::resource_description r = resources_of(row.bytes, row.symbol);
    row.vgpr = r.vgprs;
    row.agpr = r.agprs;
    row.sgpr = r.sgprs;
    row.lds = r.lds_bytes;
    row.scratch = r.scratch_bytes;
    row.max_wg = r.max_workgroup;
    row.wave = r.wave_size;
}

cache::code_row row_of(const keyed_kernel& wanted, const chosen_compiler& by, const compile_result& made)
{
    cache::code_row row;
    row.key = wanted.query.key;
    row.key_nofp = wanted.query.key_nofp;
    row.key_json = wanted.query.key_json;
    row.family = wanted.plan->family;
    row.target = wanted.on->name;
    row.hidden_dim = wanted.plan->hidden_dim;
    row.n_streams = wanted.plan->n_streams;
    row.dtype = wanted.plan->dtype;
    row.symbol = wanted.symbol;
    row.bytes = made.code;
    row.compiler = by.identity.value_or(made.compiler);
    row.compile_ms = static_cast<std::int64_t>(made.wall_ms + 0.5);
    return row;
}

}  // namespace

std::optional<failure> object_source::remembered_failure(const keyed_kernel& wanted)
{
    cache::code_store* store = user_store();
    if (store == nullptr) return std::nullopt;
    if (options_.rebuild == 2) store->forget_failure(wanted.query.key);
    if (options_.rebuild != 0) return std::nullopt;
    const auto row = store->find_failure(wanted.query.key);
    if (!row) return std::nullopt;
    counts_->failure_remembered++;
    return failure{errc::compile_failed, row->log};
}

void object_source::keep_source(const keyed_kernel& wanted, const std::string& source)
{
    const std::filesystem::path dir = std::filesystem::path(cache::user_cache_dir(options_.cache_dir)) / "source";
    std::error_code error;
    std::filesystem::create_directories(dir, error);
    const std::string path = (dir / (wanted.symbol + extension_of(wanted.on->kind))).string();
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    const bool is_written = file != nullptr && std::fwrite(source.data(), 1, source.size(), file) == source.size();
    if (file != nullptr) std::fclose(file);
    (*log_)(is_written ? log_level::info : log_level::warning,
            is_written ? fmt::format("source kept in {}", path) : fmt::format("source not kept: cannot write {}", path));
}

jit::result<found_object> object_source::compile(const keyed_kernel& wanted, const chosen_compiler& by)
{
    if (options_.strict) return not_prebuilt(wanted);
    if (by.backend.empty()) return failure{errc::unsupported_target, fmt::format("{}: {}", wanted.on->name, by.why_none)};
    if (auto known = remembered_failure(wanted)) return *known;

    // Held until what is compiled is stored. Whoever has it looks again: another process may have compiled the key since the
    // first look, even if it was not waited for.
    const auto lock = lock_across_processes(wanted);
    if (lock == nullptr) return compile_here(wanted, by);
    if (auto found = find_in(*user_store(), wanted, false, jit::origin::user)) {
        counts_->l2_hit++;
        (*log_)(log_level::info, fmt::format("{} for {}: compiled by another process", wanted.symbol, wanted.on->name));
        return *found;
    }
    if (auto known = remembered_failure(wanted)) return *known;
    return compile_here(wanted, by);
}

failure object_source::not_prebuilt(const keyed_kernel& wanted)
{
    const nearest_key near = nearest(wanted);
    std::string line =
        fmt::format("{} for {} is not stored (key {}), and strict mode compiles nothing: run mhc-prebuild for it; ",
                    wanted.symbol, wanted.on->name, cache::to_hex(wanted.query.key_nofp));
    if (!near.symbol.empty())
        line += fmt::format("the nearest that is stored is {} (key {}), which differs in {}", near.symbol,
                            cache::to_hex(near.key), differences_text(near));
    else if (!prebuilt(wanted.on->name).stores.empty())
        line += fmt::format("no kernel '{}' is stored for any shape", wanted.plan->family);
    else
        line += fmt::format("there is no mhc_{}.db in {}", wanted.on->name, fmt::join(prebuilt_folders(options_), ", "));
    return {errc::not_prebuilt, line};
}

/// What was compiled and why it was not there; and, once, that nobody need wait so long.
void object_source::tell_compiled(const keyed_kernel& wanted, const found_object& found, double wall_ms)
{
    constexpr double slow_ms = 5000;
    const cache::code_row& row = found.row;
    if (wall_ms > slow_ms && !has_hinted_.exchange(true))
        (*log_)(log_level::warning,
                fmt::format("{} took {:.1f} s to compile; mhc-prebuild compiles ahead of time, for whoever runs this next",
                            row.symbol, wall_ms / 1000));
    if (!log_->wants(log_level::info)) return;  // the reason costs a query
    const nearest_key near = nearest(wanted);
    const std::string reason = near.symbol.empty()
                                   ? std::string("nothing of its family is stored")
                                   : fmt::format("{} differs from nearest {}", differences_text(near), near.symbol);
    std::string resources;
    if (wanted.on->kind != codegen::target_kind::host)
        resources =
            fmt::format(", {} VGPRs, {} AGPRs, {} B of LDS, {} B of scratch", row.vgpr, row.agpr, row.lds, row.scratch);
    (*log_)(log_level::info, fmt::format("compiled {} for {} by {} in {:.0f} ms{}; because: {}", row.symbol, row.target,
                                         found.compiler_name, wall_ms, resources, reason));
}

/// Null: this process compiles without regard to others, because nothing could be shared or they take too long.
std::unique_ptr<cache::key_lock> object_source::lock_across_processes(const keyed_kernel& wanted)
{
    using state = cache::key_lock::state;
    const cache::code_store* store = user_store();
    if (store == nullptr || !store->is_writable() || options_.read_only || replaces(wanted)) return nullptr;
    const std::string dir = std::filesystem::path(store->path()).parent_path().string();
    auto lock = std::make_unique<cache::key_lock>(dir, wanted.query.key);
    state now = lock->try_take();
    if (now == state::held_elsewhere) {
        counts_->waited_process++;
        (*log_)(log_level::debug, fmt::format("{}: waiting for another process that compiles it", wanted.symbol));
        const int wait_s = std::min(std::max(1, options_.timeout_s), wait_for_process_s_max);
        now = lock->wait(std::chrono::seconds(wait_s));
        if (now == state::held_elsewhere) {
            counts_->lock_timeout++;
            (*log_)(log_level::warning,
                    fmt::format("{}: another process has been compiling it for {} s; compiling it here too", wanted.symbol,
                                wait_s));
        }
    }
    if (now != state::unsupported) return lock;  // after a wait, even a vain one, what it stored meanwhile is looked for
    (*log_)(log_level::debug, fmt::format("{}: no locks in {}; other processes may compile the same", wanted.symbol, dir));
    return nullptr;
}

jit::result<found_object> object_source::compile_here(const keyed_kernel& wanted, const chosen_compiler& by)
{
    const std::string source = codegen::render(*wanted.plan, *wanted.on, wanted.symbol);
    if (options_.keep_source) keep_source(wanted, source);
    const compile_result made =
        service().compile({.backend = by.backend,
                           .target = wanted.on->kind == codegen::target_kind::host ? "host" : wanted.on->name,
                           .name = fmt::format("mhc_{}{}", wanted.plan->family, extension_of(wanted.on->kind)),
                           .source = source,
                           .options = wanted.options});
    counts_->compile_us += static_cast<std::uint64_t>(made.wall_ms * 1000);
    if (made.status != compile_status::ok) {
        count_failure(*counts_, made.status);
        failure why = compile_failure(wanted, made.log, {});
        cache::code_store* store = user_store();
        if (store != nullptr && made.status != compile_status::no_compiler) {
            const int kind = failure_kind(made.status);
            store->insert_failure({wanted.query.key, kind, why.message, std::time(nullptr) + (kind == 0 ? 86400 : 600)});
        }
        return why;
    }

    found_object found{row_of(wanted, by, made), jit::origin::compiled, made.compiler_name};
    cache::code_row& row = found.row;
    if (auto ok = verify_code_object(row.bytes, row.target, row.symbol); !ok) {
        counts_->compile_failed++;
        return compile_failure(wanted, fmt::format("the compiler's output is not usable: {}", ok.error().message), {});
    }
    describe_code(row);
    counts_->compiled++;
    tell_compiled(wanted, found, made.wall_ms);
    keep(row);
    return found;
}

void object_source::keep(const cache::code_row& row)
{
    bool is_replacing = false;
    if (options_.rebuild != 0) {
        const std::lock_guard lock(mutex_);
        is_replacing = rebuilt_.insert(row.key).second;
    }
    cache::code_store* store = user_store();
    if (store != nullptr && !options_.read_only && !store->insert(row, is_replacing)) counts_->store_failed++;
}

}  // namespace mhc::runtime
