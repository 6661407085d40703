// runtime/engine.cpp -- the main path, top to bottom: request, known table, plan, key, memory, stores, compiler, loader.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "cache/signature.hpp"
#include "runtime/engine_impl.hpp"
#include "runtime/select_target.hpp"

namespace mhc::jit {

using runtime::chosen_compiler;
using runtime::found_object;
using runtime::kernel_result;
using runtime::keyed_kernel;
using runtime::ready_operator;

namespace {

/// A load that failed for want of memory, or because the thread captures a stream, says nothing about the object: it stays.
bool blames_object(const failure& why)
{
    constexpr std::string_view others[] = {"ErrorOutOfMemory", "ERROR_OUT_OF_MEMORY", "ErrorStreamCapture",
                                           "ERROR_STREAM_CAPTURE"};
    return std::none_of(std::begin(others), std::end(others),
                        [&](std::string_view error_name) { return why.message.find(error_name) != std::string::npos; });
}

}  // namespace

/// request: a known layer returns here; any other spec is validated, made, and known from then on.
result<compiled_layer> engine::layer(const layer_spec& spec)
{
    const runtime::packed_spec packed = runtime::pack(spec);
    if (const compiled_layer* known = impl_->known.find(packed)) {
        impl_->counts->known_layer.fetch_add(1, std::memory_order_relaxed);
        return *known;
    }
    if (auto ok = validate(spec); !ok) return ok.error();
    auto made = impl_->make(spec);
    if (made) impl_->known.insert(packed, *made);
    return made;
}

result<compiled_layer> engine::layer_tuned(const layer_spec& spec, const tuning& choices)
{
    if (auto ok = validate(spec); !ok) return ok.error();
    return impl_->make(spec, &choices);
}

/// plan: one plan an operator, by the tables' choices or by those that are given; then all their kernels at once.
result<compiled_layer> engine::impl::make(const layer_spec& spec, const tuning* choices)
{
    auto made = std::make_shared<compiled_layer::impl>();
    made->spec = spec;
    made->row_align = row_alignment_bytes(spec);
    made->weight_align = codegen::weight_alignment_bytes(spec);
    made->target = target_name;

    std::vector<std::unique_ptr<ready_operator>> ready;
    for (int i = 0; i < operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        if (!spec.wanted.contains(op)) continue;
        auto planned = codegen::plan(spec, on, op, choices != nullptr ? *choices : tuned.find(op, spec));
        if (!planned) return planned.error();
        ready.push_back(std::make_unique<ready_operator>(ready_operator{std::move(*planned), {}}));
    }
    std::vector<const codegen::kernel_plan*> plans;
    for (const auto& op : ready)
        for (const codegen::kernel_plan& k : op->plan.kernels) plans.push_back(&k);

    const std::vector<kernel_result> kernels = kernels_of(plans);
    auto next = kernels.begin();
    for (auto& op : ready) {
        for (std::size_t i = 0; i < op->plan.kernels.size(); ++i, ++next) {
            if (!*next) return next->error();
            op->kernels.push_back(**next);
            kernel_info info = (**next)->info;
            info.op = op->plan.op;
            made->kernels.push_back(std::move(info));
        }
        const auto at = static_cast<std::size_t>(op->plan.op);
        made->operators[at] = std::move(op);
    }
    return compiled_layer(std::move(made));
}

/// key, L1: each kernel is found in memory, waited for, or this call's to make.
std::vector<kernel_result> engine::impl::kernels_of(const std::vector<const codegen::kernel_plan*>& plans)
{
    std::vector<std::shared_future<kernel_result>> futures;
    std::vector<claim> mine;
    for (const codegen::kernel_plan* plan : plans) {
        keyed_kernel wanted = objects.key_of(*plan, on, {});
        auto promise = std::make_shared<std::promise<kernel_result>>();
        const std::lock_guard lock(l1_mutex);
        const auto [at, is_mine] = l1.try_emplace(wanted.query.key_nofp, promise->get_future().share());
        futures.push_back(at->second);
        if (is_mine) {
            mine.push_back({std::move(wanted), std::move(promise)});
            continue;
        }
        const bool is_there =
            at->second.wait_for(std::chrono::seconds(0)) == std::future_status::ready ||
            std::any_of(mine.begin(), mine.end(), [&](const claim& one) { return one.wanted.symbol == wanted.symbol; });
        (is_there ? counts->l1_hit : counts->waited)++;
    }
    make(std::move(mine));

    std::vector<kernel_result> kernels;
    for (const auto& future : futures) kernels.push_back(future.get());
    return kernels;
}

/// What is prebuilt is loaded before any compiler is looked for: a program whose kernels are all prebuilt starts no worker
/// and opens no other database. The rest comes from the user's database or is compiled, side by side.
void engine::impl::make(std::vector<claim> mine)
{
    std::erase_if(mine, [&](const claim& one) {
        kernel_result prebuilt = from_prebuilt(one.wanted);
        if (prebuilt && !*prebuilt) return false;
        return finish(one, std::move(prebuilt)), true;
    });
    if (mine.empty()) return;
    const result<chosen_compiler> by = compiler();
    std::vector<std::thread> compilations;
    for (claim& one : mine) {
        if (!by) {
            finish(one, by.error());
            continue;
        }
        objects.add_compiler(one.wanted, *by);
        if (kernel_result stored = from_stores_or_compiler(one.wanted, *by, false); !stored || *stored)
            finish(one, std::move(stored));
        else {
            counts->missed++;
            compilations.emplace_back([&, this] { finish(one, from_stores_or_compiler(one.wanted, *by, true)); });
        }
    }
    for (std::thread& compilation : compilations) compilation.join();
}

/// A failure is nobody else's: others may try again.
void engine::impl::finish(const claim& one, kernel_result made)
{
    if (!made) {
        const std::lock_guard lock(l1_mutex);
        l1.erase(one.wanted.query.key_nofp);
    }
    one.promise->set_value(std::move(made));
}

/// Which compiler it is matters to no key that strict mode looks for.
result<chosen_compiler> engine::impl::compiler()
try {
    return options.strict ? chosen_compiler{} : objects.compiler_for(on);
} catch (const std::exception& e) {
    return failure{errc::compile_failed, fmt::format("choosing a compiler for {}: {}", on.name, e.what())};
}

/// L2, L3, build, load. Without `may_compile` a miss is a null kernel. A stored object that does not load is set aside and
/// compiled once.
kernel_result engine::impl::from_stores_or_compiler(const keyed_kernel& wanted, const chosen_compiler& by, bool may_compile)
try {
    if (!may_compile) {
        const auto found = objects.find(wanted);
        return found ? load_stored(*found, true) : std::shared_ptr<const runtime::kernel>();
    }
    auto compiled = objects.compile(wanted, by);
    if (!compiled) return compiled.error();
    kernel_result loaded = load(*compiled);
    if (loaded || compiled->from == origin::compiled || !blames_object(loaded.error())) return loaded;
    // Another process compiled it while this one waited.
    objects.set_aside(*compiled, loaded.error().message);
    compiled = objects.compile(wanted, by);
    if (!compiled) return compiled.error();
    return load(*compiled);
} catch (const std::exception& e) {
    return failure{errc::compile_failed, fmt::format("{}: {}", wanted.symbol, e.what())};
}

/// One that does not load is a miss, and set aside if it is to blame.
kernel_result engine::impl::load_stored(const found_object& object, bool is_to_blame)
{
    kernel_result loaded = load(object);
    if (loaded || !blames_object(loaded.error())) return loaded;
    if (is_to_blame)
        objects.set_aside(object, loaded.error().message);
    else
        (*log)(log_level::info, fmt::format("{} does not load here: {}", object.row.symbol, loaded.error().message));
    return std::shared_ptr<const runtime::kernel>();
}

kernel_result engine::impl::load(const found_object& object)
{
    auto code = loader->load(object.row.bytes, object.row.symbol);
    if (!code) return code.error();
    counts->code_bytes += object.row.bytes.size();
    auto made = std::make_shared<runtime::kernel>();
    made->code = std::move(*code);
    made->info = {.op = {},
                  .symbol = object.row.symbol,
                  .key = cache::to_hex(object.row.key),
                  .from = object.from,
                  .compiler = object.compiler_name,
                  .compile_ms = static_cast<double>(object.row.compile_ms)};
    return std::shared_ptr<const runtime::kernel>(std::move(made));
}

engine::impl::impl(engine_options with, runtime::selected_target chosen)
    : options(std::move(with)),
      on(chosen.on),
      target_name(chosen.name()),
      prebuilt_for(runtime::targets_of_prebuilt(chosen)),
      log(std::make_shared<runtime::logger>(options.level, options.log)),
      counts(std::make_shared<runtime::counters>()),
      tuned(runtime::choices_of(options, on, *log)),
      loader(chosen.driver ? runtime::make_gpu_loader(std::move(chosen.driver)) : runtime::make_host_loader()),
      objects(options, log, counts)
{
}

engine::engine(std::unique_ptr<impl> made) : impl_(std::move(made)) {}
engine::~engine() = default;

result<std::unique_ptr<engine>> engine::create(engine_options options)
{
    if (std::string why; !options.prebuilt_key.empty() && !cache::is_public_key(options.prebuilt_key, &why))
        return failure{errc::bad_spec, "prebuilt_key: " + why};
    auto chosen = runtime::select_target(options);
    if (!chosen) return chosen.error();
    const std::vector<std::string> notes = std::move(chosen->notes);
    auto made = std::make_unique<impl>(std::move(options), std::move(*chosen));
    for (const std::string& line : notes) (*made->log)(log_level::info, line);
    return std::unique_ptr<engine>(new engine(std::move(made)));
}

const std::string& engine::target() const { return impl_->target_name; }

std::string engine::cache_path() const
{
    const cache::code_store* store = impl_->objects.user_store();
    return store == nullptr ? std::string() : store->path();
}

engine_stats engine::stats() const
{
    const runtime::counters& c = *impl_->counts;
    const cache::code_store::tally stores = impl_->objects.counted();
    return {.known_layer = c.known_layer,
            .l1_hit = c.l1_hit,
            .l2_hit = c.l2_hit,
            .l3_hit = c.l3_hit,
            .missed = c.missed,
            .failure_remembered = c.failure_remembered,
            .compiled = c.compiled,
            .compile_failed = c.compile_failed,
            .compile_timeout = c.compile_timeout,
            .compile_crashed = c.compile_crashed,
            .compile_out_of_memory = c.compile_out_of_memory,
            .waited = c.waited,
            .waited_process = c.waited_process,
            .lock_timeout = c.lock_timeout,
            .set_aside = c.set_aside + stores.bad_rows,
            .corrupt = stores.corrupt,
            .evicted = stores.evicted,
            .store_failed = c.store_failed,
            .compilers_asked = c.compilers_asked,
            .user_database_opened = c.user_database_opened,
            .database_writes = stores.writes,
            .database_faults = {stores.faults[0], stores.faults[1], stores.faults[2], stores.faults[3], stores.faults[4],
                                stores.faults[5], stores.faults[6]},
            .code_bytes = c.code_bytes,
            .compile_ms = static_cast<double>(c.compile_us) / 1000.0};
}

void engine::set_log(log_level level, log_sink sink) { impl_->log->set(level, std::move(sink)); }
void engine::set_cache_bytes_max(std::int64_t bytes) { impl_->objects.set_cache_bytes_max(bytes); }

result<engine*> default_engine()
{
    // The one static of the library: never destroyed, because kernels may run while a process exits.
    static engine* kept = nullptr;
    static const result<engine*> made = []() -> result<engine*> {
        auto options = engine_options::from_environment();
        if (!options) return options.error();
        auto created = engine::create(std::move(*options));
        if (!created) return created.error();
        kept = created->release();
        // What it found in the user database is noted there when the process ends, for it is not closed.
        std::atexit([] { kept->internals().objects.flush(); });
        return kept;
    }();
    return made;
}

result<compiled_layer> layer(const layer_spec& spec, engine& on) { return on.layer(spec); }

result<compiled_layer> layer(const layer_spec& spec)
{
    const result<engine*> on = default_engine();
    if (!on) return on.error();
    return (*on)->layer(spec);
}

}  // namespace mhc::jit
