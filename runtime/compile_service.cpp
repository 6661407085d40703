// runtime/compile_service.cpp -- a pool of compile workers: who gets one, what is retried, what a failure is called.
#include "runtime/compile_service.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "runtime/compile_protocol.hpp"
#include "runtime/in_process_service.hpp"
#include "runtime/machine_limits.hpp"
#include "runtime/worker_process.hpp"

namespace mhc::runtime {
namespace {

constexpr int jobs_of_a_worker_max = 200;  // compilers leak; a new worker costs 40 ms
constexpr std::int64_t worker_rss_bytes_max = 1536LL << 20;

/// Everything that belongs to one process. A forked child makes its own and leaves its parent's untouched: its mutex may
/// have been held by a thread that the child does not have.
struct pool {
    const pid_t owner = ::getpid();
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::unique_ptr<worker_process>> idle;
    int jobs_max = 1, active = 0;
    bool is_reserved = false;  ///< a job that ran out of memory is retried with the machine to itself

    std::mutex backends_mutex;
    std::vector<backend_info> backends;  ///< empty: not asked yet
};

/// The right to run one job, and the worker for it.
class lease {
public:
    lease(pool& from, bool fresh, bool alone) : from_(from), alone_(alone)
    {
        std::unique_lock lock(from_.mutex);
        if (alone_) {
            from_.changed.wait(lock, [&] { return !from_.is_reserved; });
            from_.is_reserved = true;
            from_.changed.wait(lock, [&] { return from_.active == 0; });
            from_.idle.clear();
        } else {
            from_.changed.wait(lock, [&] { return !from_.is_reserved && from_.active < from_.jobs_max; });
        }
        ++from_.active;
        std::erase_if(from_.idle, [](const auto& worker) { return !worker->is_ready(); });
        if (!fresh && !from_.idle.empty()) {
            worker = std::move(from_.idle.back());  // the latest: the others may reach their idle time
            from_.idle.pop_back();
        }
    }
    ~lease()
    {
        {
            const std::lock_guard lock(from_.mutex);
            --from_.active;
            if (alone_) from_.is_reserved = false;
            if (worker) from_.idle.push_back(std::move(worker));
        }
        from_.changed.notify_all();
    }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;

    std::unique_ptr<worker_process> worker;  ///< what is left here at the end is kept for the next job

private:
    pool& from_;
    const bool alone_;
};

/// What `accept` makes of a reply.
struct verdict {
    bool is_valid = false;
    bool must_end = false;  ///< the worker is not to be used again
};

struct outcome {
    compile_status status = compile_status::crashed;
    std::string log;
};

class pooled_service final : public compile_service {
public:
    pooled_service(service_options options, std::string worker_path)
        : options_(std::move(options)), path_(std::move(worker_path))
    {
    }
    ~pooled_service() override
    {
        pool* const last = pool_.load();
        if (last != nullptr && last->owner == ::getpid()) delete last;
    }

    compile_result compile(const compile_job& job) override;
    std::vector<backend_info> backends() override;
    std::string disassemble(std::string_view target, std::string_view code, std::string* why) override;
    std::string worker_path() const override { return path_; }

private:
    pool& current_pool();
    void log(int severity, std::string_view line) const
    {
        if (options_.log) options_.log(severity, line);
    }
    template <class Accept>
    outcome ask(std::string_view what, std::string_view frame, protocol::frame_kind expected, Accept accept);
    bool start_if_missing(lease& held, std::string* why);

