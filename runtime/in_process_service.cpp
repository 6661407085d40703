// runtime/in_process_service.cpp -- HIPRTC and NVRTC without a worker around them.
#include "runtime/in_process_service.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <mutex>

#include "runtime/compilers/backend.hpp"

namespace mhc::runtime {
namespace {

/// The compilers of this process. HIPRTC up to 7.1 is not safe to use from two threads, in however many engines.
struct shared_compilers {
    std::mutex mutex;
    const std::array<std::unique_ptr<compilers::backend>, 2> all{compilers::make_hiprtc_backend(),
                                                                 compilers::make_nvrtc_backend()};
};

shared_compilers& compilers_here()
{
    static shared_compilers& only = *new shared_compilers;  // never unloaded, as the libraries are not
    return only;
}

class in_process_service final : public compile_service {
public:
    in_process_service(service_options options, std::string why_no_worker)
        : options_(std::move(options)), why_no_worker_(std::move(why_no_worker))
    {
    }

    compile_result compile(const compile_job& job) override
    {
        std::call_once(warned_, [this] {
            if (options_.log)
                options_.log(2, why_no_worker_ + "; HIPRTC and NVRTC compile in this process, one kernel at a time");
        });
        protocol::compile_reply reply;
        compile_result& result = reply.result;
        result.log = fmt::format("{}: {}", job.backend, why_no_worker_);
        shared_compilers& here = compilers_here();
        const std::lock_guard lock(here.mutex);
        for (const auto& one : here.all) {
            if (one->info().name != job.backend) continue;
            const auto start = std::chrono::steady_clock::now();
            one->compile(job, &reply);
            result.wall_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
        }
        return std::move(result);
    }

    std::vector<backend_info> backends() override
    {
        std::vector<backend_info> found(1);
        found[0].name = "clang";
        found[0].why_not = why_no_worker_;
        shared_compilers& here = compilers_here();
        const std::lock_guard lock(here.mutex);
        for (const auto& one : here.all) found.push_back(one->info());
        return found;
    }

    std::string disassemble(std::string_view, std::string_view, std::string* why) override
    {
        *why = why_no_worker_;
        return {};
    }

    std::string worker_path() const override { return {}; }

private:
    const service_options options_;
    const std::string why_no_worker_;
    std::once_flag warned_;
};

}  // namespace

std::unique_ptr<compile_service> make_in_process_service(service_options options, std::string why_no_worker)
{
    return std::make_unique<in_process_service>(std::move(options), std::move(why_no_worker));
}

}  // namespace mhc::runtime
