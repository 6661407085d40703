// runtime/object_source.cpp -- from keys to verified code objects.
#include "runtime/object_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "codegen/compile_options.hpp"
#include "codegen/render.hpp"
#include "runtime/code_object.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

using jit::log_level;
using jit::origin;

std::string json_of(const std::map<std::string, std::string>& fields) { return nlohmann::json(fields).dump(); }

cache::event_sink sink_for(const std::shared_ptr<logger>& log)
{
    return [log](cache::severity level, std::string_view line) {
        constexpr log_level levels[] = {log_level::debug, log_level::info, log_level::warning};
        (*log)(levels[static_cast<int>(level)], line);
    };
}

}  // namespace

std::string source_digest(const codegen::kernel_plan& plan)
{
    std::string all;
    for (const std::string_view text : codegen::texts_of(plan)) all += fmt::format("{}:", text.size()).append(text);
    return cache::to_hex(cache::sha256(all));
}

object_source::object_source(jit::engine_options options, std::shared_ptr<logger> log, std::shared_ptr<counters> counts)
    : options_(std::move(options)), log_(std::move(log)), counts_(std::move(counts))
{
}

object_source::~object_source() = default;

compile_service& object_source::service()
{
    const std::lock_guard lock(mutex_);
    if (!service_) {
        service_options o;
        o.worker = options_.worker;
        o.jobs_max = options_.jobs_max;
        o.timeout_s = options_.timeout_s;
        o.log = [log = log_](int severity, std::string_view line) { (*log)(static_cast<log_level>(severity), line); };
        service_ = make_compile_service(std::move(o));
    }
    return *service_;
}

cache::code_store* object_source::user_store()
{
    const std::lock_guard lock(mutex_);
    if (!user_store_was_tried_) {
        user_store_was_tried_ = true;
        if (!options_.use_user_database) return nullptr;
        std::string why;
        user_store_ = cache::open_user_store({.dir = cache::user_cache_dir(options_.cache_dir),
                                              .read_only = options_.read_only,
                                              .bytes_max = options_.cache_bytes_max,
                                              .log = sink_for(log_)},
                                             &why);
        if (user_store_)
            note_opened(*user_store_);
        else
            (*log_)(log_level::warning, fmt::format("no user database: {}", why));
    }
    return user_store_.get();
}

cache::code_store* object_source::user_store_if_there()
{
    {
        const std::lock_guard lock(mutex_);
        if (user_store_was_tried_) return user_store_.get();
    }
    const bool is_there =
        options_.use_user_database && cache::user_database_is_there(cache::user_cache_dir(options_.cache_dir));
    return is_there ? user_store() : nullptr;
}

void object_source::set_cache_bytes_max(std::int64_t bytes)
{
    const std::lock_guard lock(mutex_);
    options_.cache_bytes_max = bytes;
    if (user_store_) user_store_->set_bytes_max(bytes);
}

void object_source::note_opened(cache::code_store& store)
{
    const std::lock_guard lock(opened_mutex_);
    opened_.push_back(&store);
}

cache::code_store::tally object_source::counted()
{
    std::vector<cache::code_store*> stores;
    {
        const std::lock_guard lock(opened_mutex_);
        stores = opened_;
    }
    cache::code_store::tally all;
    for (cache::code_store* store : stores) {
        const cache::code_store::tally one = store->counted();
        all.writes += one.writes;
        all.bad_rows += one.bad_rows;
        all.corrupt += one.corrupt;
        all.evicted += one.evicted;
        for (std::size_t i = 0; i < all.faults.size(); ++i) all.faults[i] += one.faults[i];
    }
    return all;
}

void object_source::flush() noexcept
{
    const std::unique_lock lock(opened_mutex_, std::try_to_lock);
    if (!lock) return;
    for (cache::code_store* store : opened_) store->flush();
}

std::vector<std::string> object_source::prebuilt_files(std::string_view target_name) const
{
    std::vector<std::string> dirs = options_.prebuilt_dirs, files;
    dirs.insert(dirs.end(), {MHC_JIT_PREBUILT_BUILD, MHC_JIT_PREBUILT_INSTALLED});
    // An object for the processor alone runs under every feature setting.
    const std::string exact(target_name),
        processor = exact.substr(0, exact.starts_with("gfx") ? exact.find(':') : exact.npos);
    for (const std::string& dir : dirs)
        for (const std::string& name : {exact, processor}) {
            const std::string file = fmt::format("{}/mhc_{}.db", dir, name);
            std::error_code ignored;
            const bool is_new = std::find(files.begin(), files.end(), file) == files.end();
            if (is_new && std::filesystem::exists(file, ignored)) files.push_back(file);
        }
    return files;
}

