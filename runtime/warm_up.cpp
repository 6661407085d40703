// runtime/warm_up.cpp -- layers by several threads, each of which takes the next one.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>

#include "runtime/engine_impl.hpp"
#include "runtime/machine_limits.hpp"
#include "runtime/text.hpp"

namespace mhc::jit {
namespace {

// A layer waits for its compilations, which the compile service limits; more than this many layers at once gain nothing.
constexpr int threads_max = 32;

std::string name_of(const layer_spec& spec)
{
    std::string name =
        fmt::format("hidden_dim {}, n_streams {}, {}:", spec.hidden_dim, spec.n_streams, to_string(spec.dtype));
    const char* before = " ";
    for (int i = 0; i < operation_count; ++i) {
        const auto op = static_cast<operation>(i);
        if (!spec.wanted.contains(op)) continue;
        name += fmt::format("{}{}", before, to_string(op));
        before = ", ";
    }
    return name;
}

std::string kernels_text(const compiled_layer& layer)
{
    std::array<int, 4> counts{};
    for (const kernel_info& kernel : layer.kernels()) ++counts[static_cast<std::size_t>(kernel.from)];
    constexpr std::array<const char*, 4> names{"in memory", "from the user database", "prebuilt", "compiled"};
    std::string text = fmt::format("{} kernel{}", layer.kernels().size(), layer.kernels().size() == 1 ? "" : "s");
    const char* before = ": ";
    for (std::size_t i = counts.size(); i-- > 0;) {
        if (counts[i] == 0) continue;
        text += fmt::format("{}{} {}", before, counts[i], names[i]);
        before = ", ";
    }
    return text;
}

class warming {
public:
    warming(engine& on, const std::vector<layer_spec>& specs, const warm_up_progress& progress, std::stop_token cancel)
        : on_(on), specs_(specs), progress_(progress), cancel_(std::move(cancel))
    {
    }

    /// Takes layers until there are no more.
    void work()
    {
        while (!is_cancelled_ && !cancel_.stop_requested()) {
            const std::size_t index = next_++;
            if (index >= specs_.size()) return;
            make(index);
        }
    }

    warm_up_report report()
    {
        report_.cancelled = static_cast<int>(specs_.size()) - done_;
        std::sort(report_.failures.begin(), report_.failures.end(),
                  [](const warm_up_failure& a, const warm_up_failure& b) { return a.index < b.index; });
        return std::move(report_);
    }

private:
    void make(std::size_t index)
    {
        const layer_spec& spec = specs_[index];
        const bool is_known = on_.internals().known.find(runtime::pack(spec)) != nullptr;
        const result<compiled_layer> made = on_.layer(spec);
        warm_up_step step;
        step.layer = name_of(spec);
        step.total = static_cast<int>(specs_.size());
        step.is_ready = made.has_value();
        step.what = !made ? runtime::first_line(made.error().message) : is_known ? "known" : kernels_text(*made);
        const std::lock_guard lock(mutex_);
        step.done = ++done_;
        if (made)
            ++report_.ready;
        else
            report_.failures.push_back({index, step.layer, made.error()});
        try {
            if (progress_ && !progress_(step)) is_cancelled_ = true;
        } catch (...) {
            is_cancelled_ = true;
        }
    }

    engine& on_;
    const std::vector<layer_spec>& specs_;
    const warm_up_progress& progress_;
    const std::stop_token cancel_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> is_cancelled_{false};
    std::mutex mutex_;  ///< of what follows
    int done_ = 0;
    warm_up_report report_;
};

}  // namespace

warm_up_report engine::warm_up(const std::vector<layer_spec>& specs, const warm_up_progress& progress,
                               std::stop_token cancel)
{
    const auto start = std::chrono::steady_clock::now();
    warming all(*this, specs, progress, std::move(cancel));
    const int jobs = impl_->options.jobs_max > 0 ? impl_->options.jobs_max : runtime::usable_cpus();
    const int threads = std::min({jobs, threads_max, static_cast<int>(specs.size())});
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) {
        try {
            others.emplace_back([&] { all.work(); });
        } catch (const std::system_error&) {
            break;  // those there are will do
        }
    }
    all.work();
    for (std::thread& other : others) other.join();
    warm_up_report report = all.report();
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
}

}  // namespace mhc::jit
