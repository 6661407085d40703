// runtime/thread_pool.hpp -- runs numbered pieces of work on this process's CPUs; the caller works too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace mhc::runtime {

class thread_pool {
public:
    /// As many threads as the process may run on at once, this one counted; they start at the first use.
    thread_pool();
    ~thread_pool();

    /// Calls work(context, i) for each i in [0, count) and returns when all are done. A caller that finds the pool busy, and
    /// the child of a fork, does everything itself.
    using piece = void (*)(const void* context, std::int64_t i);
    void run(std::int64_t count, piece work, const void* context);

private:
    void start();
    void serve();
    void take_pieces();

    const unsigned thread_count_;
    pid_t owner_;
    std::vector<std::thread> threads_;
    std::mutex one_caller_;

    std::mutex mutex_;
    std::condition_variable has_work_, is_done_;
    std::uint64_t generation_ = 0;  // of the job below; a thread serves each once
    unsigned busy_ = 0;
    bool stops_ = false;
    piece work_ = nullptr;
    const void* context_ = nullptr;
    std::int64_t count_ = 0;
    std::atomic<std::int64_t> next_{0};
};

}  // namespace mhc::runtime