bool object_source::has_prebuilt(const std::string& target_name) const
{
    const std::vector<std::string> files = prebuilt_files(target_name);
    const std::string name = fmt::format("/mhc_{}.db", target_name);
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) { return file.ends_with(name); });
}

std::vector<cache::code_store*> object_source::prebuilt_stores(const std::string& target_name)
{
    const std::lock_guard lock(mutex_);
    auto [at, is_new] = prebuilt_.try_emplace(target_name);
    if (is_new)
        for (const std::string& file : prebuilt_files(target_name)) {
            std::string why;
            if (auto store = cache::open_prebuilt_store(file, sink_for(log_), &why)) {
                note_opened(*store);
                at->second.push_back(std::move(store));
            } else
                (*log_)(log_level::warning, fmt::format("prebuilt database {} is not used: {}", file, why));
        }
    std::vector<cache::code_store*> stores;
    for (const auto& store : at->second) stores.push_back(store.get());
    return stores;
}

keyed_kernel object_source::key_of(const codegen::kernel_plan& plan, const codegen::target& on,
                                   const chosen_compiler& by) const
{
    keyed_kernel k;
    k.plan = &plan;
    k.on = &on;
    codegen::key_text key = codegen::key_of(plan, on, source_digest(plan));
    k.query.key_nofp = cache::sha256(key.canonical());
    k.query.key_nofp_json = json_of(key.fields);
    k.symbol = fmt::format("{}_{}", plan.symbol_base, cache::to_hex(k.query.key_nofp).substr(0, 8));
    if (by.identity) {
        k.options = codegen::compile_options(by.backend, on);
        // What the user's environment adds to the compiler's options is part of which compiler it is.
        key.fields["toolchain"] = by.backend + " " + cache::to_hex(by.identity->fingerprint) + json_of(by.environment);
        k.query.key = cache::sha256(key.canonical());
        k.query.key_json = json_of(key.fields);
    } else {
        k.query.key = k.query.key_nofp;
        k.query.key_json = k.query.key_nofp_json;
    }
    return k;
}

std::optional<found_object> object_source::find_in(cache::code_store& store, const keyed_kernel& wanted, bool any_toolchain,
                                                   origin as)
{
    cache::code_query query = wanted.query;
    query.any_toolchain = any_toolchain;
    auto row = store.find(query);
    if (!row) return std::nullopt;
    // Columns are not hashed: a row may hold another kernel's name beside that kernel's whole and valid bytes.
    if (row->symbol != wanted.symbol || row->target != wanted.on->name) {
        counts_->set_aside++;
        store.set_aside(row->key, fmt::format("it is {} for {}, not {}", row->symbol, row->target, wanted.symbol));
        return std::nullopt;
    }
    if (auto ok = verify_code_object(row->bytes, wanted.on->name, row->symbol); !ok) {
        counts_->set_aside++;
        store.set_aside(row->key, ok.error().message);
        (*log_)(log_level::warning, fmt::format("stored object set aside: {}", ok.error().message));
        return std::nullopt;
    }
    found_object found{std::move(*row), as, {}};
    found.compiler_name = compiler_name_of(found.row.compiler);
    return found;
}

bool object_source::replaces(const keyed_kernel& wanted)
{
    if (options_.rebuild == 0) return false;
    const std::lock_guard lock(mutex_);
    return !rebuilt_.contains(wanted.query.key);
}

std::optional<found_object> object_source::find(const keyed_kernel& wanted)
{
    if (replaces(wanted)) return std::nullopt;
    const bool has_compiler = wanted.query.key != wanted.query.key_nofp && !options_.strict;
    if (cache::code_store* store = user_store_if_there())
        if (auto found = find_in(*store, wanted, !has_compiler, origin::user)) return counts_->l2_hit++, found;
    for (cache::code_store* store : prebuilt_stores(wanted.on->name))
        if (auto found = find_in(*store, wanted, !has_compiler || options_.prebuilt_any_toolchain, origin::prebuilt)) {
            counts_->l3_hit++;
            (*log_)(log_level::debug, fmt::format("{}: prebuilt by {}", found->row.symbol, found->compiler_name));
            return found;
        }
    return std::nullopt;
}

void object_source::set_aside(const found_object& object, std::string_view why)
{
    counts_->set_aside++;
    (*log_)(log_level::warning, fmt::format("{} did not load and is set aside: {}", object.row.symbol, why));
    if (object.from == origin::user) {
        if (cache::code_store* store = user_store()) store->set_aside(object.row.key, why);
    } else if (object.from == origin::prebuilt) {
        for (cache::code_store* store : prebuilt_stores(object.row.target)) store->set_aside(object.row.key, why);
    }
}

}  // namespace mhc::runtime
