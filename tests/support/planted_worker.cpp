// tests/support/planted_worker.cpp -- a worker that compiles nothing: it makes objects for gfx942, or misbehaves as told.
//
// Environment: MHC_PLANTED_HOW, what it does wrong (else the name of the job says it); MHC_PLANTED_MS, how long a job takes,
// and MHC_PLANTED_WALL_MS, how long it says that it took; MHC_PLANTED_LOG, a file that gets a line a start;
// MHC_PLANTED_JOBS, one that gets "begin SYMBOL PARENT" a job.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/compile_protocol.hpp"
#include "tests/support/made_elf.hpp"

namespace {

using namespace mhc::runtime;

int connection = 3, parent = 0;

/// How many workers were started before this one, by the lines of $MHC_PLANTED_LOG.
int note_start()
{
    const char* const path = std::getenv("MHC_PLANTED_LOG");
    if (path == nullptr) return 0;
    const int file = ::open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string line = std::to_string(::getpid()) + "\n";
    const auto before = ::lseek(file, 0, SEEK_END);
    [[maybe_unused]] const ssize_t written = ::write(file, line.data(), line.size());
    ::close(file);
    return before > 0 ? 1 : 0;
}

void say(const char* text) { [[maybe_unused]] const ssize_t written = ::write(2, text, std::strlen(text)); }

void send_raw(const std::string& bytes)
{
    for (std::size_t sent = 0; sent < bytes.size();) {
        const ssize_t put = ::send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (put <= 0) return;
        sent += static_cast<std::size_t>(put);
    }
}

/// The name that the library's sources begin with; nothing of other texts.
std::string kernel_of(const std::string& source)
{
    if (source.rfind("// mhc_", 0) != 0) return {};
    return source.substr(3, source.find_first_of(" \n", 3) - 3);
}

std::string good_reply(const compile_job& job, const std::string& how)
{
    const std::string kernel = how == "other_kernel" ? "mhc_other" : kernel_of(job.source);
    protocol::compile_reply reply;
    reply.result.status = compile_status::ok;
    reply.result.code = kernel.empty() ? "code of " + job.source : mhc::testing::make_code_object(kernel);
    reply.result.compiler_name = "planted";
    if (const char* ms = std::getenv("MHC_PLANTED_WALL_MS")) reply.result.wall_ms = std::atoi(ms);
    return protocol::encode(reply);
}

std::string compile_error()
{
    protocol::compile_reply reply;
    reply.result.status = compile_status::compile_error;
    reply.result.log = "planted error in the source\n";
    return protocol::encode(reply);
}

/// A compiler for gfx942 that is this program's file.
std::string identity()
{
    struct stat seen {};
    std::string path(4096, '\0');
    path.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::readlink("/proc/self/exe", path.data(), path.size()))));
    ::stat(path.c_str(), &seen);
    backend_info info;
    info.name = "hiprtc";
    info.available = true;
    info.version = "planted";
    info.identity.fingerprint.fill(7);
    info.identity.descr = "{}";
    info.files = {{path, static_cast<std::int64_t>(seen.st_dev), static_cast<std::int64_t>(seen.st_ino), seen.st_size,
                   seen.st_mtim.tv_sec * 1'000'000'000LL + seen.st_mtim.tv_nsec}};
    info.targets = {"gfx942"};
    return protocol::encode(std::vector<backend_info>{info});
}

void append_line(const char* path, const std::string& line)
{
    const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    [[maybe_unused]] const ssize_t written = ::write(file, line.data(), line.size());
    ::close(file);
}

/// Notes the job and takes its time.
void begin(const compile_job& job)
{
    if (const char* path = std::getenv("MHC_PLANTED_JOBS"))
        append_line(path, "begin " + kernel_of(job.source) + ' ' + std::to_string(parent) + '\n');
    if (const char* ms = std::getenv("MHC_PLANTED_MS")) ::usleep(static_cast<useconds_t>(std::atoi(ms)) * 1000);
}

void eat_memory(std::int64_t most)
{
    const rlimit limit{static_cast<rlim_t>(most) + (64U << 20), RLIM_INFINITY};
    ::setrlimit(RLIMIT_AS, &limit);
    while (::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) continue;
    say("LLVM ERROR: out of memory\n");
    std::abort();
}

/// Faults that end the process, or never end.
void misbehave(const std::string& how, const protocol::compile_request& request, int started_before)
{
    if (how == "abort" || (how == "abort_once" && started_before == 0)) {
        say("LLVM ERROR: planted\n");
        std::abort();
    }
    if (how == "segfault") {
        ::signal(SIGSEGV, SIG_DFL);  // a sanitizer has a handler
        ::raise(SIGSEGV);
    }
    if (how == "killed") ::raise(SIGKILL);
    if (how == "quit") ::_exit(0);
    if (how == "fail") ::_exit(7);
    if (how == "loop")
        for (;;) ::pause();
    if (how == "flood_for_ever")
        for (;;) say("a line that is written again and again, until somebody ends this process\n");
    if (how == "eat_memory") eat_memory(request.memory_max_bytes);
}

/// Replies that are none.
bool reply_badly(const std::string& how, const std::string& payload)
{
    using protocol::encode_frame;
    using protocol::frame_kind;
    std::string bytes;
    if (how == "garbage") bytes = std::string(4096, '\x5a');
    if (how == "undecodable") bytes = encode_frame(frame_kind::compiled, std::string(100, '\xff'));
    if (how == "wrong_kind") bytes = encode_frame(frame_kind::disassembled, payload);
    if (how == "refuse") bytes = encode_frame(frame_kind::refused, "planted refusal");
    if (how == "trailing") bytes = encode_frame(frame_kind::compiled, payload) + "more";
    if (how == "no_code")
        bytes = encode_frame(frame_kind::compiled, protocol::encode([] {
                                 protocol::compile_reply reply;
                                 reply.result.status = compile_status::ok;
                                 return reply;
                             }()));
    if (how == "huge") {
        bytes = encode_frame(frame_kind::compiled, payload);
        const std::uint64_t length = ~std::uint64_t{0} >> 1;
        std::memcpy(bytes.data() + 16, &length, sizeof length);
    }
    if (how == "other_version") {
        bytes = encode_frame(frame_kind::compiled, payload);
        bytes[8] = '\x63';
    }
    if (how == "short") {
        send_raw(encode_frame(frame_kind::compiled, payload).substr(0, protocol::header_bytes + 5));
        ::_exit(0);
    }
    if (bytes.empty()) return false;
    send_raw(bytes);
    for (;;) ::pause();  // it is the library's to end this process
}

}  // namespace

