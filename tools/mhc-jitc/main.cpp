// tools/mhc-jitc/main.cpp -- the compile worker: takes one job at a time from a socket until it is told or left to end.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>

#include "runtime/compilers/backend.hpp"
#include "runtime/worker_process.hpp"

namespace {

using namespace mhc::runtime;

constexpr const char* help = R"(mhc-jitc: the compile worker of mhc-jit.

The library starts it when a kernel has to be compiled, gives it jobs over a socket, and ends it when it is idle.
There is nothing to do with it by hand; to see what it can do here, run:

    mhc-show --toolchains

Options:
  --help, --version

Exit codes: 0 ended when idle or told to; 2 not started by the library; 3 the connection broke; 12 out of memory.
)";

volatile sig_atomic_t parent = 0;

struct settings {
    int socket = -1, idle_s = 60, parent = -1;
};

/// The kernel sends the signal when the *thread* that started this process ends, which says nothing about the program.
void on_parent_signal(int)
{
    if (::getppid() != parent) ::_exit(0);
}

/// Ends with the program that started this one, even in the middle of a job. False: it is gone already.
bool end_with_parent(int pid)
{
    parent = pid;
    const int number = SIGRTMIN + 3;  // none that a compiler installs a handler for
    struct sigaction action {};
    action.sa_handler = on_parent_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(number, &action, nullptr);
    ::prctl(PR_SET_PDEATHSIG, number);
    return ::getppid() == pid;
}

[[noreturn]] void on_no_memory()
{
    constexpr std::string_view line = "mhc-jitc: out of memory\n";
    [[maybe_unused]] const ssize_t written = ::write(2, line.data(), line.size());
    ::_exit(worker_process::exit_code_out_of_memory);
}

/// Bytes of address space and of resident memory now.
std::pair<std::int64_t, std::int64_t> memory_now()
{
    std::ifstream in("/proc/self/statm");
    std::int64_t pages = 0, resident = 0;
    in >> pages >> resident;
    const std::int64_t page = ::sysconf(_SC_PAGESIZE);
    return {pages * page, resident * page};
}

/// Limits the address space to what there is now and `more`; 0 lifts the limit. Not in a sanitized build: the sanitizers
/// reserve terabytes, and do not survive a mapping that is refused.
void limit_memory([[maybe_unused]] std::int64_t more)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    rlimit limit{};
    if (::getrlimit(RLIMIT_AS, &limit) != 0) return;
    const rlim_t wanted = more > 0 ? static_cast<rlim_t>(memory_now().first + more) : RLIM_INFINITY;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : std::min(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_AS, &limit);
#endif
}

class worker {
public:
    explicit worker(const settings& how) : how_(how) {}

    int run()
    {
        protocol::frame request;
        for (;;) {
            switch (protocol::receive_frame(how_.socket, how_.idle_s, &request)) {
                case protocol::receive_state::received:
                    break;
                case protocol::receive_state::closed:
                case protocol::receive_state::idle:
                    return 0;
                case protocol::receive_state::broken:
                    return 3;
            }
            if (!answer(request)) return 3;
            if (must_end_) return 0;
        }
    }

private:
    bool answer(const protocol::frame& request)
    {
        protocol::compile_request job;
        protocol::disassemble_request object;
        if (request.kind == protocol::frame_kind::identify) {
            std::vector<backend_info> found;
            for (const named_backend& one : backends_) found.push_back(one.by->info());
            return send(protocol::frame_kind::identified, protocol::encode(found));
        }
        if (request.kind == protocol::frame_kind::compile && protocol::decode(request.payload, &job)) return compile(job);
        if (request.kind == protocol::frame_kind::disassemble && protocol::decode(request.payload, &object)) {
            protocol::disassemble_reply reply;
            reply.text = backend_named("clang")->disassemble(object.target, object.code, &reply.why);
            return send(protocol::frame_kind::disassembled, protocol::encode(reply));
        }
        return send(protocol::frame_kind::refused, "it is not one of this worker's protocol");
    }

    bool compile(const protocol::compile_request& request)
    {
        const auto start = std::chrono::steady_clock::now();
        protocol::compile_reply reply;
        compile_result& result = reply.result;
        const std::string& name = request.job.backend;
        compilers::backend* const chosen = backend_named(name);
        if (chosen != nullptr) {
            chosen->prepare();
            limit_memory(request.memory_max_bytes);
            chosen->compile(request.job, &reply);
            limit_memory(0);
        } else {
            result.log = fmt::format("the worker has no compiler \"{}\": it has clang, hiprtc and nvrtc", name);
        }
        rusage usage{};
        ::getrusage(RUSAGE_SELF, &usage);
        result.wall_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
        result.peak_rss_bytes = std::int64_t{usage.ru_maxrss} << 10;
        reply.rss_bytes = memory_now().second;
        must_end_ = reply.must_end;
        return send(protocol::frame_kind::compiled, protocol::encode(reply));
    }

    bool send(protocol::frame_kind kind, std::string_view payload)
    {
        if (payload.size() > protocol::payload_bytes_max)
            return protocol::send_frame(how_.socket, protocol::frame_kind::refused, "the answer would be too long");
        return protocol::send_frame(how_.socket, kind, payload);
    }

    struct named_backend {
        std::string_view name;
        std::unique_ptr<compilers::backend> by;
    };

    compilers::backend* backend_named(std::string_view name) const
    {
        for (const named_backend& one : backends_)
            if (one.name == name) return one.by.get();
        return nullptr;
    }

    const settings how_;
    const std::array<named_backend, 3> backends_{named_backend{"clang", compilers::make_clang_backend()},
                                                 named_backend{"hiprtc", compilers::make_hiprtc_backend()},
                                                 named_backend{"nvrtc", compilers::make_nvrtc_backend()}};
    bool must_end_ = false;
};

std::optional<settings> parse(int count, char** arguments)
{
    settings how;
    for (int i = 1; i + 1 < count; i += 2) {
        const std::string_view name = arguments[i], text = arguments[i + 1];
        int value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
        if (name == "--socket")
            how.socket = value;
        else if (name == "--idle-s")
            how.idle_s = value;
        else if (name == "--parent")
            how.parent = value;
        else
            return std::nullopt;
    }
    struct stat info {};
    if (how.socket < 0 || how.parent < 0 || ::fstat(how.socket, &info) != 0 || !S_ISSOCK(info.st_mode)) return std::nullopt;
    return how;
}

}  // namespace

int main(int count, char** arguments)
{
    const std::string_view first = count > 1 ? arguments[1] : "";
    if (first == "--help") return fmt::print("{}", help), 0;
    if (first == "--version") return fmt::print("mhc-jitc {}\n", MHC_JIT_VERSION), 0;
    const std::optional<settings> how = count % 2 == 1 ? parse(count, arguments) : std::nullopt;
    if (!how) {
        fmt::print(
            stderr,
            "mhc-jitc: this is the compile worker of mhc-jit; the library starts it, it is of no use by hand (--help)\n");
        return 2;
    }
    if (!end_with_parent(how->parent)) return 0;
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::set_new_handler(on_no_memory);
    // Code objects have a store already; comgr's own would only hide from it how long a compilation takes.
    ::setenv("AMD_COMGR_CACHE", "0", 0);
    return worker(*how).run();
}
