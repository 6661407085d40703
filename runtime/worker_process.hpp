// runtime/worker_process.hpp -- one child process on a socket: started, asked with a deadline, ended, and its end explained.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/compile_protocol.hpp"

namespace mhc::runtime {

/// "EMFILE (Too many open files)"
std::string errno_text(int error);

enum class exchange_state {
    replied,
    timed_out,  ///< the process was killed
    ended,      ///< it went away before its reply was whole
    bad_reply,  ///< what came is no frame of this protocol; the process was killed
};

struct exchange {
    exchange_state state = exchange_state::ended;
    protocol::frame reply;       ///< when `replied`
    std::string what;            ///< otherwise: one line of what happened
    std::string standard_error;  ///< the last of what the process wrote there meanwhile
    bool left_quietly = false;   ///< `ended` with exit code 0: an idle worker that had already gone
    bool lacked_memory = false;  ///< `ended` for want of memory, as far as can be told
};

/// Not thread-safe: one owner at a time. The destructor ends the process and collects it, but only in the process that
/// started it: after a fork the child leaves it alone.
class worker_process {
public:
    /// Exit code of a worker that could not allocate.
    static constexpr int exit_code_out_of_memory = 12;

    /// Null: `why`, which names the error.
    static std::unique_ptr<worker_process> start(const std::string& path, int idle_s, std::string* why);
    ~worker_process();
    worker_process(const worker_process&) = delete;
    worker_process& operator=(const worker_process&) = delete;

    /// Sends one frame and waits for the answer. After anything but `replied` the process is gone.
    exchange ask(std::string_view frame, std::int64_t timeout_ms);

    /// False when an idle worker has ended or has sent something unasked.
    bool is_ready() const;

    pid_t pid() const { return pid_; }
    int jobs_done = 0;

private:
    worker_process(pid_t pid, int socket, int error_pipe);
    /// False when no more can come.
    bool drain_standard_error();
    /// Takes what has arrived. True: `into` is decided.
    bool receive(exchange* into);
    void finish(exchange* into, exchange_state state, std::string what);
    /// Waits a little for the process to end by itself, then kills its group; returns waitpid's status, -1: not its own end.
    int reap(bool kill_now);

    pid_t pid_ = -1, owner_ = -1;
    int socket_ = -1, error_pipe_ = -1;
    bool reaped_ = false;
    std::string standard_error_, received_;
};

}  // namespace mhc::runtime
