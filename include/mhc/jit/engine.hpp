// mhc/jit/engine.hpp -- where layers are made: one target, its compilers, caches and loader. Safe to share between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <mhc/jit/layer.hpp>
#include <mhc/jit/result.hpp>
#include <mhc/jit/spec.hpp>
#include <mhc/jit/tuning.hpp>
#include <mhc/jit/warm_up.hpp>

namespace mhc::jit {

enum class log_level { debug, info, warning, error, off };

/// Receives one line, without a line end. May be called from any thread.
using log_sink = std::function<void(log_level, std::string_view line)>;

/// Which compiler makes AMD code objects. automatic: HIPRTC where it knows the target, else Clang.
enum class compiler_backend { automatic, hiprtc, clang };

/// How an engine works. Defaults need no environment; `from_environment` reads it once.
struct engine_options {
    /// "auto" (HIP, CUDA, host, in that order), "host", or an architecture such as "gfx942" or "sm_90".
    std::string target = "auto";
    int device = -1;  ///< which GPU the runtime shows; -1: the one current in the thread that makes the engine, else 0
    compiler_backend backend = compiler_backend::automatic;
    bool allow_fallback = false;  ///< a named target that cannot run here becomes "auto" instead of an error

    std::optional<std::string> cache_dir;    ///< of the user database; empty: XDG_CACHE_HOME or ~/.cache, mhc/v1
    std::vector<std::string> prebuilt_dirs;  ///< searched for mhc_<target>.db before the installed ones
    bool use_user_database = true;           ///< false: memory and prebuilt databases only
    bool read_only = false;                  ///< never write the user database
    bool strict = false;                     ///< never compile: a miss is not_prebuilt
    bool prebuilt_any_toolchain = true;      ///< prebuilt objects of another compiler version count
    /// An Ed25519 public key, the text of its PEM file: prebuilt databases that are not signed by it (mhc-prebuild --sign)
    /// are not used, with a warning, and in strict mode are an error. Empty: signatures are not looked at.
    std::string prebuilt_key;
    int rebuild = 0;  ///< 1: ignore stored objects and replace them, once a key; 2: forget failures too
    std::int64_t cache_bytes_max = 2048LL << 20;  ///< soft limit of the user database

    std::optional<std::string> worker;  ///< path of mhc-jitc; empty: beside the library, then the build tree
    int jobs_max = 0;                   ///< compilations at once; 0: from CPUs and memory
    int timeout_s = 120;                ///< wall time of one compilation
    bool keep_source = false;           ///< write each compiled source beside the user database, in `source/`

    log_level level = log_level::warning;
    log_sink log;  ///< empty: standard error

    /// The defaults changed by the environment: see the README's table. Read with secure_getenv.
    /// Errors: bad_spec, naming the variable, its value and what is allowed.
    static result<engine_options> from_environment();
};

/// Exact counts since the engine was made.
struct engine_stats {
    std::uint64_t known_layer = 0;         ///< requests answered by the known-layer table
    std::uint64_t l1_hit = 0;              ///< kernels found in memory
    std::uint64_t l2_hit = 0;              ///< in the user database
    std::uint64_t l3_hit = 0;              ///< in a prebuilt database
    std::uint64_t missed = 0;              ///< nowhere, or not looked for because of `rebuild`
    std::uint64_t failure_remembered = 0;  ///< of these, the ones known not to compile, so that nothing was compiled
    std::uint64_t compiled = 0;
    std::uint64_t compile_failed = 0;
    std::uint64_t compile_timeout = 0, compile_crashed = 0, compile_out_of_memory = 0;  ///< of these
    std::uint64_t waited = 0;           ///< callers that waited for another thread's compilation
    std::uint64_t waited_process = 0;   ///< kernels waited for while another process compiled them
    std::uint64_t lock_timeout = 0;     ///< of these, the ones that took too long, so that they were compiled here too
    std::uint64_t set_aside = 0;        ///< stored objects that failed verification or loading
    std::uint64_t corrupt = 0;          ///< user databases found damaged as a whole and moved out of the way
    std::uint64_t evicted = 0;          ///< stored objects that made room for others
    std::uint64_t store_failed = 0;     ///< objects that could not be stored
    std::uint64_t compilers_asked = 0;  ///< times a worker was started, or compilers loaded, to see what there is
    std::uint64_t user_database_opened = 0;
    std::uint64_t database_writes = 0;  ///< transactions that changed the user database
    /// Faults of databases, survived, by class.
    struct {
        std::uint64_t busy = 0, full = 0, io = 0, read_only = 0, corrupt = 0, cannot_open = 0, other = 0;
    } database_faults;
    std::uint64_t code_bytes = 0;  ///< of the code objects loaded
    double compile_ms = 0;         ///< sum of wall times of compilations
};

struct transfer_report;

class engine {
public:
    /// Errors: bad_spec (an option that cannot be), unsupported_target (naming what was tried).
    static result<std::unique_ptr<engine>> create(engine_options options = {});
    ~engine();
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    /// As `mhc::jit::layer(spec, *this)`.
    result<compiled_layer> layer(const layer_spec& spec);

