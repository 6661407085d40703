// runtime/log.hpp -- where lines go: a level and a sink that may be changed while others write.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include <mhc/jit/engine.hpp>

namespace mhc::runtime {

class logger {
public:
    logger(jit::log_level level, jit::log_sink sink);
    void set(jit::log_level level, jit::log_sink sink);
    bool wants(jit::log_level level) const { return level >= level_.load(std::memory_order_relaxed); }
    void operator()(jit::log_level level, std::string_view line) const;

private:
    std::atomic<jit::log_level> level_;
    mutable std::mutex mutex_;
    std::shared_ptr<const jit::log_sink> sink_;
};

}  // namespace mhc::runtime
