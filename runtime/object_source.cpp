// runtime/object_source.cpp -- from keys to verified code objects.
#include "runtime/object_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "codegen/compile_options.hpp"
#include "codegen/render.hpp"
#include "runtime/code_object.hpp"
#include "runtime/toolchain_memory.hpp"

namespace mhc::runtime {
namespace {

using jit::errc;
using jit::failure;
using jit::log_level;
using jit::origin;

// Variables that HIPRTC and comgr read: they change the code, so they are part of the key.
constexpr const char* injected_options[] = {"HIPRTC_COMPILE_OPTIONS_APPEND", "HIPRTC_LINK_OPTIONS_APPEND",
                                            "AMD_COMGR_DRIVER_OPTIONS_APPEND", "GPU_ENABLE_WGP_MODE"};

std::map<std::string, std::string> injected_by_environment()
{
    std::map<std::string, std::string> found;
    for (const char* name : injected_options)
        if (const char* value = secure_getenv(name); value != nullptr && *value != '\0') found[name] = value;
    return found;
}

std::string json_of(const std::map<std::string, std::string>& fields) { return nlohmann::json(fields).dump(); }

failure compile_failure(const keyed_kernel& wanted, std::string_view log, const std::string& dump)
{
    return {errc::compile_failed, fmt::format("{} for {} did not compile{}:\n{}", wanted.symbol, wanted.on->name,
                                              dump.empty() ? "" : " (source: " + dump + ")", log)};
}

int failure_kind(compile_status status)
{
    switch (status) {
        case compile_status::timeout: return 1;
        case compile_status::crashed: return 2;
        case compile_status::out_of_memory: return 3;
        default: return 0;
    }
}

/// Columns of a row that come from the machine code.
void describe_code(cache::code_row& row)
{
    if (row.target.starts_with("host")) return;
    const auto kernels = read_metadata(row.bytes);
    if (!kernels || kernels->empty()) return;
    const jit::resource_description& r = kernels->front().resources;
    row.vgpr = r.vgprs;
    row.agpr = r.agprs;
    row.sgpr = r.sgprs;
    row.lds = r.lds_bytes;
    row.scratch = r.scratch_bytes;
    row.max_wg = r.max_workgroup;
    row.wave = r.wave_size;
}

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
        if (!user_store_) (*log_)(log_level::warning, fmt::format("no user database: {}", why));
    }
    return user_store_.get();
}

void object_source::set_cache_bytes_max(std::int64_t bytes)
{
    if (cache::code_store* store = user_store()) store->set_bytes_max(bytes);
}

std::vector<std::string> object_source::prebuilt_files(std::string_view target_name) const
{
    std::vector<std::string> dirs = options_.prebuilt_dirs, files;
    dirs.insert(dirs.end(), {MHC_JIT_PREBUILT_BUILD, MHC_JIT_PREBUILT_INSTALLED});
    // An object for the processor alone runs under every feature setting.
    const std::string exact(target_name), processor = exact.substr(0, exact.starts_with("gfx") ? exact.find(':') : exact.npos);
    for (const std::string& dir : dirs)
        for (const std::string& name : {exact, processor}) {
            const std::string file = fmt::format("{}/mhc_{}.db", dir, name);
            std::error_code ignored;
            const bool is_new = std::find(files.begin(), files.end(), file) == files.end();
            if (is_new && std::filesystem::exists(file, ignored)) files.push_back(file);
        }
    return files;
}

std::vector<cache::code_store*> object_source::prebuilt_stores(const std::string& target_name)
{
    const std::lock_guard lock(mutex_);
    auto [at, is_new] = prebuilt_.try_emplace(target_name);
    if (is_new)
        for (const std::string& file : prebuilt_files(target_name)) {
            std::string why;
            if (auto store = cache::open_prebuilt_store(file, sink_for(log_), &why))
                at->second.push_back(std::move(store));
            else
                (*log_)(log_level::warning, fmt::format("prebuilt database {} is not used: {}", file, why));
        }
    std::vector<cache::code_store*> stores;
    for (const auto& store : at->second) stores.push_back(store.get());
    return stores;
}

std::vector<backend_info> object_source::known_backends()
{
    {
        const std::lock_guard lock(mutex_);
        if (backends_) return *backends_;
    }
    cache::code_store* store = user_store();
    return store == nullptr ? std::vector<backend_info>{} : recall_backends(*store, service().worker_path());
}

