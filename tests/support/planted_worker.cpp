// tests/support/planted_worker.cpp -- a worker that misbehaves as the name of its job says; notes each start in a file.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/compile_protocol.hpp"

namespace {

using namespace mhc::runtime;

int connection = 3;

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

std::string good_reply(const compile_job& job)
{
    protocol::compile_reply reply;
    reply.result.status = compile_status::ok;
    reply.result.code = "code of " + job.source;
    reply.result.compiler_name = "planted";
    return protocol::encode(reply);
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
        if (std::strcmp(arguments[i], "--socket") == 0) connection = std::atoi(arguments[i + 1]);
    ::prctl(PR_SET_DUMPABLE, 0);
    const int started_before = note_start();
    protocol::frame frame;
    while (protocol::receive_frame(connection, 60, &frame) == protocol::receive_state::received) {
        protocol::compile_request request;
        if (!protocol::decode(frame.payload, &request)) return 3;
        const std::string how = request.job.name;
        misbehave(how, request, started_before);
        const std::string payload = good_reply(request.job);
        if (reply_badly(how, payload)) return 0;
        if (how == "flood")
            for (int i = 0; i < 20000; ++i) say("a line of forty characters, all the same\n");
        if (how == "close_stderr") ::close(2);
        if (!protocol::send_frame(connection, protocol::frame_kind::compiled, payload)) return 3;
        if (how == "leave") return 0;
    }
    return 0;
}
