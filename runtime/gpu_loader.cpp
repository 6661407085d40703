// runtime/gpu_loader.cpp -- kernels of HIP and CUDA targets: modules of a driver.
#include <fmt/format.h>

#include <mutex>
#include <string>
#include <vector>

#include "runtime/gpu_driver.hpp"

namespace mhc::runtime {
namespace {

using jit::result;

class gpu_kernel final : public loaded_kernel {
public:
    gpu_kernel(std::shared_ptr<gpu_driver> driver, void* function) : driver_(std::move(driver)), function_(function) {}

    result<void> launch(std::int64_t groups, std::int32_t block, const void* arguments, std::size_t argument_bytes,
                        void* stream) const override
    {
        return driver_->launch(function_, groups, block, arguments, argument_bytes, stream);
    }
    result<void> launch_with(const launch_extras& extras, std::int64_t groups, std::int32_t block, const void* arguments,
                             std::size_t argument_bytes, void* stream) const override
    {
        return driver_->launch_with(extras, function_, groups, block, arguments, argument_bytes, stream);
    }
    bool write_map(const streams_in_memory& streams, void* to) const override { return driver_->write_map(streams, to); }

private:
    std::shared_ptr<gpu_driver> driver_;
    void* function_;
};

/// Remembers a module that is never unloaded: a kernel handed out may be running, or part of a graph, when its engine goes.
/// Held by something, it is no leak to whoever looks for leaks in a program.
void keep_for_ever(void* module)
{
    static std::mutex& mutex = *new std::mutex;
    static auto& kept = *new std::vector<void*>;
    const std::lock_guard lock(mutex);
    kept.push_back(module);
}

class gpu_loader final : public loader {
public:
    explicit gpu_loader(std::shared_ptr<gpu_driver> driver) : driver_(std::move(driver)) {}

    result<std::shared_ptr<const loaded_kernel>> load(std::string_view code, std::string_view symbol) override
    {
        auto module = driver_->load_module(code);
        if (!module) return with_symbol(symbol, module.error());
        auto function = driver_->function_of(*module, std::string(symbol));
        if (!function) {
            driver_->unload_module(*module);
            return with_symbol(symbol, function.error());
        }
        keep_for_ever(*module);
        return std::shared_ptr<const loaded_kernel>(std::make_shared<gpu_kernel>(driver_, *function));
    }

private:
    static jit::failure with_symbol(std::string_view symbol, const jit::failure& why)
    {
        return {why.code, fmt::format("{}: {}", symbol, why.message)};
    }

    std::shared_ptr<gpu_driver> driver_;
};

}  // namespace

std::unique_ptr<loader> make_gpu_loader(std::shared_ptr<gpu_driver> driver)
{
    return std::make_unique<gpu_loader>(std::move(driver));
}

}  // namespace mhc::runtime
