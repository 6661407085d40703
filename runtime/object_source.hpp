// runtime/object_source.hpp -- code objects by plan: the user database, prebuilt databases, else the compile service.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <mhc/jit/engine.hpp>

#include "cache/code_store.hpp"
#include "cache/key_lock.hpp"
#include "codegen/key.hpp"
#include "codegen/plan.hpp"
#include "runtime/compile_service.hpp"
#include "runtime/log.hpp"
#include "runtime/nearest_key.hpp"

namespace mhc::runtime {

/// Counts of `engine_stats`, one place for all of an engine's parts.
struct counters {
    std::atomic<std::uint64_t> known_layer{0}, l1_hit{0}, l2_hit{0}, l3_hit{0}, compiled{0}, compile_failed{0}, waited{0},
        waited_process{0}, lock_timeout{0}, set_aside{0}, store_failed{0}, compilers_asked{0}, user_database_opened{0},
        compile_us{0}, missed{0}, failure_remembered{0}, compile_timeout{0}, compile_crashed{0}, compile_out_of_memory{0},
        code_bytes{0};
};

/// A compiler that can make code for a target, before anything is compiled.
struct chosen_compiler {
    std::string backend;  ///< "clang", "hiprtc", "nvrtc"; empty when there is none
    std::optional<cache::toolchain> identity;
    std::string why_none;                            ///< one line naming what was tried
    std::map<std::string, std::string> environment;  ///< options the user's environment adds to the compiler's
};

/// A plan, its keys and name: what a lookup needs. `key` is by the chosen compiler; without one it equals `key_nofp`.
struct keyed_kernel {
    const codegen::kernel_plan* plan = nullptr;
    const codegen::target* on = nullptr;
    cache::code_query query;
    std::string symbol;  ///< plan's symbol_base and 8 hex digits of key_nofp, so that it is the same for every compiler
    std::vector<std::string> options;
    codegen::key_text text;  ///< of key_nofp
};

struct found_object {
    cache::code_row row;
    jit::origin from = jit::origin::compiled;
    std::string compiler_name;
};

/// Thread-safe. Nothing is opened or started before it is needed.
class object_source {
public:
    object_source(jit::engine_options options, std::shared_ptr<logger> log, std::shared_ptr<counters> counts);
    ~object_source();

    chosen_compiler compiler_for(const codegen::target& on);
    keyed_kernel key_of(const codegen::kernel_plan& plan, const codegen::target& on, const chosen_compiler& by) const;
    /// Makes the key of no compiler that of this one.
    static void add_compiler(keyed_kernel& kernel, const chosen_compiler& by);

    /// From a prebuilt database, whichever compiler made it, verified: no compiler is asked for, no user database opened.
    /// Empty: a miss, or an engine to which the compiler matters.
    std::optional<found_object> find_prebuilt(const keyed_kernel& wanted);
    /// From a prebuilt database as above, else the user's, else a prebuilt one by the compiler of `wanted`. Empty: a miss.
    std::optional<found_object> find(const keyed_kernel& wanted);
    /// Of the stored objects of its family the one whose key is nearest.
    nearest_key nearest(const keyed_kernel& wanted);
    /// In strict mode, a prebuilt database of the target that is there and must not be used.
    std::optional<jit::failure> refused_prebuilt(const std::string& target_name);
    /// Compiles, verifies and stores; or waits for another process that does, and takes what it stored (`from` is then
    /// origin::user). Errors: not_prebuilt (strict), unsupported_target, compile_failed.
    jit::result<found_object> compile(const keyed_kernel& wanted, const chosen_compiler& by);
    /// A stored object that did not load: it is not offered again.
    void set_aside(const found_object& object, std::string_view why);

    std::vector<backend_info> backends() { return service().backends(); }
    compile_service& service();
    cache::code_store* user_store();           ///< null: none, with one warning
    cache::code_store* user_store_if_there();  ///< not made by being looked into
    /// Whether there is a prebuilt database of exactly this target.
    bool has_prebuilt(const std::string& target_name);
    const jit::engine_options& options() const { return options_; }
    void set_cache_bytes_max(std::int64_t bytes);
    /// What the databases that are open counted, together.
    cache::code_store::tally counted();
    /// Before the process ends: writes what was put off. Opens nothing.
    void flush() noexcept;

private:
    struct prebuilt_layer {
        std::vector<std::unique_ptr<cache::code_store>> stores;
        std::string refused;  ///< the first database that is there and is not used, and why
    };
    void note_opened(cache::code_store& store);
    prebuilt_layer& prebuilt(const std::string& target_name);
    jit::failure not_prebuilt(const keyed_kernel& wanted);
    void tell_compiled(const keyed_kernel& wanted, const found_object& found, double wall_ms);
    std::optional<found_object> find_in(cache::code_store& store, const keyed_kernel& wanted, bool any_toolchain,
                                        jit::origin as);
    std::optional<jit::failure> remembered_failure(const keyed_kernel& wanted);
    std::unique_ptr<cache::key_lock> lock_across_processes(const keyed_kernel& wanted);
    jit::result<found_object> compile_here(const keyed_kernel& wanted, const chosen_compiler& by);
    std::vector<backend_info> known_backends();
    void keep(const cache::code_row& row);
    void keep_source(const keyed_kernel& wanted, const std::string& source);
    bool replaces(const keyed_kernel& wanted);

    jit::engine_options options_;
    std::shared_ptr<logger> log_;
    std::shared_ptr<counters> counts_;
    std::mutex mutex_;
    std::unique_ptr<compile_service> service_;
    bool user_store_was_tried_ = false;
    std::unique_ptr<cache::code_store> user_store_;
    std::map<std::string, prebuilt_layer> prebuilt_;
    std::map<std::string, bool> has_prebuilt_;
    std::atomic<bool> has_hinted_ = false;  ///< at mhc-prebuild, after a slow compilation
    std::mutex opened_mutex_;  ///< held for the list alone: a log sink may ask for counts while a store is being opened
    std::vector<cache::code_store*> opened_;
    std::optional<std::vector<backend_info>> backends_;
    std::set<cache::digest> rebuilt_;  ///< keys made anew in this process, for `rebuild`
};

/// SHA-256 over a kernel's stub and device headers.
std::string source_digest(const codegen::kernel_plan& plan);

}  // namespace mhc::runtime
