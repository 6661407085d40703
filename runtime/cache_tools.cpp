// runtime/cache_tools.cpp -- what mhc-cache shows and does.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <mhc/jit/cache.hpp>

#include "cache/code_store.hpp"
#include "codegen/target.hpp"
#include "runtime/cache_tools.hpp"
#include "runtime/code_object.hpp"
#include "runtime/prebuilt_places.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::jit {

using namespace cache_tools;

namespace cache_tools {

std::string user_file(const engine_options& options) { return cache::user_cache_dir(options.cache_dir) + "/mhc_user.db"; }

opened open(const engine_options& options, const std::string& database, bool for_writing)
{
    opened o;
    std::error_code ignored;
    if (!database.empty()) {
        o.store = cache::open_prebuilt_store(database, {}, &o.why);
    } else if (!std::filesystem::exists(user_file(options), ignored)) {
        o.why = "missing";
    } else {
        o.store = cache::open_user_store({.dir = cache::user_cache_dir(options.cache_dir),
                                          .read_only = !for_writing,
                                          .bytes_max = options.cache_bytes_max,
                                          .log = {}},
                                         &o.why);
    }
    return o;
}

failure unusable(const engine_options& options, const std::string& database, const std::string& why)
{
    return {errc::bad_spec, fmt::format("{}: {}", database.empty() ? user_file(options) : database, why)};
}

stored_object as_object(const cache::code_row& row)
{
    return {.key = cache::to_hex(row.key),
            .symbol = row.symbol,
            .family = row.family,
            .target = row.target,
            .dtype = row.dtype,
            .compiler = runtime::compiler_name_of(row.compiler),
            .hidden_dim = row.hidden_dim,
            .n_streams = row.n_streams,
            .bytes = row.byte_count,
            .compile_ms = row.compile_ms,
            .created = row.created,
            .last_used = row.last_used,
            .uses = row.uses,
            .key_json = row.key_json,
            .vgprs = row.vgpr,
            .sgprs = row.sgpr,
            .lds_bytes = row.lds,
            .scratch_bytes = row.scratch};
}

std::optional<cache::code_row> row_of(cache::code_store& store, const stored_object& object)
{
    cache::code_query query;
    const auto key = cache::digest_from_hex(object.key);
    if (!key) return std::nullopt;
    query.key = *key;
    query.key_json = object.key_json;
    return store.find(query);
}

}  // namespace cache_tools

result<cache_info> inspect_cache(const engine_options& options, const std::string& database)
{
    cache_info info;
    info.path = database.empty() ? user_file(options) : database;
    info.bytes_max = options.cache_bytes_max;
    opened o = open(options, database);
    if (!o.store && !database.empty()) return unusable(options, database, o.why);
    if (o.store) {
        const cache::code_store::counts counts = o.store->count();
        info.state = options.read_only ? "read-only" : "ok";
        info.objects = counts.objects;
        info.object_bytes = counts.object_bytes;
        info.file_bytes = counts.file_bytes;
        info.failures = counts.failures;
    } else {
        info.state = o.why;
    }
    std::string why;
    info.worker = runtime::find_worker(options.worker, &why);
    if (info.worker.empty()) info.worker = why;
    for (const std::string& target : codegen::gpu_processors())
        for (const runtime::prebuilt_place& place : runtime::prebuilt_places(options, target))
            if (place.bytes.empty()) info.prebuilt.push_back(place.name);
    return info;
}

result<std::vector<stored_object>> list_cache(const engine_options& options, const std::string& database)
{
    const opened o = open(options, database);
    std::vector<stored_object> list;
    if (!o.store && (o.why != "missing" || !database.empty())) return unusable(options, database, o.why);
    if (o.store)
        for (const cache::code_row& row : o.store->list()) list.push_back(as_object(row));
    return list;
}

result<stored_object> find_in_cache(const engine_options& options, std::string_view key_prefix, const std::string& database)
{
    const bool is_hex =
        std::all_of(key_prefix.begin(), key_prefix.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
    if (key_prefix.size() < 4 || key_prefix.size() > 64 || !is_hex)
        return failure{errc::bad_spec, fmt::format("key '{}': allowed is 4 to 64 hex digits", key_prefix)};
    std::string lower(key_prefix);
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c);
    auto list = list_cache(options, database);
    if (!list) return list.error();
    const stored_object* found = nullptr;
    for (const stored_object& object : *list) {
        if (!object.key.starts_with(lower)) continue;
        if (found != nullptr)
            return failure{errc::bad_spec, fmt::format("key '{}': more than one object; give more digits", key_prefix)};
        found = &object;
    }
    if (found == nullptr)
        return failure{errc::bad_spec, fmt::format("key '{}': no such object; see mhc-cache list", key_prefix)};
    return *found;
}

result<std::string> code_object_of(const engine_options& options, const stored_object& object, const std::string& database)
{
    const opened o = open(options, database);
    if (!o.store) return unusable(options, database, o.why);
    auto row = row_of(*o.store, object);
    if (!row) return failure{errc::bad_spec, fmt::format("key '{}': the stored object is damaged", object.key)};
    return std::move(row->bytes);
}

result<verify_report> verify_cache(const engine_options& options, const std::string& database)
{
    const opened o = open(options, database);
    verify_report report;
    if (!o.store && o.why == "missing") return report;
    if (!o.store) return unusable(options, database, o.why);
    report.damaged = o.store->damaged();
    for (const cache::code_row& row : o.store->list()) {
        ++report.checked;
        const auto whole = row_of(*o.store, as_object(row));
        if (!whole) continue;  // among the damaged already
        if (auto ok = runtime::verify_code_object(whole->bytes, whole->target, whole->symbol); !ok)
            report.damaged.push_back(fmt::format("{}: {}", cache::to_hex(row.key), ok.error().message));
    }
    return report;
}

result<std::vector<cache_event>> cache_events(const engine_options& options, const std::string& database)
{
    const opened o = open(options, database);
    std::vector<cache_event> events;
    if (!o.store && (o.why != "missing" || !database.empty())) return unusable(options, database, o.why);
    if (o.store)
        for (cache::code_store::event& each : o.store->events())
            events.push_back({each.at, std::move(each.kind), std::move(each.detail)});
    return events;
}

result<std::int64_t> clear_cache(const engine_options& options)
{
    const opened o = open(options, {}, true);
    if (!o.store && o.why == "missing") return std::int64_t{0};
    if (!o.store) return unusable(options, {}, o.why);
    const std::int64_t removed = o.store->clear();
    if (removed < 0) return unusable(options, {}, "cannot be written");
    return removed;
}

}  // namespace mhc::jit