int main(int count, char** arguments)
{
    for (int i = 1; i + 1 < count; ++i)
        if (std::strcmp(arguments[i], "--socket") == 0)
            connection = std::atoi(arguments[i + 1]);
        else if (std::strcmp(arguments[i], "--parent") == 0)
            parent = std::atoi(arguments[i + 1]);
    ::prctl(PR_SET_DUMPABLE, 0);
    const int started_before = note_start();
    protocol::frame frame;
    while (protocol::receive_frame(connection, 60, &frame) == protocol::receive_state::received) {
        if (frame.kind == protocol::frame_kind::identify) {
            if (!protocol::send_frame(connection, protocol::frame_kind::identified, identity())) return 3;
            continue;
        }
        protocol::compile_request request;
        if (!protocol::decode(frame.payload, &request)) return 3;
        const char* const told = std::getenv("MHC_PLANTED_HOW");
        const std::string how = told != nullptr ? told : request.job.name;
        begin(request.job);
        misbehave(how, request, started_before);
        const std::string payload = how == "compile_error" ? compile_error() : good_reply(request.job, how);
        if (reply_badly(how, payload)) return 0;
        if (how == "flood")
            for (int i = 0; i < 20000; ++i) say("a line of forty characters, all the same\n");
        if (how == "close_stderr") ::close(2);
        if (!protocol::send_frame(connection, protocol::frame_kind::compiled, payload)) return 3;
        if (how == "leave") return 0;
    }
    return 0;
}