    const service_options options_;
    const std::string path_;
    std::atomic<pool*> pool_{nullptr};
};

pool& pooled_service::current_pool()
{
    pool* seen = pool_.load(std::memory_order_acquire);
    if (seen != nullptr && seen->owner == ::getpid()) return *seen;
    auto made = std::make_unique<pool>();
    made->jobs_max = options_.jobs_max > 0 ? options_.jobs_max : usable_jobs();
    if (pool_.compare_exchange_strong(seen, made.get(), std::memory_order_acq_rel)) return *made.release();
    return *seen;  // another thread was first
}

bool pooled_service::start_if_missing(lease& held, std::string* why)
{
    if (held.worker) return true;
    held.worker = worker_process::start(path_, std::max(1, options_.idle_s), why);
    if (held.worker) log(0, fmt::format("started compile worker {} ({})", held.worker->pid(), path_));
    return held.worker != nullptr;
}

/// Sends `frame` to a worker until one answers with a reply that `accept` takes: at most two fresh failures.
template <class Accept>
outcome pooled_service::ask(std::string_view what, std::string_view frame, protocol::frame_kind expected, Accept accept)
{
    const std::int64_t timeout_ms = std::int64_t{1000} * std::max(1, options_.timeout_s);
    pool& from = current_pool();
    outcome result;
    int failures = 0;
    while (failures < 2) {
        lease held(from, failures > 0, result.status == compile_status::out_of_memory);
        std::string why;
        if (!start_if_missing(held, &why)) return {compile_status::no_compiler, why};
        const bool was_used = held.worker->jobs_done++ > 0;
        exchange said = held.worker->ask(frame, timeout_ms);

        verdict judged;
        if (said.state == exchange_state::replied) {
            if (said.reply.kind == expected) judged = accept(std::string_view(said.reply.payload), said);
            if (judged.is_valid && !judged.must_end && held.worker->jobs_done < jobs_of_a_worker_max)
                return {compile_status::ok, {}};
            held.worker.reset();
            if (judged.is_valid) return {compile_status::ok, {}};
            said.what = said.reply.kind == protocol::frame_kind::refused
                            ? "the worker refused the request: " + said.reply.payload
                            : "the worker's reply makes no sense";
        }
        held.worker.reset();
        if (said.left_quietly && was_used) continue;  // its idle time ended as the request was sent: no fault of the job's
        if (said.state == exchange_state::timed_out) {
            result.status = compile_status::timeout;
            failures = 2;
        } else {
            result.status = said.lacked_memory ? compile_status::out_of_memory : compile_status::crashed;
            ++failures;
        }
        result.log = fmt::format("{}: {}", what, said.what);
        if (!said.standard_error.empty()) result.log += "\n" + said.standard_error;
        log(2, result.log);
    }
    return result;
}

compile_result pooled_service::compile(const compile_job& job)
{
    const std::string request = protocol::encode(protocol::compile_request{job, options_.memory_max_bytes});
    const std::string what = fmt::format("{} compiling {} for {}", job.backend, job.name, job.target);
    if (request.size() > protocol::payload_bytes_max) {
        compile_result refused;
        refused.status = compile_status::compile_error;
        refused.log = what + ": the source is too long";
        return refused;
    }
    protocol::compile_reply reply;
    const auto accept = [&](std::string_view payload, const exchange& said) {
        verdict judged;
        reply = {};
        judged.is_valid =
            protocol::decode(payload, &reply) && (reply.result.status == compile_status::ok) != reply.result.code.empty();
        judged.must_end = reply.must_end || reply.rss_bytes > worker_rss_bytes_max;
        if (judged.is_valid && reply.result.status != compile_status::ok) {
            reply.result.log += said.standard_error;
            if (reply.result.log.empty()) reply.result.log = what + ": failed, and the compiler says nothing";
        }
        return judged;
    };
    const outcome asked =
        ask(what, protocol::encode_frame(protocol::frame_kind::compile, request), protocol::frame_kind::compiled, accept);
    if (asked.status == compile_status::ok) return std::move(reply.result);
    compile_result failed;
    failed.status = asked.status;
    failed.log = asked.log;
    return failed;
}

std::vector<backend_info> pooled_service::backends()
{
    pool& from = current_pool();
    const std::lock_guard lock(from.backends_mutex);
    if (!from.backends.empty()) return from.backends;
    std::vector<backend_info> found;
    const auto accept = [&](std::string_view payload, const exchange&) {
        found.clear();
        return verdict{.is_valid = protocol::decode(payload, &found) && !found.empty()};
    };
    const outcome asked = ask("asking for compilers", protocol::encode_frame(protocol::frame_kind::identify, {}),
                              protocol::frame_kind::identified, accept);
    if (asked.status == compile_status::ok) return from.backends = std::move(found);
    std::vector<backend_info> none;
    for (const char* name : {"clang", "hiprtc", "nvrtc"}) none.emplace_back().name = name;
    for (backend_info& info : none) info.why_not = asked.log;
    return none;
}

std::string pooled_service::disassemble(std::string_view target, std::string_view code, std::string* why)
{
    const std::string request = protocol::encode(protocol::disassemble_request{std::string(target), std::string(code)});
    if (request.size() > protocol::payload_bytes_max) return *why = "the code object is too long", std::string();
    protocol::disassemble_reply reply;
    const auto accept = [&](std::string_view payload, const exchange&) {
        reply = {};
        return verdict{.is_valid = protocol::decode(payload, &reply) && reply.text.empty() != reply.why.empty()};
    };
    const outcome asked = ask("disassembling", protocol::encode_frame(protocol::frame_kind::disassemble, request),
                              protocol::frame_kind::disassembled, accept);
    *why = asked.status == compile_status::ok ? reply.why : asked.log;
    return std::move(reply.text);
}

}  // namespace

std::unique_ptr<compile_service> make_compile_service(service_options options)
{
    std::string why;
    std::string worker = find_worker(options.worker, &why);
    if (worker.empty()) return make_in_process_service(std::move(options), std::move(why));
    return std::make_unique<pooled_service>(std::move(options), std::move(worker));
}

}  // namespace mhc::runtime
