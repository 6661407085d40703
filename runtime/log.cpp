// runtime/log.cpp -- the default sink is standard error.
#include "runtime/log.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace mhc::runtime {
namespace {

void to_standard_error(jit::log_level level, std::string_view line)
{
    static constexpr const char* names[] = {"debug", "info", "warning", "error", "off"};
    const std::string text = fmt::format("mhc-jit: {}: {}\n", names[static_cast<int>(level)], line);
    std::fwrite(text.data(), 1, text.size(), stderr);
}

std::shared_ptr<const jit::log_sink> keep(jit::log_sink sink)
{
    if (!sink) sink = to_standard_error;
    return std::make_shared<const jit::log_sink>(std::move(sink));
}

}  // namespace

logger::logger(jit::log_level level, jit::log_sink sink) : level_(level), sink_(keep(std::move(sink))) {}

void logger::set(jit::log_level level, jit::log_sink sink)
{
    level_.store(level, std::memory_order_relaxed);
    if (!sink) return;
    const std::lock_guard lock(mutex_);
    sink_ = keep(std::move(sink));
}

void logger::operator()(jit::log_level level, std::string_view line) const
{
    if (!wants(level)) return;
    std::shared_ptr<const jit::log_sink> sink;
    {
        const std::lock_guard lock(mutex_);
        sink = sink_;
    }
    (*sink)(level, line);  // not under the lock: a sink may itself use the engine
}

}  // namespace mhc::runtime
