// runtime/worker_process.cpp -- starts, asks and ends one compile worker.
#include "runtime/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

extern char** environ;

namespace mhc::runtime {
namespace {

using clock = std::chrono::steady_clock;

constexpr int worker_socket = 3;
constexpr std::size_t standard_error_bytes_max = 64 << 10;

/// A descriptor that closes itself.
struct descriptor {
    int value = -1;
    ~descriptor()
    {
        if (value >= 0) ::close(value);
    }
    int release() { return std::exchange(value, -1); }
};

/// Moves a descriptor out of the range that the child's 0 to 3 are made in, so that no dup2 overwrites one still needed.
bool move_up(descriptor* which)
{
    const int moved = ::fcntl(which->value, F_DUPFD_CLOEXEC, 10);
    if (moved < 0) return false;
    ::close(which->value);
    which->value = moved;
    return true;
}

struct spawn_setup {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    spawn_setup()
    {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    ~spawn_setup()
    {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
};

/// The child: own process group, no signal blocked or ignored, descriptors 0 to 3 and no other.
void prepare(spawn_setup* setup, int socket, int error_pipe)
{
    posix_spawn_file_actions_t* actions = &setup->actions;
    posix_spawn_file_actions_adddup2(actions, socket, worker_socket);
    posix_spawn_file_actions_adddup2(actions, error_pipe, 2);
    posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(actions, worker_socket + 1);
#endif
#endif
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&setup->attributes, &none);
    posix_spawnattr_setsigdefault(&setup->attributes, &all);
    posix_spawnattr_setpgroup(&setup->attributes, 0);
    posix_spawnattr_setflags(&setup->attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

std::string describe_end(pid_t pid, int status)
{
    if (status == -1) return fmt::format("worker {} ended", pid);
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        return fmt::format("worker {} was ended by signal {} ({})", pid, signal, ::strsignal(signal));
    }
    return fmt::format("worker {} ended with exit code {}", pid, WEXITSTATUS(status));
}

/// SIGKILL that we did not send is the kernel's answer to a full machine.
bool lacked_memory(int status, std::string_view standard_error)
{
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == worker_process::exit_code_out_of_memory) return true;
    if (status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    return standard_error.find("out of memory") != std::string_view::npos ||
           standard_error.find("bad_alloc") != std::string_view::npos;
}

}  // namespace

std::string errno_text(int error)
{
    const char* name = ::strerrorname_np(error);
    return fmt::format("{} ({})", name != nullptr ? name : "error", ::strerror(error));
}

std::unique_ptr<worker_process> worker_process::start(const std::string& path, int idle_s, std::string* why)
{
    const auto fail = [&](const char* what, int error) {
        *why = fmt::format("cannot start the compile worker {}: {}: {}", path, what, errno_text(error));
        return nullptr;
    };
    int pair[2], ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fail("socketpair", errno);
    descriptor ours{pair[0]}, theirs{pair[1]};
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail("pipe", errno);
    descriptor error_out{ends[0]}, error_in{ends[1]};
    if (!move_up(&theirs) || !move_up(&error_in)) return fail("fcntl", errno);
    ::fcntl(error_out.value, F_SETFL, O_NONBLOCK);

    spawn_setup setup;
    prepare(&setup, theirs.value, error_in.value);
    const std::string socket_text = std::to_string(worker_socket), idle_text = std::to_string(idle_s);
    const std::string parent_text = std::to_string(::getpid());
    const std::array<const char*, 8> arguments{path.c_str(),      "--socket", socket_text.c_str(), "--idle-s",
                                               idle_text.c_str(), "--parent", parent_text.c_str(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, path.c_str(), &setup.actions, &setup.attributes,
                                    const_cast<char* const*>(arguments.data()), environ);
    if (error != 0) return fail("posix_spawn", error);
    return std::unique_ptr<worker_process>(new worker_process(pid, ours.release(), error_out.release()));
}

worker_process::worker_process(pid_t pid, int socket, int error_pipe)
    : pid_(pid), owner_(::getpid()), socket_(socket), error_pipe_(error_pipe)
{
}

worker_process::~worker_process()
{
    ::close(socket_);
    ::close(error_pipe_);
    if (!reaped_ && owner_ == ::getpid()) reap(true);
}

bool worker_process::is_ready() const
{
    pollfd entry{socket_, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
}

exchange worker_process::ask(std::string_view frame, std::int64_t timeout_ms)
{
    exchange result;
    standard_error_.clear();
    received_.clear();
    const auto deadline = clock::now() + std::chrono::milliseconds(timeout_ms);
    std::size_t sent = 0;
    bool is_error_open = true;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
        if (left <= 0) {
            finish(&result, exchange_state::timed_out, fmt::format("no answer within {:g} s", double(timeout_ms) / 1000));
            return result;
        }
        const short wanted = sent < frame.size() ? POLLIN | POLLOUT : POLLIN;
        std::array<pollfd, 2> entries{{{socket_, wanted, 0}, {is_error_open ? error_pipe_ : -1, POLLIN, 0}}};
        if (::poll(entries.data(), entries.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000))) <= 0) continue;
        if (entries[1].revents != 0) is_error_open = drain_standard_error();
        if ((entries[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && receive(&result)) return result;
        if ((entries[0].revents & POLLOUT) != 0) {
            const ssize_t put = ::send(socket_, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (put > 0) sent += static_cast<std::size_t>(put);
            // A broken connection is seen by the next receive, which also takes a reply sent before the end.
        }
    }
}

bool worker_process::receive(exchange* into)
{
    std::array<char, 64 << 10> block;
    const ssize_t got = ::recv(socket_, block.data(), block.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return false;
    if (got <= 0) {
        finish(into, exchange_state::ended, "");
        return true;
    }
    received_.append(block.data(), static_cast<std::size_t>(got));
    if (received_.size() < protocol::header_bytes) return false;

    std::size_t length = 0;
    switch (protocol::decode_header(received_, &into->reply.kind, &length)) {
        case protocol::header_state::good:
            break;
        case protocol::header_state::foreign:
            finish(into, exchange_state::bad_reply, "the reply is not one of this protocol");
            return true;
        case protocol::header_state::other_version:
            finish(into, exchange_state::bad_reply,
                   "the worker speaks another version of the protocol: it is not the one built with this library");
            return true;
        case protocol::header_state::too_long:
            finish(into, exchange_state::bad_reply, "the reply claims to be longer than any reply can be");
            return true;
    }
    const std::size_t whole = protocol::header_bytes + length;
    if (received_.size() < whole) return false;
    if (received_.size() > whole) {
        finish(into, exchange_state::bad_reply, "the reply is longer than it says");
        return true;
    }
    into->state = exchange_state::replied;
    into->reply.payload = received_.substr(protocol::header_bytes);
    received_.clear();
    drain_standard_error();
    into->standard_error = standard_error_;
    return true;
}

void worker_process::finish(exchange* into, exchange_state state, std::string what)
{
    const int status = reap(state != exchange_state::ended);
    drain_standard_error();
    into->state = state;
    into->standard_error = standard_error_;
    into->what = std::move(what);
    if (state == exchange_state::ended) {
        into->what = describe_end(pid_, status);
        if (!received_.empty()) into->what += fmt::format(", {} bytes into its reply", received_.size());
        into->left_quietly = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && received_.empty();
        into->lacked_memory = lacked_memory(status, standard_error_);
    }
}

bool worker_process::drain_standard_error()
{
    std::array<char, 16 << 10> block;
    for (int round = 0; round < 16; ++round) {  // bounded: a worker that never stops writing must not hide the deadline
        const ssize_t got = ::read(error_pipe_, block.data(), block.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0;
        standard_error_.append(block.data(), static_cast<std::size_t>(got));
        if (standard_error_.size() > 2 * standard_error_bytes_max)
            standard_error_.erase(0, standard_error_.size() - standard_error_bytes_max);
    }
    return true;
}

int worker_process::reap(bool kill_now)
{
    reaped_ = true;
    const auto patience = clock::now() + std::chrono::seconds(2);
    siginfo_t info{};
    bool has_stayed = false;
    // WNOWAIT first: while the leader is uncollected its group's number cannot be another's, so the kill below is safe.
    while (!kill_now) {
        const int state = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
        if (state != 0 && errno != EINTR) return -1;  // the program collects its children itself
        if (state == 0 && info.si_pid == pid_) break;
        has_stayed = clock::now() > patience;
        if (has_stayed) break;
        const timespec pause{0, 1'000'000};
        ::nanosleep(&pause, nullptr);
    }
    ::kill(-pid_, SIGKILL);
    int status = 0;
    for (;;) {
        const pid_t got = ::waitpid(pid_, &status, 0);
        if (got == pid_) return has_stayed ? -1 : status;
        if (got < 0 && errno != EINTR) return -1;
    }
}

}  // namespace mhc::runtime
