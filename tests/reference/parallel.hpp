// tests/reference/parallel.hpp -- splits a range over the machine's threads.
#pragma once

#include <cstdint>
#include <functional>

namespace mhc::reference {

/// Calls work(begin, end) on disjoint ranges that cover [0, count), from several threads; returns when all are done.
/// `cost` is about how many multiplications one index takes: little work stays on the calling thread.
void parallel_for(std::int64_t count, std::int64_t cost,
                  const std::function<void(std::int64_t begin, std::int64_t end)>& work);

}  // namespace mhc::reference
