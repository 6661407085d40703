// runtime/thread_pool.cpp -- a pool for one job at a time.
#include "runtime/thread_pool.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mhc::runtime {
namespace {

/// The default floating-point environment while kernels run: a caller's flush-to-zero or rounding mode would change bits.
class default_float_environment {
public:
#if defined(__x86_64__)
    default_float_environment() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
    ~default_float_environment() { _mm_setcsr(saved_); }

private:
    unsigned saved_;
#else
    default_float_environment() {}
#endif
};

unsigned cpus_of_affinity()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1U, std::thread::hardware_concurrency());
}

void run_here(std::int64_t count, thread_pool::piece work, const void* context)
{
    const default_float_environment scope;
    for (std::int64_t i = 0; i < count; ++i) work(context, i);
}

}  // namespace

thread_pool::thread_pool() : thread_count_(cpus_of_affinity()), owner_(getpid()) {}

thread_pool::~thread_pool()
{
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    has_work_.notify_all();
    for (std::thread& thread : threads_)
        if (getpid() == owner_)
            thread.join();
        else
            thread.detach();  // it stayed behind in the parent
}

void thread_pool::start()
{
    for (unsigned i = 1; i < thread_count_; ++i) threads_.emplace_back([this] { serve(); });
}

void thread_pool::run(std::int64_t count, piece work, const void* context)
{
    std::unique_lock caller(one_caller_, std::defer_lock);
    if (count <= 1 || thread_count_ == 1 || getpid() != owner_ || !caller.try_lock()) return run_here(count, work, context);
    if (threads_.empty()) start();
    {
        const std::lock_guard lock(mutex_);
        work_ = work;
        context_ = context;
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        busy_ = static_cast<unsigned>(threads_.size());
        ++generation_;
    }
    has_work_.notify_all();
    take_pieces();
    std::unique_lock lock(mutex_);
    is_done_.wait(lock, [this] { return busy_ == 0; });
}

void thread_pool::take_pieces()
{
    const default_float_environment scope;
    for (std::int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) work_(context_, i);
}

void thread_pool::serve()
{
    std::uint64_t served = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            has_work_.wait(lock, [&] { return stops_ || generation_ != served; });
            if (stops_) return;
            served = generation_;
        }
        take_pieces();
        const std::lock_guard lock(mutex_);
        if (--busy_ == 0) is_done_.notify_one();
    }
}

}  // namespace mhc::runtime
