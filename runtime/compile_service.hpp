// runtime/compile_service.hpp -- compilers in worker processes: a job goes in, a code object or a log comes out.
//
// A worker (mhc-jitc) is a long-lived child on a socketpair, one job at a time. It holds Clang (a plug-in, loaded at its
// first job), HIPRTC and NVRTC (by dlopen). A crash, a timeout or too much memory ends the worker, never this process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/code_store.hpp"

namespace mhc::runtime {

/// One translation unit.
struct compile_job {
    std::string backend;               ///< "clang", "hiprtc" or "nvrtc"
    std::string target;                ///< "host", or a GPU's such as "gfx942", "gfx90a:xnack-", "sm_90"
    std::string name;                  ///< program name, for diagnostics: "mhc_post.hip"
    std::string source;                ///< self-contained text
    std::vector<std::string> options;  ///< complete and in order: clang: cc1 arguments; else the compiler's
};

enum class compile_status { ok, compile_error, timeout, crashed, out_of_memory, no_compiler };

struct compile_result {
    compile_status status = compile_status::no_compiler;
    std::string code;  ///< ELF: an AMD code object, a cubin, or a shared object for `host`
    std::string log;   ///< the compiler's, or what became of the worker; never empty on failure
    cache::toolchain compiler;
    std::string compiler_name;  ///< "clang 19.1.7"
    double wall_ms = 0;         ///< in the worker
    std::int64_t peak_rss_bytes = 0;
};

/// What one backend of the worker is and can do.
struct backend_info {
    std::string name;  ///< "clang", "hiprtc", "nvrtc"
    bool available = false;
    std::string version;  ///< "19.1.7"; for hiprtc "5.2 (LLVM 15)"
    std::string why_not;
    cache::toolchain identity;
    std::vector<cache::toolchain_file> files;  ///< whose change changes the identity
    std::vector<std::string> targets;          ///< processors, and "host" for clang
};

struct service_options {
    std::optional<std::string> worker;  ///< path; empty: `find_worker`
    int jobs_max = 0;                   ///< 0: min(CPUs by affinity and cgroup, memory / 0.35 GB)
    int timeout_s = 120;
    std::int64_t memory_max_bytes = 4LL << 30;                ///< address space of a worker beyond what it has when idle
    int idle_s = 60;                                          ///< an idle worker ends after this
    std::function<void(int severity, std::string_view)> log;  ///< 0 debug, 1 info, 2 warning
};

/// Path of mhc-jitc: `given`, else $MHC_JIT_WORKER (secure_getenv), else ../libexec/mhc-jit beside the library, else the
/// build tree. Empty: `why` lists where it was looked for.
std::string find_worker(const std::optional<std::string>& given, std::string* why);
/// A file that is installed in the worker's folder, wherever MHC_JIT_WORKER points; empty: there is none.
std::string find_beside_worker(const std::string& file);

/// A pool of workers. Starts nothing until the first call. Thread-safe; fork-safe (the child starts its own pool).
class compile_service {
public:
    virtual ~compile_service() = default;
    /// Blocks until done. A crash is retried once in a fresh worker.
    virtual compile_result compile(const compile_job& job) = 0;
    /// What the worker finds on this machine; asked once, then remembered.
    virtual std::vector<backend_info> backends() = 0;
    /// Assembly text of a code object. Empty: `why`.
    virtual std::string disassemble(std::string_view target, std::string_view code, std::string* why) = 0;
    virtual std::string worker_path() const = 0;  ///< empty: none
};

/// Over workers; where there is no worker program, in this process, for HIPRTC and NVRTC alone.
std::unique_ptr<compile_service> make_compile_service(service_options options);

}  // namespace mhc::runtime