    /// The same layer, each operator planned with these choices instead of the tables' (mhc/jit/tuning.hpp): `tuning{}` is
    /// what an empty table gives. Made anew at each call, from the same kernels. Errors: as `layer`.
    result<compiled_layer> layer_tuned(const layer_spec& spec, const tuning& choices);

    /// Makes every layer of the list, several at once, so that `layer(spec)` returns each at once from then on; before
    /// collectives, captures or requests that must not wait for a compiler. Other threads may ask for the same layers
    /// meanwhile: nothing is compiled twice. A layer that fails does not keep the others back. `cancel`, like a `progress`
    /// that returns false, begins no further layer; those under way are finished.
    warm_up_report warm_up(const std::vector<layer_spec>& specs, const warm_up_progress& progress = {},
                           std::stop_token cancel = {});

    /// Every whole object of the user database as one string, for another process or machine: rank 0 compiles and broadcasts
    /// it, the others import it, before any of them needs a kernel. Equal objects give equal bytes.
    /// Errors: bad_spec: there is no user database.
    result<std::string> export_cache();
    /// Adds the objects of `export_cache` to the user database: those whose key, hash, architecture and symbol are what they
    /// should be; the others are named in the report (mhc/jit/cache.hpp). That makes no stranger's bytes trustworthy:
    /// objects of `host` run in this process. Errors: bad_spec: bytes of another format or version, cut short or damaged, of
    /// which nothing is added; no user database that may be written.
    result<transfer_report> import_cache(std::string_view bytes);

    const std::string& target() const;
    std::string cache_path() const;  ///< the user database's file; empty: memory only
    engine_stats stats() const;

    void set_log(log_level level, log_sink sink = {});  ///< an empty sink keeps the one there is
    void set_cache_bytes_max(std::int64_t bytes);

    struct impl;  ///< the library's own
    impl& internals() { return *impl_; }

private:
    explicit engine(std::unique_ptr<impl> made);
    std::unique_ptr<impl> impl_;
};

/// The process's default engine, made from the environment at the first call and never destroyed.
result<engine*> default_engine();

/// One target and what can be done for it here.
struct target_info {
    std::string name;  ///< "host", "gfx942", ...
    bool can_compile = false;
    bool can_run = false;
    std::string compilers;  ///< such as "hiprtc 5.2 (LLVM 15), clang 19.1.7", "nvrtc 13.0"
    std::string why_not;    ///< for whatever is false: the reason and what would change it
};

/// One compiler found here, or why not.
struct toolchain_info {
    std::string name;  ///< "clang", "hiprtc", "nvrtc"
    bool available = false;
    std::string version;      ///< such as "19.1.7"
    std::string fingerprint;  ///< 64 hex digits: what the cache key holds
    std::vector<std::string> targets;
    std::string why_not;
};

/// What this machine can compile for and run on. Starts a compile worker; milliseconds.
std::vector<target_info> targets(const engine_options& options = {});
std::vector<toolchain_info> toolchains(const engine_options& options = {});

/// Whether `op` of `spec` exists for `target`, without compiling. Errors: bad_spec, unsupported_target.
result<void> supports(operation op, const layer_spec& spec, std::string_view target);

}  // namespace mhc::jit