chosen_compiler object_source::compiler_for(const codegen::target& on)
{
    chosen_compiler chosen;
    const bool is_host = on.kind == codegen::target_kind::host;
    const std::string wanted_name = is_host ? "host" : on.processor;
    if (service().worker_path().empty()) {
        find_worker(options_.worker, &chosen.why_none);
        return chosen;
    }
    std::vector<std::string> order;
    if (!is_host && options_.backend != jit::compiler_backend::clang) order.push_back("hiprtc");
    if (is_host || options_.backend != jit::compiler_backend::hiprtc) order.push_back("clang");

    const auto pick = [&](const std::vector<backend_info>& from, bool wants_all) {
        for (const std::string& name : order) {
            const auto at = std::find_if(from.begin(), from.end(), [&](const auto& b) { return b.name == name; });
            if (at == from.end() && wants_all) return;  // nothing is known of a compiler that would come first
            if (at == from.end() || !at->available) continue;
            if (std::find(at->targets.begin(), at->targets.end(), wanted_name) == at->targets.end()) continue;
            chosen.backend = name;
            chosen.identity = at->identity;
            return;
        }
    };
    pick(known_backends(), true);
    if (chosen.backend.empty()) {
        const std::vector<backend_info> asked = backends();
        {
            const std::lock_guard lock(mutex_);
            backends_ = asked;
        }
        if (cache::code_store* store = user_store()) remember_backends(*store, asked, service().worker_path());
        pick(asked, false);
        if (chosen.backend.empty()) chosen.why_none = why_no_compiler(asked, order, wanted_name);
    }
    if (chosen.backend == "hiprtc") chosen.environment = injected_by_environment();
    return chosen;
}

keyed_kernel object_source::key_of(const codegen::kernel_plan& plan, const codegen::target& on, const chosen_compiler& by) const
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
    if (cache::code_store* store = user_store())
        if (auto found = find_in(*store, wanted, !has_compiler, origin::user)) return counts_->l2_hit++, found;
    for (cache::code_store* store : prebuilt_stores(wanted.on->name))
        if (auto found = find_in(*store, wanted, !has_compiler || options_.prebuilt_any_toolchain, origin::prebuilt)) {
            counts_->l3_hit++;
            (*log_)(log_level::debug, fmt::format("{}: prebuilt by {}", found->row.symbol, found->compiler_name));
            return found;
        }
    return std::nullopt;
}

std::optional<failure> object_source::remembered_failure(const keyed_kernel& wanted)
{
    cache::code_store* store = user_store();
    if (store == nullptr) return std::nullopt;
    if (options_.rebuild == 2) store->forget_failure(wanted.query.key);
    if (options_.rebuild != 0) return std::nullopt;
    const auto row = store->find_failure(wanted.query.key);
    if (!row) return std::nullopt;
    return failure{errc::compile_failed, row->log};
}

void object_source::keep_source(const keyed_kernel& wanted, const std::string& source)
{
    const std::filesystem::path dir = std::filesystem::path(cache::user_cache_dir(options_.cache_dir)) / "source";
    std::error_code error;
    std::filesystem::create_directories(dir, error);
    const std::string path = (dir / (wanted.symbol + ".hip")).string();
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    const bool is_written = file != nullptr && std::fwrite(source.data(), 1, source.size(), file) == source.size();
    if (file != nullptr) std::fclose(file);
    (*log_)(is_written ? log_level::info : log_level::warning,
            is_written ? fmt::format("source kept in {}", path) : fmt::format("source not kept: cannot write {}", path));
}

jit::result<found_object> object_source::compile(const keyed_kernel& wanted, const chosen_compiler& by)
{
    if (options_.strict)
        return failure{errc::not_prebuilt,
                       fmt::format("{} for {} is not stored (key {}), and strict mode compiles nothing: run mhc-prebuild for it",
                                   wanted.symbol, wanted.on->name, cache::to_hex(wanted.query.key_nofp))};
    if (by.backend.empty()) return failure{errc::unsupported_target, fmt::format("{}: {}", wanted.on->name, by.why_none)};
    if (auto known = remembered_failure(wanted)) return *known;

    const std::string source = codegen::render(*wanted.plan, *wanted.on, wanted.symbol);
    if (options_.keep_source) keep_source(wanted, source);
    const compile_result made = service().compile({.backend = by.backend,
                                                   .target = wanted.on->kind == codegen::target_kind::host ? "host" : wanted.on->name,
                                                   .name = fmt::format("mhc_{}.hip", wanted.plan->family),
                                                   .source = source,
                                                   .options = wanted.options});
    counts_->compile_us += static_cast<std::uint64_t>(made.wall_ms * 1000);
    if (made.status != compile_status::ok) {
        counts_->compile_failed++;
        failure why = compile_failure(wanted, made.log, {});
        cache::code_store* store = user_store();
        if (store != nullptr && made.status != compile_status::no_compiler) {
            const int kind = failure_kind(made.status);
            store->insert_failure({wanted.query.key, kind, why.message, std::time(nullptr) + (kind == 0 ? 86400 : 600)});
        }
        return why;
    }

    found_object found;
    cache::code_row& row = found.row;
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
    found.compiler_name = made.compiler_name;
    if (auto ok = verify_code_object(row.bytes, row.target, row.symbol); !ok) {
        counts_->compile_failed++;
        return compile_failure(wanted, fmt::format("the compiler's output is not usable: {}", ok.error().message), {});
    }
    describe_code(row);
    counts_->compiled++;
    (*log_)(log_level::info, fmt::format("compiled {} for {} by {} in {:.0f} ms", row.symbol, row.target, made.compiler_name,
                                         made.wall_ms));
    if (cache::code_store* store = user_store()) {
        bool is_replacing = replaces(wanted);
        if (is_replacing) {
            const std::lock_guard lock(mutex_);
            rebuilt_[wanted.query.key] = true;
        }
        if (!options_.read_only && !store->insert(row, is_replacing)) counts_->store_failed++;
    }
    return found;
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
