// cache/event_queue.cpp -- lines in, lines out.
#include "cache/event_queue.hpp"

#include <fmt/format.h>

namespace mhc::cache {

void event_queue::add(severity level, std::string line)
{
    if (sink_) lines_.emplace_back(level, std::move(line));
}

void event_queue::add_fault(const std::string& doing, sqlite::fault kind, const char* what)
{
    const std::uint64_t times = ++faults_.at(static_cast<std::size_t>(kind));
    add(times == 1 ? severity::warning : severity::debug,
        fmt::format("cache: {} failed ({}, {} so far): {}", doing, sqlite::name_of(kind), times, what));
}

void event_queue::deliver(const lines& taken) const noexcept
{
    try {
        for (const auto& [level, line] : taken) sink_(level, line);
    } catch (...) {
        return;
    }
}

}  // namespace mhc::cache
