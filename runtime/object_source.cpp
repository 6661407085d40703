// runtime/object_source.cpp -- from keys to verified code objects.
#include "runtime/object_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "codegen/compile_options.hpp"
#include "codegen/render.hpp"
#include "runtime/code_object.hpp"
#include "runtime/prebuilt_places.hpp"
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
        counts_->user_database_opened++;
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

bool object_source::has_prebuilt(const std::string& target_name)
{
    const std::lock_guard lock(mutex_);
    const auto [at, is_new] = has_prebuilt_.try_emplace(target_name, false);
    if (!is_new) return at->second;
    const std::string name = fmt::format("mhc_{}.db", target_name);
    for (const prebuilt_place& place : prebuilt_places(options_, target_name))
        at->second = at->second || std::filesystem::path(place.name).filename() == name;
    return at->second;
}

object_source::prebuilt_layer& object_source::prebuilt(const std::string& target_name)
{
    std::unique_lock lock(mutex_);
    auto [at, is_new] = prebuilt_.try_emplace(target_name);
    prebuilt_layer& layer = at->second;
    if (!is_new) return layer;
    std::vector<std::string> refusals;
    for (const prebuilt_place& place : prebuilt_places(options_, target_name)) {
        std::string why;
        auto store = place.bytes.empty()
                         ? cache::open_prebuilt_store(place.name, sink_for(log_), &why, options_.prebuilt_key)
                         : cache::open_embedded_store(place.name, place.bytes, sink_for(log_), &why);
        if (store) {
            note_opened(*store);
            layer.stores.push_back(std::move(store));
        } else
            refusals.push_back(fmt::format("prebuilt database {} is not used: {}", place.name, why));
    }
    if (!refusals.empty()) layer.refused = refusals.front();
    lock.unlock();
    for (const std::string& line : refusals) (*log_)(log_level::warning, line);
    return layer;
}

std::optional<jit::failure> object_source::refused_prebuilt(const std::string& target_name)
{
    if (!options_.strict) return std::nullopt;
    const std::string& refused = prebuilt(target_name).refused;
    if (refused.empty()) return std::nullopt;
    return jit::failure{jit::errc::load_failed,
                        refused + "; strict mode runs on whole databases alone: mend it or take it away"};
}

keyed_kernel object_source::key_of(const codegen::kernel_plan& plan, const codegen::target& on,
                                   const chosen_compiler& by) const
{
    keyed_kernel k;
    k.plan = &plan;
    k.on = &on;
    k.text = codegen::key_of(plan, on, source_digest(plan));
    k.query.key = k.query.key_nofp = cache::sha256(k.text.canonical());
    k.query.key_json = k.query.key_nofp_json = json_of(k.text.fields);
    k.symbol = fmt::format("{}_{}", plan.symbol_base, cache::to_hex(k.query.key_nofp).substr(0, 8));
    add_compiler(k, by);
    return k;
}

void object_source::add_compiler(keyed_kernel& k, const chosen_compiler& by)
{
    if (!by.identity) return;
    k.options = codegen::compile_options(by.backend, *k.on);
    // What the user's environment adds to the compiler's options is part of which compiler it is.
    codegen::key_text key = k.text;
    key.fields["toolchain"] = by.backend + " " + cache::to_hex(by.identity->fingerprint) + json_of(by.environment);
    k.query.key = cache::sha256(key.canonical());
    k.query.key_json = json_of(key.fields);
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

std::optional<found_object> object_source::find_prebuilt(const keyed_kernel& wanted)
{
    if (options_.rebuild != 0 || (!options_.prebuilt_any_toolchain && !options_.strict)) return std::nullopt;
    for (const auto& store : prebuilt(wanted.on->name).stores)
        if (auto found = find_in(*store, wanted, true, origin::prebuilt)) {
            counts_->l3_hit++;
            (*log_)(log_level::debug, fmt::format("{}: prebuilt by {}", found->row.symbol, found->compiler_name));
            return found;
        }
    return std::nullopt;
}

std::optional<found_object> object_source::find(const keyed_kernel& wanted)
{
    if (replaces(wanted)) return std::nullopt;
    // What ships with a program needs no other file to be opened; what a user has compiled is asked for next.
    if (auto found = find_prebuilt(wanted)) return found;
    const bool has_compiler = wanted.query.key != wanted.query.key_nofp && !options_.strict;
    if (cache::code_store* store = user_store_if_there())
        if (auto found = find_in(*store, wanted, !has_compiler, origin::user)) return counts_->l2_hit++, found;
    if (options_.prebuilt_any_toolchain || options_.strict) return std::nullopt;
    for (const auto& store : prebuilt(wanted.on->name).stores)
        if (auto found = find_in(*store, wanted, !has_compiler, origin::prebuilt)) return counts_->l3_hit++, found;
    return std::nullopt;
}

nearest_key object_source::nearest(const keyed_kernel& wanted)
{
    cache::code_row like;
    like.family = wanted.plan->family;
    like.target = wanted.on->name;
    like.hidden_dim = wanted.plan->hidden_dim;
    like.n_streams = wanted.plan->n_streams;
    like.dtype = wanted.plan->dtype;
    nearest_key best;
    if (cache::code_store* store = user_store_if_there())
        best = nearer_of(std::move(best), store->nearest(like), wanted.query.key_json);
    for (const auto& store : prebuilt(wanted.on->name).stores)
        best = nearer_of(std::move(best), store->nearest(like), wanted.query.key_json);
    return best;
}

void object_source::set_aside(const found_object& object, std::string_view why)
{
    counts_->set_aside++;
    (*log_)(log_level::warning, fmt::format("{} did not load and is set aside: {}", object.row.symbol, why));
    if (object.from == origin::user) {
        if (cache::code_store* store = user_store()) store->set_aside(object.row.key, why);
    } else if (object.from == origin::prebuilt) {
        for (const auto& store : prebuilt(object.row.target).stores) store->set_aside(object.row.key, why);
    }
}

}  // namespace mhc::runtime
