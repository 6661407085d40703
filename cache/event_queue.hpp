// cache/event_queue.hpp -- log lines kept back until the store's mutex is free: a sink may fork, or call the store.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cache/code_store.hpp"
#include "cache/sqlite.hpp"

namespace mhc::cache {

class event_queue {
public:
    explicit event_queue(event_sink sink) : sink_(std::move(sink)) {}

    void add(severity level, std::string line);
    /// Counts the fault; the first of its class is a warning, the others are for who debugs.
    void add_fault(const std::string& doing, sqlite::fault kind, const char* what);

    /// How often each class of fault was added.
    const fault_counts& faults() const { return faults_; }

    using lines = std::vector<std::pair<severity, std::string>>;
    lines take() { return std::exchange(lines_, {}); }
    /// To be called without a lock held. What the sink throws is its own affair.
    void deliver(const lines& taken) const noexcept;

private:
    event_sink sink_;
    lines lines_;
    fault_counts faults_{};
};

}  // namespace mhc::cache
